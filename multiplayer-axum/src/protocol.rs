//! The messages of a WebSocket.

use sandbox_agent_multiplayer::{Error, ErrorKind, Failure, Participant, Rights, Snapshot};
use sandbox_agent_sdk::persist::RawValue;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The first message of a client.
#[derive(Deserialize)]
pub(crate) struct Hello {
    pub(crate) token: Option<String>,
    #[serde(default)]
    pub(crate) params: Value,
    /// Go on after this frame.
    pub(crate) after: Option<u64>,
    /// Which is of this line.
    pub(crate) line: Option<String>,
    /// Or this many frames before the newest.
    pub(crate) recent: Option<u64>,
}

impl Hello {
    pub(crate) fn read(text: &str) -> Result<Self, Error> {
        let other = || protocol(r#"the first message has to be {"type":"hello", …}"#);
        let said: Value = serde_json::from_str(text).map_err(|_| other())?;
        if said["type"] != "hello" {
            return Err(other());
        }
        serde_json::from_value(said).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, format!("this hello can't be understood: {error}"))
        })
    }
}

/// What a client says after that.
#[derive(Deserialize)]
pub(crate) struct Incoming {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) id: Option<u64>,
    pub(crate) action: Option<String>,
    #[serde(default)]
    pub(crate) args: Value,
}

/// Who somebody is, as they are told.
#[derive(Serialize)]
pub(crate) struct You<'a> {
    person: &'a sandbox_agent_multiplayer::Person,
    rights: Vec<&'static str>,
}

impl<'a> You<'a> {
    pub(crate) fn new(participant: &'a Participant) -> Self {
        Self { person: &participant.person, rights: words(participant.rights) }
    }
}

fn words(rights: Rights) -> Vec<&'static str> {
    let all = [
        (rights.can_see(), "see"),
        (rights.can_prompt(), "prompt"),
        (rights.can_answer(), "answer"),
        (rights.can_control(), "control"),
        (rights.can_take(), "take"),
        (rights.can_use_sandbox(), "sandbox"),
    ];
    all.into_iter().filter_map(|(may, word)| may.then_some(word)).collect()
}

#[derive(Serialize)]
struct Welcome<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    snapshot: &'a Snapshot,
    you: You<'a>,
    /// The frames begin behind this one.
    after: u64,
}

pub(crate) fn welcome(snapshot: &Snapshot, participant: &Participant, after: u64) -> Result<String, Error> {
    let welcome = Welcome { kind: "welcome", snapshot, you: You::new(participant), after };
    serde_json::to_string(&welcome)
        .map_err(|error| protocol("the workspace could not be written as JSON").with_source(error))
}

pub(crate) fn pong(sequence: u64) -> String {
    json!({ "type": "pong", "sequence": sequence }).to_string()
}

/// An error that concerns the connection, or a message that is no call.
pub(crate) fn error(error: &Error) -> String {
    json!({ "type": "error", "error": error.to_failure() }).to_string()
}

/// The answer to a call.
pub(crate) fn answer(id: u64, answer: Result<Box<RawValue>, Error>) -> String {
    #[derive(Serialize)]
    struct Failed {
        id: u64,
        error: Failure,
    }
    match answer {
        Ok(value) => format!(r#"{{"id":{id},"ok":{}}}"#, value.get()),
        Err(error) => serde_json::to_string(&Failed { id, error: error.to_failure() }).unwrap_or_default(),
    }
}

pub(crate) fn protocol(message: &str) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_known_by_its_type() {
        let hello = Hello::read(r#"{"type":"hello","token":"t","after":3,"new":1}"#).unwrap();
        assert_eq!((hello.token.as_deref(), hello.after, hello.recent), (Some("t"), Some(3), None));
        for other in ["", "{}", r#"{"id":1,"action":"prompt"}"#, r#"{"type":"ping"}"#] {
            let refused = Hello::read(other).err().map(|error| error.kind().clone());
            assert_eq!(refused, Some(ErrorKind::Protocol), "{other}");
        }
        let wrong = Hello::read(r#"{"type":"hello","after":-1}"#).map(|_| ()).unwrap_err();
        assert_eq!(*wrong.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn rights_are_words() {
        assert_eq!(words(Rights::OBSERVER), ["see"]);
        assert_eq!(words(Rights::OWNER).len(), 6);
        assert!(words(Rights::NONE).is_empty());
    }
}
