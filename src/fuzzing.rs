//! What must hold of any bytes that the network brings: for fuzzing and tests, no part of the API.

use sandbox_agent_persist::envelope::{Kind, kind};
use sandbox_agent_persist::{RawValue, Sender, SessionEvent};
use serde_json::{Value, json};

use crate::acp::{Outbound, read_answer};
#[cfg(all(unix, feature = "files"))]
pub use crate::api::fs::archives;
use crate::error::ErrorKind;
use crate::http::Problem;
pub use crate::sse::fuzzing::frames;
use crate::view::SessionView;
use crate::{EventView, SessionEventExt};

/// What an agent writes.
///
/// # Panics
/// When its head is not what a plain JSON reader finds, or can't be written and read again.
pub fn envelopes(bytes: &[u8]) {
    let Some(payload) = std::str::from_utf8(bytes).ok().and_then(raw) else { return };
    let found = kind(&payload);
    if let Ok(value @ Value::Object(_)) = serde_json::from_str(payload.get()) {
        assert_head(&found, &value);
    }
    if let Some(written) = write(&found) {
        assert_eq!(kind(&written), found, "{written} is read as something else than {payload}");
    }
    if let Kind::Request { id, .. } = &found {
        let reply = Outbound::reply(id, Ok(Value::Null)).expect("an id that was read can be answered");
        assert_eq!(kind(&reply.payload), Kind::Response { id });
    }
    if let Err(error) = read_answer::<Value>(&payload) {
        assert!(matches!(error.kind(), ErrorKind::Agent { .. } | ErrorKind::Protocol), "{error:?}");
    }
    view(payload);
}

fn raw(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}

/// The head as an ordinary reader of JSON sees it.
fn assert_head(found: &Kind<'_>, value: &Value) {
    let (id, method) = match found {
        Kind::Request { id, method } => (Some(*id), Some(method)),
        Kind::Response { id } => (Some(*id), None),
        Kind::Notification { method } => (None, Some(method)),
        Kind::Other => return,
    };
    if let Some(method) = method {
        assert_eq!(value["method"], **method);
    }
    // Numbers that no 64 bits hold, and deep nests, are ids all the same.
    if let Some(Ok(id)) = id.map(serde_json::from_str::<Value>) {
        assert_eq!(value["id"], id);
    }
}

fn write(found: &Kind<'_>) -> Option<Box<RawValue>> {
    let id = |id: &str| format!("\"id\":{id}");
    raw(&match found {
        Kind::Request { id: text, method } => format!("{{{},\"method\":{}}}", id(text), json!(method)),
        Kind::Response { id: text } => format!("{{{}}}", id(text)),
        Kind::Notification { method } => format!("{{\"method\":{}}}", json!(method)),
        Kind::Other => return None,
    })
}

/// What a caller sees of it.
fn view(payload: Box<RawValue>) {
    let text = payload.get().to_owned();
    let event = SessionEvent::new("c:1", 1, "s", 0, "c", Sender::Agent, payload);
    if let Some(said) = event.agent_text() {
        assert!(matches!(event.view(), EventView::Update(_)), "{said:?} is no update");
    }
    assert_eq!(event.payload.get(), text);
    let mut shown = SessionView::new();
    if let Some(entry) = shown.add(event).and_then(|number| shown.entry(number)) {
        let _ = entry.to_string();
        assert!(entry.first_index == 1 && entry.last_index == 1);
    }
}

/// What comes in place of a success.
///
/// # Panics
/// When a problem says something else than its document, or more than fits into a log.
pub fn problems(bytes: &[u8]) {
    let Some((status, body)) = bytes.split_first_chunk() else { return };
    let status = u16::from_be_bytes(*status);
    let problem = Problem::read(status, body);
    assert_eq!(problem.status, status);
    assert!(problem.to_string().starts_with(&status.to_string()));
    assert!(problem.kind.ends_with(problem.code()));
    match serde_json::from_slice::<Value>(body) {
        Ok(document) => {
            assert!(problem.kind.is_empty() || document["type"] == problem.kind);
            assert!(problem.detail.as_ref().is_none_or(|detail| document["detail"] == **detail));
        }
        Err(_) => {
            assert!(problem.kind.is_empty() && problem.detail.is_none() && problem.extra.is_empty());
            assert!(problem.title.chars().count() <= 200);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod seeds {
    use std::path::Path;

    fn run(target: &str, check: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let seeds: Vec<_> = folder.read_dir().unwrap().map(|seed| seed.unwrap().path()).collect();
        assert!(!seeds.is_empty(), "{target} has no seeds");
        seeds.iter().for_each(|seed| check(&std::fs::read(seed).unwrap()));
    }

    #[cfg(all(unix, feature = "files"))]
    #[test]
    fn of_archives() {
        run("archives", super::archives);
    }

    #[test]
    fn of_envelopes() {
        run("envelopes", super::envelopes);
    }

    #[test]
    fn of_frames() {
        run("frames", super::frames);
    }

    #[test]
    fn of_problems() {
        run("problems", super::problems);
    }
}
