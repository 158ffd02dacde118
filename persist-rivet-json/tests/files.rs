//! Files that are torn, foreign, changed by others, or can't be written.
#![allow(clippy::unwrap_used)]

mod kit;

use std::fs;
use std::path::{Path, PathBuf};

use kit::{Driver, event, held, limits};
use sandbox_agent_persist::{Inserted, PersistError, PersistErrorKind, SessionPersistDriver, SessionRecord};
use sandbox_agent_persist_rivet_json::FileState;
use serde_json::Value;
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    (folder, path)
}

async fn open(path: &Path) -> Result<Driver, PersistError> {
    Driver::open_with_options(FileState::new(path).unwrap(), limits()).await
}

async fn insert(store: &Driver, index: u64) -> Result<Inserted, PersistError> {
    store.insert_event("s", event("s", index, r#"{ "n": 1e2, "text": "\ud800é" }"#)).await
}

async fn stored(store: &Driver, index: u64) {
    assert_eq!(insert(store, index).await.unwrap(), Inserted::Stored);
}

fn value(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn the_file_is_made_by_the_first_save_and_has_the_documented_json() {
    let (_folder, path) = folder();
    let store = Driver::open_file(&path).await.unwrap();
    assert!(!path.exists());
    assert!(held(&store, "s").await.is_empty());
    assert!(!path.exists());
    store.update_session(SessionRecord::new("s", "codex", 1)).await.unwrap();
    let inserted = store.insert_event("s", event("s", 1, r#"{"of":"x"}"#)).await.unwrap();
    assert_eq!(inserted, Inserted::Stored);
    let want = serde_json::json!({ "_sandboxAgentPersist": {
        "sessions": { "s": { "id": "s", "agent": "codex", "agentSessionId": "", "lastConnectionId": "",
            "createdAt": 1 } },
        "events": { "s": [{ "id": "s.1", "eventIndex": 1, "sessionId": "s", "createdAt": 0,
            "connectionId": "c", "sender": "agent", "payload": { "of": "x" } }] },
        "evicted": {},
    } });
    assert_eq!(value(&path), want);
}

#[tokio::test]
async fn what_is_beside_the_key_stays_byte_for_byte_and_in_its_place() {
    let (_folder, path) = folder();
    let before = "{ \"first\" : { \"n\": 1.50, \"n\": [ ] },\n\"_sandboxAgentPersist\": {\"more\": 1e2},\"last\":\"\\u00e9\"}";
    fs::write(&path, before).unwrap();
    let store = open(&path).await.unwrap();
    stored(&store, 1).await;
    let after = fs::read_to_string(&path).unwrap();
    assert!(
        after.starts_with("{\"first\":{ \"n\": 1.50, \"n\": [ ] },\"_sandboxAgentPersist\":{\"sessions\""),
        "{after}"
    );
    assert!(after.ends_with("\"more\":1e2},\"last\":\"\\u00e9\"}"), "{after}");
    let again = open(&path).await.unwrap();
    let payload = held(&again, "s").await.remove(0).payload;
    assert_eq!(payload.get(), r#"{ "n": 1e2, "text": "\ud800é" }"#);
}

#[tokio::test]
async fn a_torn_file_is_refused_wherever_it_is_cut_and_left_as_it_is() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    store.update_session(SessionRecord::new("s", "codex", 1)).await.unwrap();
    for index in 1..=3 {
        stored(&store, index).await;
    }
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let error = open(&path).await.unwrap_err();
        assert_eq!(error.kind(), PersistErrorKind::Corrupt, "cut to {length} bytes");
        let message = error.to_string();
        assert!(message.contains("state.json") && message.contains("move it away"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), &whole[..length]);
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(held(&open(&path).await.unwrap(), "s").await.len(), 3);
}

#[tokio::test]
async fn a_foreign_file_is_refused_and_left_as_it_is() {
    for foreign in [&b"[]"[..], b"null", b"7", b"\xff\xfe{}", b"SQLite format 3\0", b"{} {}", b"{\"a\":01}"] {
        let (_folder, path) = folder();
        fs::write(&path, foreign).unwrap();
        let error = open(&path).await.unwrap_err();
        assert_eq!(error.kind(), PersistErrorKind::Corrupt, "{error}");
        assert_eq!(fs::read(&path).unwrap(), foreign);
    }
}

#[tokio::test]
async fn what_a_killed_save_left_behind_harms_nothing() {
    let (folder, path) = folder();
    let store = open(&path).await.unwrap();
    stored(&store, 1).await;
    let left = folder.path().join("state.json.saving");
    for torn in ["", "{\"_sandboxAgentPersist\":{\"sess", "{}"] {
        fs::write(&left, torn).unwrap();
        let again = open(&path).await.unwrap();
        let last = held(&again, "s").await.len() as u64;
        assert_eq!(insert(&again, last + 1).await.unwrap(), Inserted::Stored);
        assert!(!left.exists());
    }
    assert_eq!(held(&open(&path).await.unwrap(), "s").await.len(), 4);
}

#[tokio::test]
async fn a_file_that_another_changed_is_not_written_over() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    stored(&store, 1).await;
    let own = fs::read_to_string(&path).unwrap();

    let changed = own.replace("{\"_sand", "{\"mine\":1,\"_sand");
    let renamed = path.with_extension("mine");
    let in_place = |text: &str| fs::write(&path, text).unwrap();
    let by_name = |text: &str| {
        fs::write(&renamed, text).unwrap();
        fs::rename(&renamed, &path).unwrap();
    };
    in_place(&changed);
    for number in 0..2 {
        let refused = insert(&store, 2 + number).await.unwrap_err();
        assert_eq!(refused.kind(), PersistErrorKind::Fenced);
        assert!(refused.to_string().contains("state.json") && refused.to_string().contains("open it again"));
        assert_eq!(fs::read_to_string(&path).unwrap(), changed);
    }
    let store = open(&path).await.unwrap();
    by_name(&own);
    assert_eq!(insert(&store, 2).await.unwrap_err().kind(), PersistErrorKind::Fenced);
    let store = open(&path).await.unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(insert(&store, 2).await.unwrap_err().kind(), PersistErrorKind::Fenced);
    assert!(!path.exists());
    assert!(held(&open(&path).await.unwrap(), "s").await.is_empty());
}

#[tokio::test]
async fn the_handle_that_was_opened_last_writes() {
    let (_folder, path) = folder();
    let [first, second] = [open(&path).await.unwrap(), open(&path).await.unwrap()];
    stored(&second, 1).await;
    assert_eq!(insert(&first, 1).await.unwrap_err().kind(), PersistErrorKind::Fenced);
    stored(&second, 2).await;
    assert_eq!(held(&open(&path).await.unwrap(), "s").await.len(), 2);
}

#[tokio::test]
async fn a_path_that_can_not_be_written_is_named_with_the_way_out() {
    let (folder, _) = folder();
    let missing = open(&folder.path().join("missing/state.json")).await.unwrap();
    let error = insert(&missing, 1).await.unwrap_err();
    assert_eq!(error.kind(), PersistErrorKind::Other);
    assert!(
        error.to_string().contains("missing") && error.to_string().contains("folder must exist"),
        "{error}"
    );
    let error = open(folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("give the path of a file"), "{error}");
    assert!(FileState::new("").is_err());
}

#[tokio::test]
async fn a_save_waits_for_another_process_that_saves() {
    let (folder, path) = folder();
    let store = open(&path).await.unwrap();
    let other = fs::File::create(folder.path().join("state.json.lock")).unwrap();
    other.lock().unwrap();
    let insert = tokio::spawn({
        let store = store.clone();
        async move { insert(&store, 1).await }
    });
    while store.content().to_value()["events"]["s"].is_null() {
        tokio::task::yield_now().await;
    }
    assert!(!path.exists());
    other.unlock().unwrap();
    assert_eq!(insert.await.unwrap().unwrap(), Inserted::Stored);
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_keeps_its_permissions_and_its_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (folder, path) = folder();
    fs::write(&path, "{}").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.path().join("link.json");
    symlink(&path, &link).unwrap();
    let store = open(&link).await.unwrap();
    stored(&store, 1).await;
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(held(&open(&path).await.unwrap(), "s").await.len(), 1);
}
