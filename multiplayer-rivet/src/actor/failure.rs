//! Errors on their way to a client.

use rivet_error::{RivetError, RivetErrorKind};
use sandbox_agent_multiplayer::Error;
use serde_json::value::to_raw_value;

/// The group of errors that the runtime lets through with their message and data.
const GROUP: &str = "user";

/// The error as the runtime hands it to a client: its code, its sentence, and all of it as JSON beside.
pub(super) fn to_client(error: &Error) -> anyhow::Error {
    let failure = error.to_failure();
    anyhow::Error::new(RivetError {
        meta: to_raw_value(&failure).ok(),
        message: Some(failure.message.clone()),
        kind: RivetErrorKind::Dynamic {
            group: GROUP.to_owned(),
            code: failure.code,
            default_message: failure.message,
        },
        actor: None,
    })
}
