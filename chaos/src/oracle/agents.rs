//! The agents' logs against the store: everything that an agent wrote is stored, or accounted for.

use std::collections::HashMap;

use sandbox_agent_sdk::SessionEvent;
use serde_json::Value;

use super::RING;
use super::record::{Record, Span, rpc_id};
use super::verdict::{Kind, Verdict};
use crate::history::{Process, Sent, method};

/// How many examples a finding shows.
const SHOWN: usize = 4;
/// How long after its end was stored a process may still be writing.
const LAST_WORDS_MS: i64 = 10_000;

pub(super) fn judge(processes: &[Process], records: &[Record<'_>], verdict: &mut Verdict) {
    let by_handshake: HashMap<&str, &Record<'_>> =
        records.iter().filter_map(|record| Some((record.initialize.as_deref()?, record))).collect();
    for process in processes {
        let handshake = process.received.first().and_then(|line| rpc_id(line));
        match handshake.and_then(|id| by_handshake.get(id.as_str()).copied()) {
            Some(record) => Comparison { process, record }.judge(verdict),
            // A session that did not come about leaves nothing in the store.
            None if !process.received.iter().any(|line| is_prompt(line)) => {}
            None => {
                let text = format!("{}: got prompts, and no session knows of it", process.name);
                verdict.find(Kind::Lost, process.sent.len() as u64, text);
            }
        }
    }
}

pub(super) fn is_prompt(line: &str) -> bool {
    line.contains("session/prompt") && method(line).as_deref() == Some("session/prompt")
}

struct Comparison<'a> {
    process: &'a Process,
    record: &'a Record<'a>,
}

impl Comparison<'_> {
    fn judge(&self, verdict: &mut Verdict) {
        let record = self.record;
        let place = format!("session {}, server {}, {}", record.session, record.server, self.process.name);
        let (mut lost, mut other) = (Vec::new(), Vec::new());
        for (id, sent) in self.numbered() {
            match record.events.get(&id) {
                Some(event) if is_same(event, sent) => {}
                Some(event) => other.push(format!(
                    "{id} is {} and was {}",
                    brief(event.payload.get()),
                    brief(&sent.line)
                )),
                None if record.is_named(id) || self.came_by_post(sent) => {}
                None => match record.end.as_ref().filter(|end| id > end.last) {
                    Some(end) => *verdict.tails.entry(end.reason.clone()).or_default() += 1,
                    None => lost.push(format!("{id} {}", brief(&sent.line))),
                },
            }
        }
        if !lost.is_empty() {
            let text = format!(
                "{place}: {} of {} events are nowhere: {}",
                lost.len(),
                self.process.sent.len(),
                examples(&lost)
            );
            verdict.find(Kind::Lost, lost.len() as u64, text);
        }
        if !other.is_empty() {
            let text = format!("{place}: stored under other numbers: {}", examples(&other));
            verdict.find(Kind::Disordered, other.len() as u64, text);
        }
        let written = self.numbered().last().map_or(0, |(id, _)| id);
        let invented: Vec<_> = record
            .events
            .keys()
            .filter(|id| **id > written && Some(**id) != record.agent_exited)
            .map(u64::to_string)
            .collect();
        if !invented.is_empty() {
            let text = format!("{place}: stored, but never written by the agent: {}", examples(&invented));
            verdict.find(Kind::Doubled, invented.len() as u64, text);
        }
        self.gaps(&place, verdict);
        self.replays(&place, verdict);
        self.end(&place, verdict);
    }

    /// A process that is said to have ended has.
    fn end(&self, place: &str, verdict: &mut Verdict) {
        let Some(end) = &self.record.end else { return };
        let late = self.process.sent.iter().filter(|sent| sent.at_ms > end.at_ms + LAST_WORDS_MS).count();
        if late > 0 {
            let text = format!(
                "{place}: it is said to have ended ({}), and wrote {late} events long after",
                end.reason
            );
            verdict.find(Kind::Lost, late as u64, text);
        }
    }

    /// What the agent wrote, by the ids that the server gave it; its exit took one of them.
    fn numbered(&self) -> impl Iterator<Item = (u64, &Sent)> {
        let exit = self.record.agent_exited.unwrap_or(u64::MAX);
        (1..).filter(move |id| *id != exit).zip(&self.process.sent)
    }

    fn came_by_post(&self, sent: &Sent) -> bool {
        !self.record.by_post.is_empty()
            && method(&sent.line).is_none()
            && rpc_id(&sent.line).is_some_and(|id| self.record.by_post.contains_key(&id))
    }

    /// A gap must be one: either the server had dropped the events by then, or the process was at its end.
    fn gaps(&self, place: &str, verdict: &mut Verdict) {
        for gap in self.record.gaps.iter().filter(|gap| !self.is_proven(gap)) {
            let text = format!(
                "{place}: the gap {}..={} stands for events that could be had: {} were written by then",
                gap.from,
                gap.to,
                self.written_by(gap.at_ms)
            );
            verdict.find(Kind::Lost, gap.to - gap.from + 1, text);
        }
    }

    /// A replay is what the agent wrote between being asked to load a session and having done so.
    fn replays(&self, place: &str, verdict: &mut Verdict) {
        let load = self.process.received.iter().find(|line| method(line).as_deref() == Some("session/load"));
        let load = load.and_then(|line| rpc_id(line));
        let is_answer = |line: &str| method(line).is_none() && rpc_id(line) == load;
        let loaded = load.as_ref().and_then(|_| self.numbered().find(|(_, sent)| is_answer(&sent.line)));
        let loaded = loaded.map_or(0, |(id, _)| id);
        for span in self.record.replayed.iter().filter(|span| span.to >= loaded) {
            let (from, to) = (span.from, span.to);
            let text =
                format!("{place}: {from}..={to} are no replay: the session was loaded with event {loaded}");
            verdict.find(Kind::Lost, to - from + 1, text);
        }
    }

    fn is_proven(&self, gap: &Span) -> bool {
        let died = self.record.agent_exited.is_some() || self.record.end.is_some();
        let at_the_end =
            died && self.process.sent.last().is_none_or(|sent| sent.at_ms <= gap.at_ms + LAST_WORDS_MS);
        at_the_end || gap.to + RING <= self.written_by(gap.at_ms)
    }

    fn written_by(&self, at_ms: i64) -> u64 {
        // The agent's clock and the store's have whole milliseconds.
        self.process.sent.partition_point(|sent| sent.at_ms <= at_ms + 1) as u64
    }
}

/// What is no JSON was wrapped by the server, which also adds what it knows to an error.
fn is_same(event: &SessionEvent, sent: &Sent) -> bool {
    if event.payload.get() == sent.line {
        return true;
    }
    let Ok(mut stored) = serde_json::from_str::<Value>(event.payload.get()) else { return false };
    let Ok(written) = serde_json::from_str::<Value>(&sent.line) else {
        return stored["method"] == "_adapter/invalid_stdout" && stored["params"]["raw"] == sent.line;
    };
    if stored == written {
        return true;
    }
    if let Some(data) = stored["error"]["data"].as_object_mut() {
        data.remove("agentStderr");
        if data.is_empty()
            && written["error"].get("data").is_none()
            && let Some(error) = stored["error"].as_object_mut()
        {
            error.remove("data");
        }
    }
    stored == written
}

fn brief(line: &str) -> String {
    let end = line.char_indices().nth(160).map_or(line.len(), |(end, _)| end);
    line[..end].to_owned()
}

fn examples(all: &[String]) -> String {
    let mut text = all[..all.len().min(SHOWN)].join(" | ");
    if all.len() > SHOWN {
        text += &format!(" | … | {}", all[all.len() - 1]);
    }
    text
}
