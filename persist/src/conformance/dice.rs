//! Random events, records, filters and bounds.

use std::collections::BTreeSet;

use fastrand::Rng;
use serde_json::json;

use super::kit::raw;
use super::model::Kept;
use crate::{ListEventsRequest, Sender, SessionEvent, SessionFilter, SessionRecord};

const WORDS: [&str; 8] = ["fix", "Fix", "ÜBER", "über", "100%", "a_b", "\\", "测试"];

pub(super) fn one_of<'a, T: ?Sized>(rng: &mut Rng, of: &[&'a T]) -> &'a T {
    of[rng.usize(..of.len())]
}

/// An event that begins at this index; now and then a run.
pub(super) fn event(rng: &mut Rng, session_id: &str, id: String, first: u64) -> SessionEvent {
    let last = first + if rng.u8(..6) == 0 { rng.u64(1..6) } else { 0 };
    event_to(rng, session_id, id, last).standing_from(first)
}

/// An event with this index.
pub(super) fn event_to(rng: &mut Rng, session_id: &str, id: String, index: u64) -> SessionEvent {
    let text = match rng.u8(..12) {
        0 => "null".to_owned(),
        1 => "{ \"z\":1,\t\"a\" : 1e2 }".to_owned(),
        2 => format!("\"{}\"", "é😀".repeat(rng.usize(..300))),
        _ => format!(r#"{{"method":"session/update","params":{{"n":{}}}}}"#, rng.u32(..)),
    };
    let sender = if rng.bool() { Sender::Client } else { Sender::Agent };
    let connection = format!("connection-{}", rng.u8(..3));
    SessionEvent::new(id, index, session_id, rng.i64(-5..2_000_000_000_000), connection, sender, raw(text))
}

pub(super) fn record(rng: &mut Rng, id: &str, agents: &[&str]) -> SessionRecord {
    let mut record = SessionRecord::new(id, one_of(rng, agents), rng.i64(-3..6));
    record.agent_session_id = rng.u8(..).to_string();
    record.destroyed_at = maybe(rng, |rng| rng.i64(0..9));
    record.session_init = maybe(rng, |rng| json!({"cwd": "/repo", "n": [rng.u8(..), null]}));
    record.title = maybe(rng, title);
    record.last_activity_at = maybe(rng, |rng| rng.i64(-3..6));
    record.tags = (0..rng.usize(..4)).map(|_| one_of(rng, &WORDS[..3]).to_owned()).collect::<BTreeSet<_>>();
    record.archived_at = maybe(rng, |rng| rng.i64(0..9));
    if rng.u8(..3) == 0 {
        record.extra.insert("futureMember".to_owned(), json!({"of": rng.u8(..)}));
    }
    record
}

pub(super) fn filter(rng: &mut Rng, agents: &[&str]) -> SessionFilter {
    let mut filter = SessionFilter::new();
    for _ in 0..rng.usize(..3) {
        filter = match rng.u8(..10) {
            0 => filter.agent(one_of(rng, agents)),
            1 => filter.open(),
            2 => filter.destroyed(),
            3 => filter.archived(rng.bool()),
            4 => filter.title(one_of(rng, &WORDS)),
            5 => filter.tag(one_of(rng, &WORDS[..3])),
            6 => filter.tag(one_of(rng, &WORDS[..3])).tag(one_of(rng, &WORDS[..3])),
            7 => filter.created_from(rng.i64(-3..6)),
            8 => filter.active_from(rng.i64(-3..6)),
            _ => filter.created_before(rng.i64(-3..6)).active_before(rng.i64(-3..8)),
        };
    }
    filter
}

pub(super) fn events_request(rng: &mut Rng, session_id: &str, kept: &Kept) -> ListEventsRequest {
    let mut request = ListEventsRequest::new(session_id).limit(one_limit(rng));
    let far = kept.next_index() + 3;
    let oldest = kept.events.first().map_or(1, SessionEvent::first_index);
    let bound = |rng: &mut Rng| match rng.u8(..3) {
        0 => rng.u64(..=far),
        1 => rng.u64(oldest.saturating_sub(4)..oldest + 3),
        _ => rng.u64(far.saturating_sub(12)..=far),
    };
    request.after_index = maybe(rng, bound);
    request.before_index = maybe(rng, bound);
    if rng.bool() { request.descending() } else { request }
}

/// The limit of a page; 0 is the default.
pub(super) fn one_limit(rng: &mut Rng) -> usize {
    [0, 1, 2, 3, 7, 1_000][rng.usize(..6)]
}

fn title(rng: &mut Rng) -> String {
    (0..rng.usize(..4)).map(|_| one_of(rng, &WORDS)).collect::<Vec<_>>().join(" ")
}

fn maybe<T>(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.bool().then(|| make(rng))
}
