//! What a recorded session of a real agent reads like.
//!
//! `opencode.jsonl` is a session of OpenCode with a scripted model, as a store exports it; `cargo xtask record` makes it
//! and its transcripts anew. With `UPDATE_GOLDEN=1`, the transcripts alone are written anew from what is recorded.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::path::PathBuf;

use futures::TryStreamExt;
use sandbox_agent_sdk::persist::SessionPersistDriverExt;
use sandbox_agent_sdk::{
    ListEventsRequest, Markdown, MemorySessionPersistDriver, PermissionAnswer, PlainText,
    SessionPersistDriver, SessionView, Speaker, What,
};

const SESSION: &str = "opencode";

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "transcript", name].iter().collect()
}

async fn recorded() -> MemorySessionPersistDriver {
    let store = MemorySessionPersistDriver::new();
    let mut import = store.import();
    for line in std::fs::read_to_string(path("opencode.jsonl")).unwrap().lines() {
        import.line(line).await.unwrap();
    }
    import.finish().await.unwrap();
    store
}

#[track_caller]
fn assert_golden(name: &str, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path(name), text).unwrap();
    }
    let golden = std::fs::read_to_string(path(name)).unwrap();
    assert!(text == golden, "{name} reads otherwise now; where that is meant, UPDATE_GOLDEN=1:\n{text}");
}

#[tokio::test]
async fn a_recorded_session_reads_as_its_golden_files_do() {
    let store = recorded().await;
    let markdown: String = Markdown::of(&store, SESSION).try_collect().await.unwrap();
    assert_golden("opencode.md", &markdown);
    let text: String = PlainText::of(&store, SESSION).try_collect().await.unwrap();
    assert_golden("opencode.txt", &text);
    assert_eq!(SessionView::of(&store, SESSION).await.unwrap().to_plain_text(), text);
}

/// So that a golden file shows what it is there for.
#[tokio::test]
async fn the_recorded_session_has_something_of_each_kind_and_nothing_unknown() {
    let view = SessionView::of(&recorded().await, SESSION).await.unwrap();
    let some = |is: fn(&What) -> bool| view.entries().any(|entry| is(&entry.what));
    let says = |speaker: Speaker| {
        view.entries()
            .any(|entry| matches!(&entry.what, What::Message(message) if message.speaker == speaker))
    };
    assert!(says(Speaker::User) && says(Speaker::Agent));
    assert!(some(|what| matches!(what, What::Tool(_))) && some(|what| matches!(what, What::ProcessEnded)));
    let answers: Vec<_> = view
        .entries()
        .filter_map(|entry| match &entry.what {
            What::Permission(permission) => Some(&permission.answer),
            _ => None,
        })
        .collect();
    assert!(matches!(answers[..], [PermissionAnswer::Option(_), PermissionAnswer::Option(_)]), "{answers:?}");
    assert_ne!(answers[0], answers[1]);
    assert!(!some(|what| matches!(what, What::Unknown(_) | What::Gap(_) | What::Missing { .. })));
    let chosen = |setting: Option<sandbox_agent_sdk::Setting>| setting?.current_id().map(str::to_owned);
    assert_eq!(chosen(view.models()).as_deref(), Some("stub/other"));
    assert!(chosen(view.modes()).is_some() && !view.commands().is_empty());
    assert_eq!(view.plan().unwrap().entries.len(), 1);
    assert!(view.usage().tokens.is_some() && view.turns().all(|turn| turn.tokens.is_some()));
}

#[tokio::test]
async fn each_entry_names_the_raw_events_that_it_is_made_of() {
    let store = recorded().await;
    let view = SessionView::of(&store, SESSION).await.unwrap();
    let events = store.list_events(ListEventsRequest::new(SESSION).limit(10_000)).await.unwrap().items;
    for entry in view.entries() {
        for index in [entry.first_index, entry.last_index] {
            let found =
                events.iter().find(|event| event.first_index() <= index && index <= event.event_index);
            assert!(found.is_some(), "{index} of {entry}");
        }
        if let What::Tool(call) = &entry.what {
            let first = events.iter().find(|event| event.event_index == entry.first_index).unwrap();
            assert!(first.payload.get().contains(&*call.tool_call_id.0), "{entry}");
        }
    }
}
