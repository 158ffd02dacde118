//! Errors that the engine's client has as text only.
//!
//! `RPC Error(GROUP/CODE): MESSAGE, JSON` over a socket, and
//! `action failed (GROUP/CODE): MESSAGE, metadata=…` over HTTP.

use sandbox_agent_multiplayer::{Error, ErrorKind, Failure};
use sandbox_agent_sdk::Delivery;
use serde_json::{Value, json};

/// The group of the host's own errors, whose codes are those of [`ErrorKind`].
const HOST: &str = "user";

/// The error that this text is about.
pub(super) fn of(error: &anyhow::Error) -> Error {
    let text = format!("{error:#}");
    let Some((group, code, said)) = parts(&text) else {
        return lost(&text);
    };
    match (group, code) {
        (HOST, code) => host_error(code, said),
        ("actor", "not_found" | "destroyed_while_waiting_for_ready") => not_there(),
        ("auth", _) => Error::new(ErrorKind::Refused, format!("the engine lets nobody in like this: {said}")),
        ("message", code) => Error::new(
            ErrorKind::TooLarge { limit: 0 },
            format!("the engine carries no such message: {code}"),
        ),
        ("actor", "action_timed_out") => {
            Error::new(ErrorKind::TimedOut, format!("the workspace's actor did not answer in time: {said}"))
        }
        _ => lost(&text),
    }
}

pub(super) fn not_there() -> Error {
    Error::new(ErrorKind::NotFound, "the workspace is not there; make it, or look at its key")
}

/// The error that the engine's API answered with.
pub(super) fn of_engine(status: u16, body: &str) -> Error {
    let said: Value = serde_json::from_str(body).unwrap_or_default();
    let (group, code) =
        (said["group"].as_str().unwrap_or_default(), said["code"].as_str().unwrap_or_default());
    let message = said["message"].as_str().unwrap_or("no reason given");
    let message = format!("the engine answered {status} {group}/{code}: {message}");
    let kind = match status {
        401 | 403 => ErrorKind::Refused,
        400 if group == "api" => ErrorKind::InvalidInput,
        // Such as no host that has come to the engine yet.
        _ => ErrorKind::Disconnected,
    };
    Error::new(kind, message)
}

/// The way to the actor broke, or the actor is on its way elsewhere: another try may find it.
fn lost(text: &str) -> Error {
    Error::new(ErrorKind::Disconnected, format!("the workspace's actor was not reached: {text}"))
        .with_delivery(Delivery::Unknown)
}

/// The group, the code, and what follows.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (_, behind) = text.split_once("RPC Error(").or_else(|| text.split_once("action failed ("))?;
    let (name, said) = behind.split_once("): ")?;
    let (group, code) = name.split_once('/')?;
    Some((group, code, said))
}

fn host_error(code: &str, said: &str) -> Error {
    // The message may have what looks like the data's beginning; only the data is JSON to the end.
    let places = said.match_indices(", ").map(|(at, _)| at);
    for at in places {
        if let Ok(failure) = serde_json::from_str::<Failure>(&said[at + 2..]) {
            return Error::from_failure(&failure);
        }
    }
    let message = said.rsplit_once(", metadata=").map_or(said, |(message, _)| message);
    let failure: Result<Failure, _> =
        serde_json::from_value(json!({ "code": code, "message": message, "data": Value::Null }));
    failure.map_or_else(|_| lost(said), |failure| Error::from_failure(&failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Error {
        of(&anyhow::anyhow!("{text}"))
    }

    #[test]
    fn the_hosts_errors_come_whole_over_a_socket() {
        let sent = Error::new(
            ErrorKind::NotDriving { drivers: vec!["ada".to_owned(), "bob".to_owned()] },
            "ada, {bob} drives, \"now\"; ask for control",
        )
        .with_delivery(Delivery::NotSent);
        let failure = serde_json::to_value(sent.to_failure()).unwrap_or_default();
        let got = read(&format!("RPC Error(user/not_driving): {sent}, {failure:#}"));
        assert_eq!(got.kind(), sent.kind());
        assert_eq!(got.to_string(), sent.to_string());
        assert_eq!(got.delivery(), Some(Delivery::NotSent));
    }

    #[test]
    fn over_http_they_come_without_their_data() {
        let got = read(
            "action failed (user/refused): log in, first, metadata=Some(Object {\"code\": String(\"refused\")})",
        );
        assert_eq!((got.kind(), &*got.to_string()), (&ErrorKind::Refused, "log in, first"));
        let got = read("RPC Error(user/full): as many wait as may, null");
        assert_eq!(*got.kind(), ErrorKind::Full);
    }

    #[test]
    fn what_the_engine_says_is_told_apart() {
        let kind = |text: &str| read(text).kind().clone();
        assert_eq!(kind("action failed (actor/not_found): no, metadata=None"), ErrorKind::NotFound);
        assert_eq!(
            kind("RPC Error(message/outgoing_too_long): long, null"),
            ErrorKind::TooLarge { limit: 0 }
        );
        assert_eq!(kind("RPC Error(actor/dropped_reply): gone, null"), ErrorKind::Disconnected);
        assert_eq!(kind("Socket closed during rpc"), ErrorKind::Disconnected);
    }
}
