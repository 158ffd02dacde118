//! What the store has of one agent process.

use std::collections::{BTreeMap, HashMap};

use sandbox_agent_sdk::persist::envelope;
use sandbox_agent_sdk::{Sender, SessionEvent};
use serde::Deserialize;
use serde_json::Value;

use super::verdict::{Kind, Verdict};
use crate::history::Recorded;

/// Ids that the record accounts for without their events.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) at_ms: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct End {
    pub(super) last: u64,
    pub(super) reason: String,
    pub(super) at_ms: i64,
}

#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) session: &'a str,
    pub(super) server: &'a str,
    /// By SSE id.
    pub(super) events: BTreeMap<u64, &'a SessionEvent>,
    /// The ids as they stand in the record; a gap counts as its first and its last.
    order: Vec<u64>,
    /// Stored more often than once.
    pub(super) repeated: Vec<u64>,
    /// Answers that only a POST brought, by the JSON text of their id.
    pub(super) by_post: HashMap<String, u64>,
    pub(super) gaps: Vec<Span>,
    pub(super) replayed: Vec<Span>,
    /// The process's end, as far as that is stored with the last id that was seen.
    pub(super) end: Option<End>,
    /// The JSON text of the handshake's id.
    pub(super) initialize: Option<String>,
    pub(super) agent_exited: Option<u64>,
}

/// A note of the SDK's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    server_id: String,
    from: Option<u64>,
    to: Option<u64>,
    last_event_id: Option<u64>,
    reason: Option<String>,
}

impl<'a> Record<'a> {
    pub(super) fn of_session(session: &'a Recorded) -> Vec<Self> {
        let mut records: Vec<Self> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for event in &session.events {
            let place = *places.entry(&event.connection_id).or_insert_with(|| {
                records.push(Self::new(&session.id, &event.connection_id));
                records.len() - 1
            });
            records[place].add(event);
        }
        records
    }

    fn new(session: &'a str, server: &'a str) -> Self {
        Self {
            session,
            server,
            events: BTreeMap::new(),
            order: Vec::new(),
            repeated: Vec::new(),
            by_post: HashMap::new(),
            gaps: Vec::new(),
            replayed: Vec::new(),
            end: None,
            initialize: None,
            agent_exited: None,
        }
    }

    fn add(&mut self, event: &'a SessionEvent) {
        if event.sender == Sender::Agent {
            let name = event.id.strip_prefix(self.server).and_then(|rest| rest.strip_prefix(':'));
            if let Some(id) = name.and_then(|name| name.parse().ok()) {
                self.order.push(id);
                if self.events.insert(id, event).is_some() {
                    self.repeated.push(id);
                }
                if event.payload.get().contains(envelope::AGENT_EXITED)
                    && method(event).as_deref() == Some(envelope::AGENT_EXITED)
                {
                    self.agent_exited = Some(id);
                }
            } else if let Some(id) = name.and_then(|name| name.strip_prefix("post:")) {
                *self.by_post.entry(id.to_owned()).or_default() += 1;
            }
            return;
        }
        match method(event).as_deref() {
            Some("initialize") => self.initialize = rpc_id(event.payload.get()),
            Some(name) if name.starts_with("_sandbox_agent/") => self.note(name, event),
            _ => {}
        }
    }

    fn note(&mut self, name: &str, event: &SessionEvent) {
        let payload: Value = serde_json::from_str(event.payload.get()).unwrap_or_default();
        let Ok(note) = Note::deserialize(&payload["params"]) else { return };
        if note.server_id != self.server {
            return;
        }
        let span = note.from.zip(note.to).map(|(from, to)| Span { from, to, at_ms: event.created_at });
        match (name, span) {
            (envelope::GAP, Some(span)) => {
                self.order.extend([span.from, span.to]);
                self.gaps.push(span);
            }
            (envelope::REPLAYED, Some(span)) => self.replayed.push(span),
            (envelope::PROCESS_ENDED, _) => {
                let reason = note.reason.unwrap_or_default();
                self.end = note.last_event_id.map(|last| End { last, reason, at_ms: event.created_at });
            }
            _ => {}
        }
    }

    /// The highest id that is stored or named by a note.
    pub(super) fn highest(&self) -> u64 {
        let spans = self.gaps.iter().chain(&self.replayed).map(|span| span.to);
        spans.chain(self.events.keys().next_back().copied()).max().unwrap_or(0)
    }

    pub(super) fn is_named(&self, id: u64) -> bool {
        self.gaps.iter().chain(&self.replayed).any(|span| (span.from..=span.to).contains(&id))
    }

    /// What the record shows by itself: holes that nothing names, doubles, another order.
    pub(super) fn judge(&self, verdict: &mut Verdict) {
        verdict.events += self.events.len() as u64 + self.by_post.len() as u64;
        verdict.gaps += self.gaps.len() as u64;
        let (session, server) = (self.session, self.server);
        let place = format!("session {session}, server {server}");
        if let Some(pair) = self.order.windows(2).find(|pair| pair[1] < pair[0]) {
            let count = self.order.windows(2).filter(|pair| pair[1] < pair[0]).count();
            let text = format!("{place}: event {} is stored behind event {}", pair[1], pair[0]);
            verdict.find(Kind::Disordered, count as u64, text);
        }
        if let Some(first) = self.repeated.first() {
            let text = format!("{place}: event {first} is stored more than once");
            verdict.find(Kind::Doubled, self.repeated.len() as u64, text);
        }
        self.answers(&place, verdict);
        let mut next = 1;
        let mut holes = Vec::new();
        for id in 1..=self.highest() {
            let there = self.events.contains_key(&id) || self.is_named(id);
            if there && next < id {
                holes.push(next..=id - 1);
            }
            if there {
                next = id + 1;
            }
        }
        // A hole of one that was an answer, which the POST brought, is none.
        holes.retain(|hole| hole.end() - hole.start() + 1 > self.by_post.len() as u64);
        if let Some(first) = holes.first() {
            let text = format!("{place}: no note says that {first:?} are missing");
            verdict.find(Kind::SilentGap, holes.len() as u64, text);
        }
    }

    /// An answer is stored once, whichever way it came.
    fn answers(&self, place: &str, verdict: &mut Verdict) {
        let mut answers: HashMap<String, u64> = self.by_post.clone();
        for event in self.events.values() {
            if let envelope::Kind::Response { id } = envelope::kind(&event.payload) {
                *answers.entry(id.to_owned()).or_default() += 1;
            }
        }
        for (id, count) in answers.into_iter().filter(|(_, count)| *count > 1) {
            verdict.find(
                Kind::Doubled,
                count - 1,
                format!("{place}: the answer to {id} is stored {count} times"),
            );
        }
    }
}

fn method(event: &SessionEvent) -> Option<String> {
    match envelope::kind(&event.payload) {
        envelope::Kind::Request { method, .. } | envelope::Kind::Notification { method } => {
            Some(method.into_owned())
        }
        _ => None,
    }
}

/// The JSON text of an envelope's id.
pub(super) fn rpc_id(envelope: &str) -> Option<String> {
    let head: envelope::Head<'_> = serde_json::from_str(envelope).ok()?;
    head.id.map(|id| id.get().to_owned())
}
