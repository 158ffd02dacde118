//! Random events, known and not: a view neither panics nor loses any, and folds them the same in any portions.

use std::collections::HashSet;

use proptest::prelude::*;
use sandbox_agent_persist::Sender;
use serde_json::{Value, json};

use super::tests::Told;
use super::*;

const EVENTS: usize = 10_000;

/// A few words come again and again, so that ids meet; the rest is anything.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "t", "completed", "failed", "pending", "high", "text"])
            .prop_map(str::to_owned),
        1 => ".{0,12}",
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let member =
            prop_oneof![word(), Just("type".into()), Just("sessionUpdate".into()), Just("outcome".into())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((member, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Often as the protocol has it, sometimes anything in its place.
fn or_anything(value: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    prop_oneof![9 => value.boxed(), 1 => anything().boxed()]
}

fn block() -> impl Strategy<Value = Value> {
    let text = word().prop_map(|text| json!({ "type": "text", "text": text }));
    let image = word().prop_map(|data| json!({ "type": "image", "data": data, "mimeType": "image/png" }));
    or_anything(prop_oneof![6 => text, 1 => image])
}

fn update() -> impl Strategy<Value = Value> {
    let kinds = vec!["agent_message_chunk", "agent_thought_chunk", "user_message_chunk"];
    let said = (prop::sample::select(kinds), block(), prop::option::of(word())).prop_map(
        |(kind, content, id)| json!({ "sessionUpdate": kind, "content": content, "messageId": id }),
    );
    let tools = vec!["tool_call", "tool_call_update"];
    let tool = (prop::sample::select(tools), word(), word(), word(), block()).prop_map(
        |(kind, id, title, status, block)| {
            let content = json!([{ "type": "content", "content": block }]);
            json!({ "sessionUpdate": kind, "toolCallId": id, "title": title, "status": status, "content": content })
        },
    );
    let plan = (word(), word()).prop_map(|(content, status)| {
        json!({ "sessionUpdate": "plan", "entries": [{ "content": content, "priority": "high", "status": status }] })
    });
    let usage = (any::<u64>(), any::<f64>(), word()).prop_map(|(used, amount, currency)| {
        let cost = json!({ "amount": amount, "currency": currency });
        json!({ "sessionUpdate": "usage_update", "used": used, "size": used, "cost": cost })
    });
    let others = vec![
        "available_commands_update",
        "current_mode_update",
        "config_option_update",
        "session_info_update",
        "tomorrow",
        "notice",
        "compaction_update",
    ];
    let other = (prop::sample::select(others), anything()).prop_map(|(kind, rest)| {
        let mut update =
            json!({ "title": rest, "currentModeId": rest, "configOptions": rest, "availableCommands": rest });
        update["sessionUpdate"] = json!(kind);
        update
    });
    or_anything(prop_oneof![6 => said, 4 => tool, 1 => plan, 1 => usage, 2 => other])
}

fn envelope() -> impl Strategy<Value = Value> {
    let updated = update().prop_map(
        |update| json!({ "method": "session/update", "params": { "sessionId": "a", "update": update } }),
    );
    let methods = vec![
        "session/prompt",
        "session/request_permission",
        "session/new",
        "session/fork",
        "session/set_mode",
        "session/set_config_option",
        "fs/read_text_file",
        "_acme/x",
    ];
    let params = (anything(), block(), word()).prop_map(|(any, block, word)| {
        json!({
            "sessionId": "a", "prompt": [block], "toolCall": { "toolCallId": word }, "options": any,
            "modeId": word, "configId": any, "value": any,
        })
    });
    let asked = (word(), prop::sample::select(methods), or_anything(params))
        .prop_map(|(id, method, params)| json!({ "id": id, "method": method, "params": params }));
    let answered = (word(), anything(), word(), any::<bool>()).prop_map(|(id, any, reason, failed)| {
        let result =
            json!({ "stopReason": reason, "usage": any, "sessionId": reason, "outcome": any, "modes": any });
        if failed { json!({ "id": id, "error": any }) } else { json!({ "id": id, "result": result }) }
    });
    let notes = vec![
        "_sandbox_agent/gap",
        "_sandbox_agent/turn_ended",
        "_sandbox_agent/process_ended",
        "_sandbox_agent/evicted",
        "_sandbox_agent/replayed",
        "_adapter/agent_exited",
        "session/cancel",
        "_acme/y",
    ];
    let noted = (prop::sample::select(notes), or_anything(Just(json!({ "id": "a", "from": 1, "to": 2 }))))
        .prop_map(|(method, params)| json!({ "method": method, "params": params }));
    prop_oneof![8 => updated, 3 => asked, 3 => answered, 1 => noted, 1 => anything()]
}

fn told() -> impl Strategy<Value = Told> {
    let sender = prop_oneof![3 => Just(Sender::Agent), 1 => Just(Sender::Client)];
    prop::collection::vec((sender, envelope()), EVENTS).prop_map(|events| {
        let mut told = Told::default();
        for (sender, envelope) in events {
            told.add(sender, envelope);
        }
        told
    })
}

/// The events that are known, by what they say alone: their kind is, and they can be read.
fn folded(told: &Told, keep_bytes: usize) -> (SessionView, HashSet<u64>) {
    let mut view = SessionView::new().keep_bytes(keep_bytes);
    let mut shown = HashSet::new();
    for event in &told.events {
        let changed = view.add(event.clone());
        if let Some(entry) = changed.and_then(|number| view.entry(number)) {
            assert!(entry.first_index <= event.event_index && event.event_index <= entry.last_index);
            shown.insert(event.event_index);
        }
        assert!(view.bytes <= keep_bytes.max(view.entries.back().map_or(0, |entry| entry.bytes)));
    }
    (view, shown)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_view_neither_panics_nor_loses_an_event(told in told()) {
        let (view, shown) = folded(&told, usize::MAX);
        prop_assert_eq!(view.last_index(), EVENTS as u64);
        prop_assert_eq!(view.left_out(), 0);
        let mut raw = HashSet::new();
        for entry in view.entries() {
            if let What::Unknown(event) = &entry.what {
                let told = &told.events[usize::try_from(event.event_index).unwrap() - 1];
                prop_assert_eq!(event.payload.get(), told.payload.get());
                raw.insert(event.event_index);
            }
            let _ = entry.to_string();
        }
        // Whatever became no entry is something that holds for the session, and is known.
        for event in told.events.iter().filter(|event| !shown.contains(&event.event_index)) {
            prop_assert!(says_what_holds(event.payload.get()), "{} is lost", event.payload.get());
        }
        prop_assert!(!raw.is_empty());
        // The same in any portions, and within any room.
        let (again, _) = folded(&told, usize::MAX);
        prop_assert_eq!(again.to_plain_text(), view.to_plain_text());
        let (small, _) = folded(&told, 20_000);
        prop_assert!(small.left_out() > 0);
        let store = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let stored = store.block_on(async {
            let driver = told.stored_in(sandbox_agent_persist_memory::MemorySessionPersistDriver::new()).await;
            SessionView::of(&driver, "s").await.unwrap()
        });
        prop_assert_eq!(stored.to_plain_text(), view.to_plain_text());
    }
}

/// Whether an event may be no entry: it is answered or noted by the protocol, or tells what holds now.
fn says_what_holds(payload: &str) -> bool {
    let message: Value = serde_json::from_str(payload).unwrap_or_default();
    let update = &message["params"]["update"];
    let says_nothing = update["content"]["type"] == "text" && update["content"]["text"] == "";
    let update = update["sessionUpdate"].as_str();
    let state = [
        "usage_update",
        "available_commands_update",
        "current_mode_update",
        "config_option_update",
        "session_info_update",
        "user_message_chunk",
    ];
    let plumbing = [
        "session/new",
        "session/fork",
        "session/set_mode",
        "session/set_config_option",
        "session/cancel",
        "_sandbox_agent/replayed",
        "_adapter/agent_exited",
    ];
    update.is_some_and(|update| state.contains(&update) || says_nothing && update.ends_with("_chunk"))
        || message["method"].as_str().is_some_and(|method| plumbing.contains(&method))
        || message.get("method").is_none() && message.get("id").is_some()
}
