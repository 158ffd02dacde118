//! Sentences 1 to 3: records.

use serde_json::json;

use super::Harness;
use super::kit::{Outcome, Subject, in_order};
use crate::{ListSessionsRequest, SessionRecord};

/// Sentence 1: `update_session` stores the record whole, in place of the one with the same id.
pub async fn update_replaces_the_whole_record(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(1, harness).await?;
    let neighbour = full("neighbour", 5);
    subject.update(neighbour.clone()).await?;
    subject.update(full("session", 7)).await?;

    let mut bare = SessionRecord::new("session", "codex", 3);
    subject.update(bare.clone()).await?;
    subject.record("session", Some(bare.clone())).await?;

    bare.destroyed_at = Some(9);
    subject.update(bare.clone()).await?;
    subject.record("session", Some(bare.clone())).await?;
    subject.record("neighbour", Some(neighbour.clone())).await?;
    let listed = subject.sessions(ListSessionsRequest::new()).await?;
    subject.equal(&listed, &vec![bare, neighbour], "list_sessions after updates")
}

/// Sentence 2: `get_session` returns what was last stored, unknown members included, and `None` for an unknown id.
pub async fn get_gives_what_was_last_stored(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(2, harness).await?;
    subject.record("session", None).await?;
    let odd_names = ["session", "a.b/ü'%_\"\\", " ", "Session", "会话\n2"];
    for (created_at, id) in (-2..).zip(odd_names) {
        subject.update(full(id, created_at)).await?;
    }
    for (created_at, id) in (-2..).zip(odd_names) {
        subject.record(id, Some(full(id, created_at))).await?;
    }
    subject.record("sessio", None).await?;
    subject.record("a_b/ü'%_\"\\", None).await
}

/// Sentence 3: `list_sessions` gives every session once, ordered by `(created_at, id)`, either way.
pub async fn sessions_are_listed_once_and_in_order(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(3, harness).await?;
    // Three share each time, and they come in no order at all.
    let mut records: Vec<_> =
        (0..30).map(|number| full(&format!("s{}", number * 7 % 30), 990 + number * 11 % 10)).collect();
    for record in &records {
        subject.update(record.clone()).await?;
    }
    records[4].agent = "changed".to_owned();
    subject.update(records[4].clone()).await?;

    let records = in_order(records);
    for limit in [0, 1, 7, 30] {
        let request = ListSessionsRequest::new().limit(limit);
        let listed = subject.sessions(request.clone()).await?;
        subject.equal(&listed, &records, "list_sessions, oldest first")?;
        let mut listed = subject.sessions(request.descending()).await?;
        listed.reverse();
        subject.equal(&listed, &records, "list_sessions, newest first, turned round")?;
    }
    Ok(())
}

/// A record with every member, and members that no version knows.
fn full(id: &str, created_at: i64) -> SessionRecord {
    let mut record = SessionRecord::new(id, "claude", created_at);
    record.agent_session_id = format!("agent's own {id}");
    record.last_connection_id = format!("connection of {id}");
    record.destroyed_at = Some(created_at + 1);
    record.sandbox_id = Some(String::new());
    record.session_init = Some(json!({"cwd": "/repo", "mcpServers": [{"name": id}], "none": null}));
    record.config_options = Some(json!([{"id": "model", "value": 1.5}]));
    record.title = Some(format!("About {id}: \"ünïcode\" 🦀\n"));
    record.last_activity_at = Some(created_at + 2);
    record.tags = ["", "a,b", "ünï", id].map(str::to_owned).into();
    record.archived_at = Some(created_at + 3);
    record.modes = Some(json!({"current": "code", "ünicode": ["\u{0}", "\n"]}));
    record.extra.insert("futureMember".to_owned(), json!({"deep": [1, {"of": id}]}));
    record.extra.insert("futureFlag".to_owned(), json!(false));
    record
}
