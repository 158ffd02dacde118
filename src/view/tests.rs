//! What a session looks like to people, event by event.

use std::sync::Arc;

use futures::TryStreamExt;
use sandbox_agent_persist::{Inserted, RawValue, Sender, SessionEvent, SessionPersistDriver, SessionRecord};
use sandbox_agent_persist_memory::{MemoryOptions, MemorySessionPersistDriver};
use serde_json::{Value, json};

use super::*;
use crate::acp_types::{PlanEntryStatus, ToolCallStatus};
use crate::session::Folder;

#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) events: Vec<Arc<SessionEvent>>,
}

impl Told {
    pub(super) fn add(&mut self, sender: Sender, envelope: Value) -> &mut Self {
        let index = self.events.len() as u64 + 1;
        let payload = RawValue::from_string(envelope.to_string()).unwrap();
        let event = SessionEvent::new(format!("c:{index}"), index, "s", 0, "c", sender, payload);
        self.events.push(Arc::new(event));
        self
    }

    pub(super) fn update(&mut self, update: Value) -> &mut Self {
        let params = json!({ "sessionId": "a", "update": update });
        self.add(Sender::Agent, json!({ "jsonrpc": "2.0", "method": "session/update", "params": params }))
    }

    fn say(&mut self, kind: &str, text: &str) -> &mut Self {
        self.update(json!({ "sessionUpdate": kind, "content": { "type": "text", "text": text } }))
    }

    fn prompt(&mut self, id: &str, text: &str) -> &mut Self {
        let params = json!({ "sessionId": "a", "prompt": [{ "type": "text", "text": text }] });
        self.ask(Sender::Client, id, "session/prompt", params)
    }

    fn ask(&mut self, sender: Sender, id: &str, method: &str, params: Value) -> &mut Self {
        self.add(sender, json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
    }

    fn answer(&mut self, sender: Sender, id: &str, result: Value) -> &mut Self {
        self.add(sender, json!({ "jsonrpc": "2.0", "id": id, "result": result }))
    }

    fn end(&mut self, id: &str, reason: &str) -> &mut Self {
        self.answer(Sender::Agent, id, json!({ "stopReason": reason }))
    }

    fn view(&self) -> SessionView {
        let mut view = SessionView::new();
        for event in &self.events {
            view.add(event.clone());
        }
        view
    }

    async fn stored(&self) -> MemorySessionPersistDriver {
        self.stored_in(MemorySessionPersistDriver::new()).await
    }

    pub(super) async fn stored_in(&self, store: MemorySessionPersistDriver) -> MemorySessionPersistDriver {
        store.update_session(SessionRecord::new("s", "claude", 0)).await.unwrap();
        for event in &self.events {
            let stored = store.insert_event("s", SessionEvent::clone(event)).await.unwrap();
            assert_eq!(stored, Inserted::Stored);
        }
        store
    }
}

fn talk() -> Told {
    let mut told = Told::default();
    told.prompt("p1", "Fix it\nnow").say("agent_thought_chunk", "hm").say("agent_message_chunk", "I ");
    told.say("agent_message_chunk", "will.");
    let plan = |look: &str| {
        json!({ "sessionUpdate": "plan", "entries": [
            { "content": "look", "priority": "high", "status": look },
            { "content": "mend", "priority": "high", "status": "pending" },
        ]})
    };
    told.update(plan("in_progress"));
    told.update(
        json!({ "sessionUpdate": "tool_call", "toolCallId": "t", "title": "Read a", "status": "pending" }),
    );
    let options = json!([{ "optionId": "y", "name": "yes", "kind": "allow_once" }]);
    let asked = json!({ "sessionId": "a", "toolCall": { "toolCallId": "t" }, "options": options });
    told.ask(Sender::Agent, "1", "session/request_permission", asked);
    told.answer(Sender::Client, "1", json!({ "outcome": { "outcome": "selected", "optionId": "y" } }));
    let content = json!([{ "type": "content", "content": { "type": "text", "text": "42\n43" } }]);
    told.update(json!({
        "sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "completed", "content": content,
    }));
    told.update(plan("completed")).say("agent_message_chunk", "Done.").end("p1", "end_turn");
    told.prompt("p2", "More").say("agent_message_chunk", "No").end("p2", "refusal");
    told
}

const TALK: &str = "User: Fix it\nnow

Agent (thinking): hm

Agent: I will.

[plan]
  [x] look
  [ ] mend

[tool] Read a: done
    42
    43

[permission] Read a: y

Agent: Done.

User: More

Agent: No

[turn] ended: refusal
";

#[tokio::test]
async fn a_session_reads_as_a_talk_live_and_from_its_store() {
    let told = talk();
    let view = told.view();
    assert_eq!(view.to_plain_text(), TALK);
    let store = told.stored().await;
    let pieces: String = PlainText::of(&store, "s").try_collect().await.unwrap();
    assert_eq!(pieces, TALK);
    let stored = SessionView::of(&store, "s").await.unwrap();
    assert_eq!((stored.to_plain_text(), stored.last_index()), (view.to_plain_text(), view.last_index()));
    assert_eq!(view.answer(), "No");
    assert!(view.plan().unwrap().entries[0].status == PlanEntryStatus::Completed);
    let tool = view.entries().find_map(|entry| match &entry.what {
        What::Tool(call) => Some((call.status, entry.first_index, entry.last_index)),
        _ => None,
    });
    assert_eq!(tool, Some((ToolCallStatus::Completed, 6, 9)));
}

#[test]
fn an_entry_grows_in_place_and_what_was_seen_is_passed_over() {
    let told = talk();
    let mut view = SessionView::new();
    let changed: Vec<_> = told.events.iter().map(|event| view.add(event.clone())).collect();
    assert_eq!(changed[..6], [Some(0), Some(1), Some(2), Some(2), Some(3), Some(4)]);
    assert_eq!(changed[6..10], [Some(5), Some(5), Some(4), Some(3)]);
    for event in &told.events {
        assert_eq!(view.add(event.clone()), None);
    }
    assert_eq!(view.to_plain_text(), TALK);
}

#[test]
fn a_run_that_was_folded_looks_like_its_chunks() {
    let mut told = Told::default();
    told.prompt("p", "Go");
    for word in ["one ", "two ", "three"] {
        told.say("agent_message_chunk", word);
    }
    told.end("p", "end_turn");
    let mut folder = Folder::default();
    for event in &told.events[1..4] {
        assert!(folder.add(SessionEvent::clone(event)).is_none());
    }
    let folded = Arc::new(folder.finish().unwrap().event);
    let mut whole = SessionView::new();
    let mut midway = SessionView::new();
    for event in [&told.events[0], &folded, &told.events[4]] {
        whole.add(event.clone());
    }
    for event in [&told.events[0], &told.events[1], &folded, &told.events[4]] {
        midway.add(event.clone());
    }
    assert_eq!(whole.to_plain_text(), told.view().to_plain_text());
    assert_eq!(midway.to_plain_text(), told.view().to_plain_text());
}

#[test]
fn what_a_tool_for_plans_is_given_is_the_plan_unless_one_is_told() {
    let todo = |words: &str, status: &str| json!([{ "content": words, "status": status, "priority": "low" }]);
    let mut told = Told::default();
    told.prompt("p", "Go");
    let call = json!({ "sessionUpdate": "tool_call", "toolCallId": "t", "title": "todo", "rawInput": { "todos": [] } });
    told.update(call);
    let given = |todos: Value| json!({ "sessionUpdate": "tool_call_update", "toolCallId": "t", "rawInput": { "todos": todos } });
    told.update(given(todo("look", "completed"))).update(given(json!([{ "x": 1 }])));
    let view = told.view();
    let [entry] = &view.plan().unwrap().entries[..] else { panic!("{view:?}") };
    assert_eq!((entry.content.as_str(), &entry.status), ("look", &PlanEntryStatus::Completed));
    told.update(json!({ "sessionUpdate": "plan", "entries": todo("mend", "pending") }));
    told.update(given(todo("look again", "pending")));
    assert_eq!(told.view().plan().unwrap().entries[0].content, "mend");
}

#[test]
fn messages_with_ids_grow_apart() {
    let mut told = Told::default();
    told.prompt("p", "Go");
    let said = |id: &str, text: &str| {
        let content = json!({ "type": "text", "text": text });
        json!({ "sessionUpdate": "agent_message_chunk", "messageId": id, "content": content })
    };
    told.update(said("a", "A1 ")).update(said("b", "B1 ")).update(said("a", "A2")).update(said("b", "B2"));
    let texts: Vec<_> = told.view().entries().map(|entry| entry.to_string()).collect();
    assert_eq!(texts, ["User: Go", "Agent: A1 A2", "Agent: B1 B2"]);
}

#[test]
fn a_prompt_that_the_agent_says_back_is_there_once_and_a_past_that_it_tells_is_there() {
    let mut told = Told::default();
    told.say("user_message_chunk", "Before")
        .say("agent_message_chunk", "Yes")
        .say("user_message_chunk", "And");
    told.prompt("p", "Go now").say("user_message_chunk", "Go now").say("agent_message_chunk", "Going");
    let texts: Vec<_> = told.view().entries().map(|entry| entry.to_string()).collect();
    assert_eq!(texts, ["User: Before", "Agent: Yes", "User: And", "User: Go now", "Agent: Going"]);
}

#[test]
fn usage_and_cost_are_known_of_the_session_and_of_each_turn() {
    let cost = |used: u64, amount: f64| {
        let cost = json!({ "amount": amount, "currency": "USD" });
        json!({ "sessionUpdate": "usage_update", "used": used, "size": 1000, "cost": cost })
    };
    let usage = json!({ "totalTokens": 9, "inputTokens": 5, "outputTokens": 4, "thoughtTokens": 1 });
    let mut told = Told::default();
    told.prompt("p1", "Go").update(cost(10, 0.5));
    told.answer(Sender::Agent, "p1", json!({ "stopReason": "end_turn", "usage": usage }));
    told.prompt("p2", "On").update(cost(20, 0.75)).update(cost(30, 1.25)).end("p2", "end_turn");
    let view = told.view();
    assert_eq!((view.usage().context, view.usage().context_size), (Some(30), Some(1000)));
    assert_eq!(view.usage().cost.as_ref().unwrap().amount, 1.25);
    let costs: Vec<_> = view.turns().map(|turn| turn.cost.as_ref().unwrap().amount).collect();
    assert_eq!(costs, [0.5, 0.75]);
    let tokens = view.turns().next().unwrap().tokens.unwrap();
    assert_eq!((tokens.total, tokens.input, tokens.output, tokens.thought), (9, 5, 4, Some(1)));
    assert_eq!(view.usage().tokens, Some(tokens));
    assert_eq!(view.turn().unwrap().tokens, None);
}

#[test]
fn usage_of_which_an_agent_does_not_know_all_is_what_it_knows() {
    let cost = json!({ "amount": 0.5, "currency": "USD" });
    let told = |used: Value, cost: &Value| json!({ "sessionUpdate": "usage_update", "used": used, "size": 1000, "cost": cost });
    let mut session = Told::default();
    session.prompt("p1", "Go").update(told(json!(7), &Value::Null)).update(told(Value::Null, &cost));
    let view = session.view();
    assert_eq!((view.usage().context, view.usage().context_size), (Some(7), Some(1000)));
    assert_eq!(view.usage().cost.as_ref().unwrap().amount, 0.5);
    assert_eq!(view.turn().unwrap().cost.as_ref().unwrap().amount, 0.5);
    assert_eq!(view.entries().count(), 1);
    session.update(json!({ "sessionUpdate": "usage_update", "used": null }));
    assert!(matches!(session.view().entry(1).unwrap().what, What::Unknown(_)));
}

#[test]
fn a_tool_call_that_begins_with_its_permission_is_one() {
    let mut told = Told::default();
    for turn in ["p1", "p2"] {
        told.prompt(turn, "Go");
        let call =
            json!({ "toolCallId": "t", "title": "Push", "kind": "execute", "rawInput": { "to": "main" } });
        let asked = json!({ "sessionId": "a", "toolCall": call, "options": [] });
        told.ask(Sender::Agent, turn, "session/request_permission", asked);
        told.update(json!({ "sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "completed" }));
        told.end(turn, "end_turn");
    }
    let texts: Vec<_> = told.view().entries().map(|entry| entry.to_string()).collect();
    let turn = ["User: Go", "[tool] Push: done", "[permission] Push: no answer"];
    assert_eq!(texts, [turn, turn].concat());
}

#[test]
fn an_empty_text_is_no_message() {
    let mut told = Told::default();
    told.prompt("p", "Go").say("agent_message_chunk", "").say("agent_thought_chunk", "");
    told.say("agent_message_chunk", "Yes").say("agent_message_chunk", "");
    let texts: Vec<_> = told.view().entries().map(|entry| entry.to_string()).collect();
    assert_eq!(texts, ["User: Go", "Agent: Yes"]);
}

#[test]
fn title_commands_mode_and_options_are_what_was_said_last() {
    let modes = json!({ "currentModeId": "a", "availableModes": [{ "id": "a", "name": "A" }, { "id": "b", "name": "B" }] });
    let options = |value: &str| {
        json!([{
            "id": "effort", "name": "Effort", "category": "thought_level", "type": "select", "currentValue": value,
            "options": [{ "value": "low", "name": "Low" }, { "value": "high", "name": "High" }],
        }])
    };
    let mut told = Told::default();
    told.ask(Sender::Client, "n", "session/new", json!({ "cwd": "/" }));
    told.answer(
        Sender::Agent,
        "n",
        json!({ "sessionId": "a", "modes": modes, "configOptions": options("low") }),
    );
    told.update(json!({ "sessionUpdate": "session_info_update", "title": "Mend" }));
    let commands = json!([{ "name": "test", "description": "Runs the tests" }]);
    told.update(json!({ "sessionUpdate": "available_commands_update", "availableCommands": commands }));
    told.ask(Sender::Client, "m", "session/set_mode", json!({ "sessionId": "a", "modeId": "b" }));
    told.answer(Sender::Agent, "m", json!({}));
    told.ask(
        Sender::Client,
        "o",
        "session/set_config_option",
        json!({ "configId": "effort", "value": "high" }),
    );
    told.answer(Sender::Agent, "o", json!({ "configOptions": options("high") }));
    let view = told.view();
    assert_eq!((view.title(), view.commands()[0].name.as_str()), (Some("Mend"), "test"));
    assert_eq!(view.modes().unwrap().current_id(), Some("b"));
    assert_eq!(view.config_options()[0].current_id(), Some("high"));
    assert_eq!(view.entries().count(), 0, "none of that is a thing that happened");
    // A change that the agent refused is none.
    told.ask(Sender::Client, "m2", "session/set_mode", json!({ "sessionId": "a", "modeId": "a" }));
    told.add(Sender::Agent, json!({ "id": "m2", "error": { "code": -32602, "message": "no" } }));
    told.update(json!({ "sessionUpdate": "current_mode_update", "currentModeId": "c" }));
    assert_eq!(told.view().modes().unwrap().current_id(), Some("c"));
}

#[test]
fn a_mode_that_an_agent_has_both_ways_is_the_same_in_both() {
    let modes = json!({ "currentModeId": "a", "availableModes": [{ "id": "a" }, { "id": "b" }] });
    let options = |mode: &str| {
        let values = json!([{ "value": "a" }, { "value": "b" }, { "value": "more" }]);
        json!([{ "id": "m", "category": "mode", "type": "select", "currentValue": mode, "options": values }])
    };
    let mut told = Told::default();
    told.ask(Sender::Client, "n", "session/new", json!({ "cwd": "/" }));
    let opened = json!({ "sessionId": "a", "modes": modes, "configOptions": options("a") });
    told.answer(Sender::Agent, "n", opened);
    let both = |told: &Told| {
        let view = told.view();
        let id = |setting: &Setting| setting.current_id().unwrap().to_owned();
        (id(&view.modes().unwrap()), id(&view.config_options()[0]))
    };
    told.update(json!({ "sessionUpdate": "config_option_update", "configOptions": options("b") }));
    assert_eq!(both(&told), ("b".to_owned(), "b".to_owned()));
    told.update(json!({ "sessionUpdate": "current_mode_update", "currentModeId": "a" }));
    assert_eq!(both(&told), ("a".to_owned(), "a".to_owned()));
    // What one of them doesn't list is nothing for it.
    told.update(json!({ "sessionUpdate": "config_option_update", "configOptions": options("more") }));
    assert_eq!(both(&told), ("a".to_owned(), "more".to_owned()));
}

#[test]
fn what_is_not_known_is_kept_as_it_is() {
    let mut told = Told::default();
    told.update(json!({ "sessionUpdate": "tomorrow", "x": [1] }));
    told.update(json!({ "sessionUpdate": "tool_call", "title": 5 }));
    told.add(Sender::Agent, json!({ "jsonrpc": "2.0", "method": "_acme/progress", "params": { "done": 3 } }));
    told.ask(Sender::Client, "x", "_acme/ask", json!({})).answer(Sender::Agent, "x", json!({ "y": 1 }));
    told.answer(Sender::Agent, "nobody asked", json!({}));
    told.add(Sender::Agent, json!([1, 2])).add(Sender::Client, json!("x"));
    let view = told.view();
    assert_eq!(view.entries().count(), told.events.len());
    for (entry, event) in view.entries().zip(&told.events) {
        let What::Unknown(kept) = &entry.what else { panic!("{entry:?}") };
        assert_eq!(kept.payload.get(), event.payload.get());
    }
}

#[test]
fn what_an_agent_asks_its_client_for_is_there_with_its_answer() {
    let mut told = Told::default();
    told.ask(Sender::Agent, "7", "fs/read_text_file", json!({ "sessionId": "a", "path": "/a" }));
    told.answer(Sender::Client, "7", json!({ "content": "b" }));
    let view = told.view();
    let What::Request(request) = &view.entry(0).unwrap().what else { panic!("{view:?}") };
    assert_eq!(request.method, "fs/read_text_file");
    assert!(request.answer.as_ref().unwrap().payload.get().contains("content"));
}

#[test]
fn a_turn_without_a_response_says_why_and_one_that_failed_how() {
    let mut told = Told::default();
    told.prompt("p1", "Go");
    let params = json!({ "id": "p1", "reason": "process_ended" });
    told.add(Sender::Client, json!({ "method": "_sandbox_agent/turn_ended", "params": params }));
    told.add(Sender::Client, json!({ "method": "_sandbox_agent/process_ended", "params": {} }));
    told.prompt("p2", "On");
    told.add(Sender::Agent, json!({ "id": "p2", "error": { "code": -32603, "message": "no model" } }));
    let view = told.view();
    let states: Vec<_> = view.turns().map(|turn| turn.state.clone()).collect();
    let failed = TurnState::Failed { code: -32603, message: "no model".into() };
    assert_eq!(states, [TurnState::Lost("process_ended".into()), failed]);
    // An agent can't write the SDK's notes.
    told.add(Sender::Agent, json!({ "method": "_sandbox_agent/process_ended", "params": {} }));
    assert!(matches!(told.view().entries().last().unwrap().what, What::Unknown(_)));
}

#[test]
fn a_view_keeps_the_newest_and_counts_the_rest() {
    let mut told = Told::default();
    for turn in 0..50 {
        told.prompt(&turn.to_string(), "Go").say("agent_message_chunk", &"x".repeat(1_000));
        told.end(&turn.to_string(), "end_turn");
    }
    let mut view = SessionView::new().keep_bytes(10_000);
    for event in &told.events {
        let changed = view.add(event.clone());
        assert!(changed.is_none_or(|number| view.entry(number).is_some()));
        assert!(view.bytes <= 10_000);
    }
    let kept = view.entries().count() as u64;
    assert_eq!(view.left_out() + kept, 100);
    assert!(kept > 5 && view.turns().count() < 50);
    assert!(view.entry(0).is_none() && view.entry(99).is_some());
    // One message alone is cut.
    let mut told = Told::default();
    for _ in 0..100 {
        told.say("agent_message_chunk", &"x".repeat(1_000));
    }
    let mut view = SessionView::new().keep_bytes(10_000);
    for event in &told.events {
        view.add(event.clone());
    }
    let What::Message(message) = &view.entry(0).unwrap().what else { panic!("{view:?}") };
    assert!(message.cut && message.text().len() < 10_000);
}

#[tokio::test]
async fn what_is_missing_is_said_and_begins_where_the_store_does() {
    let mut view = SessionView::new();
    let told = talk();
    view.add(told.events[4].clone());
    view.add(told.events[8].clone());
    let texts: Vec<_> = view.entries().map(|entry| entry.to_string()).collect();
    assert_eq!(texts[1], "[missing] events 6 to 8 are not in the store any more");
    let options = MemoryOptions::default().max_events_per_session(13);
    let store = told.stored_in(MemorySessionPersistDriver::with_options(options)).await;
    let text: String = PlainText::of(&store, "s").try_collect().await.unwrap();
    assert!(text.starts_with("[missing] events 1 to 2 "), "{text}");
    assert!(text.contains("User: More"), "{text}");
}
