//! What a session looks like to a reader.

use std::sync::Arc;

use futures::TryStreamExt;
use sandbox_agent_persist::{Inserted, RawValue, Sender, SessionEvent, SessionRecord};
use sandbox_agent_persist_memory::{MemoryOptions, MemorySessionPersistDriver};
use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;

struct Writer(MemorySessionPersistDriver, u64);

impl Writer {
    async fn add(&mut self, sender: Sender, envelope: Value) {
        self.1 += 1;
        let payload = RawValue::from_string(envelope.to_string()).unwrap();
        let event = SessionEvent::new(format!("e{}", self.1), self.1, "s", 0, "c", sender, payload);
        assert_eq!(self.0.insert_event("s", event).await.unwrap(), Inserted::Stored);
    }

    async fn update(&mut self, update: Value) {
        let params = json!({ "sessionId": "a", "update": update });
        self.add(Sender::Agent, json!({ "jsonrpc": "2.0", "method": "session/update", "params": params }))
            .await;
    }

    async fn say(&mut self, kind: &str, text: &str) {
        self.update(json!({ "sessionUpdate": kind, "content": { "type": "text", "text": text } })).await;
    }

    async fn prompt(&mut self, text: &str) {
        let params = json!({ "sessionId": "a", "prompt": [{ "type": "text", "text": text }] });
        let prompt = json!({ "jsonrpc": "2.0", "id": "p", "method": "session/prompt", "params": params });
        self.add(Sender::Client, prompt).await;
    }
}

async fn store() -> Writer {
    let store = MemorySessionPersistDriver::new();
    let mut record = SessionRecord::new("s", "claude", 0);
    record.title = Some("Mend\nthe login".to_owned());
    store.update_session(record).await.unwrap();
    Writer(store, 0)
}

#[tokio::test]
async fn a_session_reads_as_a_talk() {
    let mut store = store().await;
    store.prompt("Fix it\nnow").await;
    store.say("agent_thought_chunk", "hm\nwell").await;
    store.say("agent_message_chunk", "I ").await;
    store.say("agent_message_chunk", "will.").await;
    store
        .update(json!({ "sessionUpdate": "plan", "entries": [
            { "content": "look", "priority": "high", "status": "completed" },
            { "content": "mend", "priority": "high", "status": "pending" },
        ]}))
        .await;
    store.update(json!({ "sessionUpdate": "tool_call", "toolCallId": "t", "title": "Read a", "status": "pending" })).await;
    store
        .update(json!({ "sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "completed",
            "content": [{ "type": "content", "content": { "type": "text", "text": "one ``` two" } }] }))
        .await;
    store.say("agent_message_chunk", "Done.").await;
    store
        .add(Sender::Agent, json!({ "jsonrpc": "2.0", "id": "p", "result": { "stopReason": "max_tokens" } }))
        .await;
    let past = json!({ "type": "text", "text": "long ago", "_meta": { "sandboxAgent/transcript": true } });
    let params = json!({ "sessionId": "a", "prompt": [past, { "type": "text", "text": "More" }] });
    let prompt = json!({ "jsonrpc": "2.0", "id": "p", "method": "session/prompt", "params": params });
    store.add(Sender::Client, prompt).await;
    store
        .add(Sender::Agent, json!({ "jsonrpc": "2.0", "id": "p", "error": { "code": 1, "message": "no" } }))
        .await;
    let document: String = Markdown::of(&store.0, "s").try_collect().await.unwrap();
    let expected = "# Mend the login\n\n- Session: s\n- Agent: claude\n- Created: 1970-01-01T00:00:00Z\n\n\
        ## User\n\nFix it\nnow\n\n## Agent\n\n> hm\n> well\n\nI will.\n\nPlan:\n\n- [x] look\n- [ ] mend\n\n\
        - **Read a**\n\n- **Read a**: done\n\n````\none ``` two\n````\n\nDone.\n\n*The turn ended: max_tokens*\n\n\
        ## User\n\n*The agent was told what was said before.*\n\nMore\n\n*The agent failed: no*\n";
    assert_eq!(document, expected, "\n{document}");
}

#[tokio::test]
async fn what_is_gone_and_what_is_strange_is_no_error() {
    let store = MemorySessionPersistDriver::with_options(MemoryOptions::new().max_events_per_session(3));
    store.update_session(SessionRecord::new("s", "claude", i64::MAX)).await.unwrap();
    let mut store = Writer(store, 0);
    for number in 0..6 {
        store.say("agent_message_chunk", &number.to_string()).await;
    }
    for odd in [json!(null), json!([1]), json!({ "id": 1, "result": 5 })] {
        store.add(Sender::Agent, odd).await;
    }
    store.say("agent_message_chunk", "end").await;
    let document: String = Markdown::of(&store.0, "s").try_collect().await.unwrap();
    assert!(document.contains("*Events 1 to 7 are not in the store any more.*"), "{document}");
    assert!(document.ends_with("## Agent\n\nend\n"), "{document}");
    let missing = Markdown::of(&store.0, "t").try_collect::<String>().await.unwrap_err();
    assert_eq!(*missing.kind(), ErrorKind::SessionNotFound);
}

#[tokio::test]
async fn an_encrypted_session_is_refused_and_not_shown_as_an_empty_one() {
    let store = MemorySessionPersistDriver::new();
    let mut record = SessionRecord::new("s", "claude", 0);
    record.extra.insert("_sandboxAgentEncrypted".to_owned(), json!({ "v": 1, "key": "k", "data": "" }));
    store.update_session(record).await.unwrap();
    // Whatever points to the store, and outlives who asks.
    let store: Arc<dyn SessionPersistDriver> = Arc::new(store);
    let document: Markdown<'static> = Markdown::of(store, "s");
    let refused = document.try_collect::<String>().await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::InvalidInput);
    assert!(refused.to_string().contains("EncryptedDriver"), "{refused}");
}
