//! What stands for a payload that is too large to keep.

use sandbox_agent_persist::{RawValue, SessionEvent, envelope};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::json::{Members, unquoted};
use crate::measure::{self, DEEPEST};
use crate::print::Object;

/// The name of the note: the method of the notification that stands for one, and the member of
/// `_meta` (of `data`, in an error) in what stands for a request or a response.
pub const TRUNCATED: &str = "_sandbox_agent/truncated";

/// What was said by a payload that was too large to keep.
///
/// The event has a smaller payload in its place, of the same kind, so that a turn still begins and
/// ends with it: a request keeps its id and method, a response its id and what it came to, and
/// [`TRUNCATED`] beside that. For anything else stands a notification of that name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Truncated {
    /// How long the payload was.
    pub bytes: u64,
    /// The SHA-256 hash of the payload, in hexadecimal digits.
    pub sha256: String,
    /// The method of a notification.
    #[serde(default)]
    pub method: Option<String>,
}

impl Truncated {
    /// What the event's payload says of the one in whose place it is; `None` of a payload that is whole.
    pub fn of(event: &SessionEvent) -> Option<Self> {
        let payload = event.payload.get();
        // Looked for before reading: nearly every event is whole.
        if !payload.contains(TRUNCATED) {
            return None;
        }
        let payload = Members::read(payload).ok()?;
        let params = payload.get("params");
        let method =
            payload.get("method").and_then(|method| serde_json::from_str::<String>(method.get()).ok());
        let note = if method.is_some_and(|method| method == TRUNCATED) {
            params?.to_owned()
        } else {
            let of = |place: Option<&RawValue>, name: &str| {
                Members::read(Members::read(place?.get()).ok()?.take(name)?.get()).ok()?.take(TRUNCATED)
            };
            of(params, "_meta")
                .or_else(|| of(payload.get("result"), "_meta"))
                .or_else(|| of(payload.get("error"), "data"))?
        };
        serde_json::from_str(note.get()).ok()
    }
}

/// A member that is no longer than this is kept, if it is among those that are.
const SHORT: usize = 1024;
/// What of the parameters is kept: whose they are, and what a permission is asked for with.
const OF_PARAMS: [&str; 3] = ["sessionId", TOOL_CALL, "options"];
const TOOL_CALL: &str = "toolCall";
const OF_TOOL_CALL: [&str; 4] = ["toolCallId", "title", "kind", "status"];
/// What of a result is kept: how a turn ended, and what a permission was answered with.
const OF_RESULT: [&str; 4] = ["sessionId", "stopReason", "usage", "outcome"];

/// What is kept of the agent's words where they are too long.
const MESSAGE: usize = 200;

/// What is kept in the place of a payload. Of a small one it may be larger.
pub(crate) fn stub(payload: &RawValue) -> Box<RawValue> {
    let bytes = payload.get().len();
    let note = format!(r#""bytes":{bytes},"sha256":"{}""#, sha256(payload.get()));
    let parts = Members::read(payload.get()).unwrap_or_default();
    let mut text = Vec::new();
    let mut stub = Object::begin(&mut text);
    stub.raw("jsonrpc", r#""2.0""#);
    match envelope::kind(payload) {
        envelope::Kind::Request { id, method } if id.len() + method.len() <= SHORT => {
            stub.raw("id", id);
            stub.value("method", &method);
            let mut params = Object::begin(stub.name("params"));
            for (name, value) in short(parts.get("params"), &OF_PARAMS) {
                params.raw(name, &value);
            }
            if method == envelope::PROMPT {
                let text = format!("[A prompt of {bytes} bytes, too large to be kept here.]");
                params.value("prompt", &serde_json::json!([{ "type": "text", "text": text }]));
            }
            params.raw("_meta", &format!(r#"{{"{TRUNCATED}":{{{note}}}}}"#));
            params.end();
        }
        envelope::Kind::Response { id } if id.len() <= SHORT => {
            stub.raw("id", id);
            let failed = parts.get("error").filter(|_| parts.get("result").is_none());
            let mut answer = Object::begin(stub.name(if failed.is_some() { "error" } else { "result" }));
            if let Some(error) = failed {
                for (name, value) in short(Some(error), &["code"]) {
                    answer.raw(name, &value);
                }
                answer.value("message", &message(error));
                answer.raw("data", &format!(r#"{{"{TRUNCATED}":{{{note}}}}}"#));
            } else {
                for (name, value) in short(parts.get("result"), &OF_RESULT) {
                    answer.raw(name, &value);
                }
                answer.raw("_meta", &format!(r#"{{"{TRUNCATED}":{{{note}}}}}"#));
            }
            answer.end();
        }
        other => {
            stub.value("method", TRUNCATED);
            let mut params = Object::begin(stub.name("params"));
            match other {
                envelope::Kind::Notification { method } if method.len() <= SHORT => {
                    params.value("method", &method);
                }
                _ => {}
            }
            params.raw("bytes", &bytes.to_string());
            params.value("sha256", &sha256(payload.get()));
            params.end();
        }
    }
    stub.end();
    // All of it is JSON by the way it is written.
    let text = String::from_utf8(text).unwrap_or_default();
    RawValue::from_string(text).unwrap_or_default()
}

/// Those of the named members of an object that are short.
fn short<'a>(object: Option<&RawValue>, names: &[&'a str]) -> Vec<(&'a str, String)> {
    let members = object.and_then(|object| Members::read(object.get()).ok()).unwrap_or_default();
    let mut kept = Vec::new();
    for name in names {
        let Some(value) = members.get(name) else { continue };
        if *name == TOOL_CALL {
            let parts = short(Some(value), &OF_TOOL_CALL);
            let parts: Vec<_> =
                parts.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            kept.push((*name, format!("{{{}}}", parts.join(","))));
        } else if value.get().len() <= SHORT && measure::json(value.get()).depth < DEEPEST / 2 {
            kept.push((*name, value.get().to_owned()));
        }
    }
    kept
}

/// The beginning of what an error says.
fn message(error: &RawValue) -> String {
    let members = Members::read(error.get()).unwrap_or_default();
    let message = members.get("message").map(|message| unquoted(message.get())).unwrap_or_default();
    message.chars().take(MESSAGE).collect()
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
