//! Histories made up so that each shows one thing, and one that shows nothing.
#![allow(clippy::unwrap_used)]

use sandbox_agent_sdk::persist::RawValue;
use sandbox_agent_sdk::{Sender, SessionEvent};
use serde_json::{Value, json};

use super::{Finding, Kind, Verdict, judge};
use crate::history::{History, Process, Recorded, Sent};
use crate::log::{Entry, Line};

const SERVER: &str = "server-a";
const SESSION: &str = "session-0";

/// One process, one session, and what the store has of it.
struct Story {
    process: Process,
    events: Vec<SessionEvent>,
    client: Vec<Entry>,
}

fn update(text: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "session/update", "params": {"text": text}})
}

fn prompt(id: &str, key: Option<&str>, text: &str) -> Value {
    let mut params = json!({"sessionId": "s", "prompt": [{"type": "text", "text": "history"}, {"type": "text", "text": text}]});
    if let Some(key) = key {
        params["_meta"] = json!({"sandboxAgent/idempotencyKey": key});
    }
    json!({"jsonrpc": "2.0", "id": id, "method": "session/prompt", "params": params})
}

impl Story {
    /// A process that wrote the answer to its handshake, and then so many updates, at 1 ms each.
    fn new(updates: u64) -> Self {
        let mut story = Self { process: Process::default(), events: Vec::new(), client: Vec::new() };
        story.process.name = "pid 7".to_owned();
        story.ours("c:1", &json!({"jsonrpc": "2.0", "id": "init", "method": "initialize"}));
        story.writes(&json!({"jsonrpc": "2.0", "id": "init", "result": {}}));
        for number in 1..=updates {
            story.writes(&update(&format!("u{number}")));
        }
        story
    }

    fn writes(&mut self, envelope: &Value) {
        let at_ms = self.process.sent.len() as i64;
        self.process.sent.push(Sent { at_ms, line: envelope.to_string() });
    }

    /// The client sends it, and the agent gets it.
    fn ours(&mut self, id: &str, envelope: &Value) {
        self.event(&format!("{SERVER}:{id}"), Sender::Client, 0, envelope);
        self.process.received.push(envelope.to_string());
    }

    fn event(&mut self, id: &str, sender: Sender, at_ms: i64, envelope: &Value) {
        let index = self.events.len() as u64 + 1;
        let payload = RawValue::from_string(envelope.to_string()).unwrap();
        self.events.push(SessionEvent::new(id, index, SESSION, at_ms, SERVER, sender, payload));
    }

    /// Stores what the agent wrote under these ids.
    fn stores(mut self, ids: impl IntoIterator<Item = u64>) -> Self {
        for id in ids {
            let line = self.process.sent[id as usize - 1].line.clone();
            let at_ms = id as i64;
            self.event(
                &format!("{SERVER}:{id}"),
                Sender::Agent,
                at_ms,
                &serde_json::from_str(&line).unwrap(),
            );
        }
        self
    }

    fn note(mut self, method: &str, params: Value, at_ms: i64) -> Self {
        let mut params = params;
        params["serverId"] = json!(SERVER);
        let note = json!({"jsonrpc": "2.0", "method": format!("_sandbox_agent/{method}"), "params": params});
        let id = format!("{SERVER}:{method}:{}", self.events.len());
        self.event(&id, Sender::Client, at_ms, &note);
        self
    }

    fn logs(mut self, line: Line) -> Self {
        self.client.push(Entry { life: 1, line });
        self
    }

    /// A reader from the start that sees these events.
    fn reads(mut self, indexes: impl IntoIterator<Item = u64>) -> Self {
        let reader = "r".to_owned();
        self = self.logs(Line::Subscribed { reader: reader.clone(), session: SESSION.into(), after: 0 });
        for index in indexes {
            let id = self.events[index as usize - 1].id.clone();
            self = self.logs(Line::Saw { reader: reader.clone(), index, id });
        }
        self
    }

    fn judged(self) -> Verdict {
        let sessions = vec![Recorded { id: SESSION.into(), events: self.events }];
        judge(&History { processes: vec![self.process], sessions, client: self.client })
    }

    fn found(self) -> Vec<(Kind, u64)> {
        let findings = self.judged().findings;
        findings.into_iter().map(|Finding { kind, count, .. }| (kind, count)).collect()
    }
}

#[test]
fn a_whole_history_is_clean() {
    let mut story = Story::new(5).stores(1..=6);
    story.ours("c:2", &prompt("1", Some("k"), "stream 2"));
    story.writes(&json!({"jsonrpc": "2.0", "id": "1", "result": {"stopReason": "end_turn"}}));
    let verdict = story.stores([7]).reads(1..=9).judged();
    assert_eq!(verdict.findings, []);
    assert_eq!((verdict.turns, verdict.events, verdict.gaps, verdict.tails.len()), (1, 7, 0, 0));
}

#[test]
fn what_the_server_adds_is_no_difference() {
    let mut story = Story::new(0).stores([1]);
    story.process.sent.push(Sent { at_ms: 2, line: "no JSON".into() });
    let wrapped = json!({"jsonrpc": "2.0", "method": "_adapter/invalid_stdout", "params": {"error": "x", "raw": "no JSON"}});
    story.event("server-a:2", Sender::Agent, 2, &wrapped);
    story.writes(&json!({"jsonrpc": "2.0", "id": "9", "error": {"code": 1, "message": "m"}}));
    let told = json!({"jsonrpc": "2.0", "id": "9", "error": {"code": 1, "message": "m", "data": {"agentStderr": "e"}}});
    story.event("server-a:3", Sender::Agent, 3, &told);
    assert_eq!(story.found(), []);
}

#[test]
fn an_exit_takes_a_number_of_its_own() {
    let exited = json!({"jsonrpc": "2.0", "method": "_adapter/agent_exited", "params": {"code": 0}});
    let mut story = Story::new(3).stores(1..=2);
    story.event("server-a:3", Sender::Agent, 3, &exited);
    // It overtook the last two.
    story.event("server-a:4", Sender::Agent, 3, &update("u2"));
    story.event("server-a:5", Sender::Agent, 3, &update("u3"));
    assert_eq!(story.found(), []);
}

#[test]
fn what_is_nowhere_is_lost() {
    assert_eq!(Story::new(9).stores(1..=7).found(), [(Kind::Lost, 3)]);
    let holed = Story::new(9).stores((1..=3).chain(7..=10)).found();
    assert_eq!(holed, [(Kind::SilentGap, 1), (Kind::Lost, 3)]);
}

#[test]
fn a_process_that_no_session_knows_is_lost() {
    let mut story = Story::new(3).stores(1..=4);
    story.events.clear();
    assert_eq!(story.found(), []);
    let mut story = Story::new(3).stores(1..=4);
    story.ours("c:2", &prompt("1", None, "say x"));
    story.events.clear();
    assert_eq!(story.found(), [(Kind::Lost, 4)]);
}

#[test]
fn the_tail_is_what_was_written_behind_a_stored_end() {
    let ended =
        Story::new(9).stores(1..=7).note("process_ended", json!({"lastEventId": 7, "reason": "gone"}), 8);
    let verdict = ended.judged();
    assert_eq!((verdict.tails.get("gone"), verdict.findings), (Some(&3), vec![]));
    let alive = Story::new(9).stores(1..=7).note(
        "process_ended",
        json!({"lastEventId": 7, "reason": "gone"}),
        -9_998,
    );
    assert_eq!(alive.found(), [(Kind::Lost, 7)]);
    let too_late = Story::new(9).stores(1..=7).note("process_ended", json!({"lastEventId": 9}), 8);
    assert_eq!(too_late.found(), [(Kind::Lost, 2)]);
    let without_an_id = Story::new(9).stores(1..=7).note("process_ended", json!({"reason": "closed"}), 8);
    assert_eq!(without_an_id.found(), [(Kind::Lost, 3)]);
}

#[test]
fn a_gap_counts_when_the_server_had_dropped_the_events() {
    let gap = |from: u64, to: u64, at_ms| {
        let story = Story::new(1100).stores(1..from).note(
            "gap",
            json!({"from": from, "to": to, "cause": "server_dropped"}),
            at_ms,
        );
        story.stores(to + 1..=1101)
    };
    let verdict = gap(11, 70, 1098).judged();
    assert_eq!((verdict.findings, verdict.gaps), (vec![], 1));
    // One less had been written by then.
    assert_eq!(gap(11, 70, 1090).found(), [(Kind::Lost, 60)]);
    assert_eq!(gap(11, 90, 1098).found(), [(Kind::Lost, 80)]);
}

#[test]
fn a_gap_counts_when_the_process_died() {
    let gap = |at_ms| {
        let story = Story::new(20).stores(1..=10).note("gap", json!({"from": 11, "to": 12}), at_ms);
        story.stores(13..=21).note("process_ended", json!({"lastEventId": 21, "reason": "exited"}), at_ms)
    };
    assert_eq!(gap(25).found(), []);
    // It lived on for long.
    assert_eq!(gap(-20_000).found(), [(Kind::Lost, 2), (Kind::Lost, 21)]);
}

#[test]
fn what_was_replayed_is_accounted_for() {
    let replayed = |to: u64| {
        let mut story = Story::new(0).stores([1]);
        story.ours("c:2", &json!({"jsonrpc": "2.0", "id": "l", "method": "session/load"}));
        for number in 2..=8 {
            story.writes(&update(&format!("u{number}")));
        }
        story.writes(&json!({"jsonrpc": "2.0", "id": "l", "result": {}}));
        story.writes(&update("new"));
        story.note("replayed", json!({"from": 2, "to": to}), 9).stores(to + 1..=10).found()
    };
    assert_eq!(replayed(8), []);
    // The answer itself, and what came behind it, is no replay.
    assert_eq!(replayed(9), [(Kind::Lost, 8)]);
    let never_loaded = Story::new(9).stores(1..=2).note("replayed", json!({"from": 3, "to": 8}), 9);
    assert_eq!(never_loaded.stores(9..=10).found(), [(Kind::Lost, 6)]);
}

#[test]
fn an_answer_is_stored_by_one_way_only() {
    let answered = |both: bool| {
        let mut story = Story::new(0).stores([1]);
        story.ours("c:2", &prompt("\u{31}", None, "say x"));
        story.writes(&json!({"jsonrpc": "2.0", "id": "1", "result": {}}));
        story.writes(&update("later"));
        story.event(
            "server-a:post:\"1\"",
            Sender::Agent,
            3,
            &json!({"jsonrpc": "2.0", "id": "1", "result": {}}),
        );
        if both { story.stores([2, 3]) } else { story.stores([3]) }
    };
    assert_eq!(answered(false).found(), []);
    assert_eq!(answered(true).found(), [(Kind::Doubled, 1)]);
}

#[test]
fn the_same_event_twice_is_doubled() {
    let found = Story::new(5).stores([1, 2, 3, 3, 4, 5, 6]).found();
    assert!(found.iter().all(|(kind, _)| *kind == Kind::Doubled) && !found.is_empty(), "{found:?}");
}

#[test]
fn what_no_agent_wrote_is_doubled() {
    let mut story = Story::new(2).stores(1..=3);
    story.event("server-a:4", Sender::Agent, 3, &update("u2"));
    assert_eq!(story.found(), [(Kind::Doubled, 1)]);
}

#[test]
fn another_order_is_disordered() {
    assert_eq!(Story::new(5).stores([1, 2, 4, 3, 5, 6]).found(), [(Kind::Disordered, 1)]);
}

#[test]
fn another_number_is_disordered() {
    let mut story = Story::new(3).stores([1]);
    for (id, text) in [(2, "u2"), (3, "u1"), (4, "u3")] {
        story.event(&format!("server-a:{id}"), Sender::Agent, 3, &update(text));
    }
    assert_eq!(story.found(), [(Kind::Disordered, 2)]);
}

#[test]
fn a_hole_in_the_indexes_is_a_silent_gap() {
    let mut story = Story::new(5).stores(1..=6);
    story.events[4].event_index = 9;
    assert_eq!(story.found(), [(Kind::SilentGap, 1)]);
}

#[test]
fn readers_see_all_once_in_order() {
    let story = || Story::new(5).stores(1..=6);
    assert_eq!(story().reads([1, 2, 4]).found(), [(Kind::SilentGap, 1)]);
    assert_eq!(story().reads([2]).found(), [(Kind::SilentGap, 1)]);
    assert_eq!(story().reads([1, 2, 2]).found(), [(Kind::Doubled, 1)]);
    assert_eq!(story().reads([1, 2, 3, 2]).found(), [(Kind::Disordered, 1)]);
    let expected = Line::Expected { reader: "r".into(), upto: 7 };
    assert_eq!(story().reads(1..=6).logs(expected.clone()).found(), [(Kind::SilentGap, 1)]);
    assert_eq!(story().reads(1..=7).logs(expected).found(), []);
}

#[test]
fn a_reader_may_fail_only_with_the_store() {
    let failed = Line::ReaderFailed { reader: "r".into(), error: "e".into() };
    let expected = Line::Expected { reader: "r".into(), upto: 7 };
    let story = || Story::new(5).stores(1..=6).reads(1..=3);
    assert_eq!(story().logs(failed.clone()).logs(expected.clone()).found(), [(Kind::SilentGap, 1)]);
    let broken = Line::Trouble { kind: super::BROKEN.into() };
    assert_eq!(story().logs(broken).logs(failed).logs(expected).found(), []);
}

#[test]
fn readers_see_what_is_stored() {
    let saw = |index, id: &str| Line::Saw { reader: "r".into(), index, id: id.into() };
    let story = || Story::new(0).stores([1]).reads(1..=2);
    assert_eq!(story().logs(saw(3, "server-a:2")).found(), [(Kind::Lost, 1)]);
    let begins = Line::Subscribed { reader: "r".into(), session: SESSION.into(), after: 1 };
    assert_eq!(story().logs(begins).logs(saw(2, "server-a:9")).found(), [(Kind::Disordered, 1)]);
}

#[test]
fn a_call_beyond_its_bound_is_hung() {
    let hung = Line::Hung { session: SESSION.into(), call: "a turn".into(), bound_ms: 5 };
    assert_eq!(Story::new(0).stores([1]).logs(hung).found(), [(Kind::Hung, 1)]);
}

#[test]
fn a_prompt_that_came_twice_is_found_by_each_of_its_marks() {
    let twice = |first: Value, second: Value| {
        let mut story = Story::new(0).stores([1]);
        story.ours("c:2", &first);
        story.ours("c:3", &second);
        story.found()
    };
    let other = || prompt("2", Some("l"), "say y");
    assert_eq!(twice(prompt("1", Some("k"), "say x"), other()), []);
    assert_eq!(twice(prompt("2", None, "say x"), other()), [(Kind::PromptTwice, 1)]);
    assert_eq!(twice(prompt("1", Some("l"), "say x"), other()), [(Kind::PromptTwice, 1)]);
    assert_eq!(twice(prompt("1", None, "say y"), other()), [(Kind::PromptTwice, 1)]);
    assert_eq!(twice(other(), other()), [(Kind::PromptTwice, 1)]);
}
