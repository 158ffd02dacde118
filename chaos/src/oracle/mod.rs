//! Judges a history: a pure function over data.

use std::collections::{HashMap, HashSet};

use crate::history::{History, Recorded};
use crate::log::Line;
use crate::script;

mod agents;
mod prompts;
mod readers;
mod record;
#[cfg(test)]
mod tests;
mod verdict;

#[cfg(test)]
pub(crate) use verdict::Finding;
pub(crate) use verdict::{Kind, Verdict};

pub(crate) use readers::BROKEN;
use record::Record;

/// How many of its newest events the server keeps for a reader that comes back.
const RING: u64 = 1024;

pub(crate) fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let records: Vec<Record<'_>> = history.sessions.iter().flat_map(Record::of_session).collect();
    for session in &history.sessions {
        indexes(session, &mut verdict);
    }
    unique_ids(&history.sessions, &mut verdict);
    for record in &records {
        record.judge(&mut verdict);
    }
    agents::judge(&history.processes, &records, &mut verdict);
    let prompts = prompts::judge(&history.processes, &mut verdict);
    readers::judge(&history.client, &history.sessions, &mut verdict);
    hung(history, &mut verdict);
    verdict.turns = prompts.len() as u64;
    verdict.agent_exits = prompts.iter().filter(|text| script::exits(text)).count() as u64;
    verdict
}

/// 1, 2, 3, … without a hole.
fn indexes(session: &Recorded, verdict: &mut Verdict) {
    for (event, index) in session.events.iter().zip(1..) {
        if event.event_index != index {
            let text = format!(
                "session {}: in the store event {} has the index {} in the place of {index}",
                session.id, event.id, event.event_index
            );
            return verdict.find(Kind::SilentGap, 1, text);
        }
    }
}

fn unique_ids(sessions: &[Recorded], verdict: &mut Verdict) {
    let mut ids = HashSet::new();
    for session in sessions {
        for event in &session.events {
            if !ids.insert(&event.id) {
                let text = format!("session {}: the store has event {} twice", session.id, event.id);
                verdict.find(Kind::Doubled, 1, text);
            }
        }
    }
}

fn hung(history: &History, verdict: &mut Verdict) {
    let mut found: HashMap<(&str, &str), u64> = HashMap::new();
    for entry in &history.client {
        if let Line::Hung { session, call, .. } = &entry.line {
            *found.entry((session, call)).or_default() += 1;
        }
    }
    for ((session, call), count) in found {
        verdict.find(Kind::Hung, count, format!("session {session}: {call} did not end within its bound"));
    }
}
