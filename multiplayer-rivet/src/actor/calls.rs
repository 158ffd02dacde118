//! A call of a client: its name and arguments, and its answer.

use std::sync::Arc;

use sandbox_agent_multiplayer::{Call, Error, ErrorKind, Result};
use sandbox_agent_persist::RawValue;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::config::LARGEST_MESSAGE;
use super::host::Host;
use crate::cbor;
use crate::json;

/// What an answer may have beside it in a message.
const ROOM: usize = 1024;

/// How an answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As a value.
    Value,
    /// As JSON text, in which payloads are as the agent wrote them.
    Text,
}

impl Host {
    /// Makes a call, and gives its answer as CBOR. Bounded by [`ActorLimits::call`](super::ActorLimits::call).
    pub(super) async fn call(self: &Arc<Self>, connection: &str, name: &str, args: &[u8]) -> Result<Vec<u8>> {
        let limit = self.settings.actor_limits.call;
        match timeout(limit, self.answer(connection, name, args)).await {
            Ok(answer) => answer,
            Err(_) => {
                let message =
                    format!("{name:?} was not answered within {limit:?}; it may be done all the same");
                Err(Error::new(ErrorKind::TimedOut, message))
            }
        }
    }

    async fn answer(self: &Arc<Self>, connection: &str, name: &str, args: &[u8]) -> Result<Vec<u8>> {
        let who = self.doors.who(connection)?;
        let (call, form) = read(name, cbor::read(args, "the call's arguments")?)?;
        let member = self.workspace().await?.visit(who);
        let answer = member.call(call, self.settings.actor_limits.page_bytes).await?;
        within_a_message(write(&answer, form)?)
    }
}

/// The call that these arguments make. They are one object, or as it is for functions: a number, then a limit.
/// Behind the object may be another one that says how to answer.
fn read(name: &str, mut args: Vec<Value>) -> Result<(Call, Form)> {
    let second = if args.len() > 1 { args.swap_remove(1) } else { Value::Null };
    let first = args.into_iter().next().unwrap_or_default();
    let form = match second.get("as").and_then(Value::as_str) {
        Some("text") => Form::Text,
        _ => Form::Value,
    };
    let args = match first {
        Value::Number(since) if name == "getSequencedEvents" => {
            let limit = second.as_u64().or_else(|| second.get("limit")?.as_u64());
            json!({ "since": since, "limit": limit })
        }
        args => args,
    };
    Ok((Call::read(name, args)?, form))
}

fn write(answer: &RawValue, form: Form) -> Result<Vec<u8>> {
    match form {
        Form::Text => cbor::write(answer.get()),
        Form::Value => cbor::write(&json::value(answer.get())?),
    }
}

fn within_a_message(answer: Vec<u8>) -> Result<Vec<u8>> {
    let limit = LARGEST_MESSAGE as usize - ROOM;
    if answer.len() > limit {
        let message = format!("the answer has {} bytes, and {limit} fit into a message", answer.len());
        return Err(Error::new(ErrorKind::TooLarge { limit }, message));
    }
    Ok(answer)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_an_object_or_numbers() {
        let read = |name, args: Value| read(name, args.as_array().unwrap().clone());
        let page = Call::GetSequencedEvents { since: 7, limit: Some(20) };
        for args in [json!([7, 20]), json!([{ "since": 7, "limit": 20 }]), json!([7, { "limit": 20 }])] {
            assert_eq!(read("getSequencedEvents", args).unwrap(), (page.clone(), Form::Value));
        }
        let all = Call::GetSequencedEvents { since: 7, limit: None };
        assert_eq!(read("getSequencedEvents", json!([7])).unwrap().0, all);
        let text = json!([{ "since": 7, "limit": 20 }, { "as": "text" }]);
        assert_eq!(read("getSequencedEvents", text).unwrap(), (page, Form::Text));
        assert_eq!(read("cancel", json!([])).unwrap().0, Call::Cancel { session_id: None });
    }

    #[test]
    fn what_is_no_call_is_named() {
        let error = read("prompt", vec![json!(3)]).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("prompt"), "{error}");
        assert_eq!(*read("destroy", Vec::new()).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
