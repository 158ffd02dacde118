//! How the line is stored: an entry for each frame, and one for a run of a session's events.

use sandbox_agent_sdk::persist::RawValue;
use sandbox_agent_sdk::{Sender, SessionEvent};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;

use crate::error::{Error, ErrorKind, Result};
use crate::frame::FrameBody;

const FRAME: &str = "_sandbox_agent/frame";
const EVENTS: &str = "_sandbox_agent/frames";

/// One entry of the stored line.
#[derive(Debug)]
pub(crate) enum Entry {
    Frame(FrameBody),
    /// The events of a session with these indexes, one place each.
    Events {
        session_id: String,
        from: u64,
        to: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    jsonrpc: &'a str,
    method: &'a str,
    #[serde(borrow)]
    params: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
struct FrameParams<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventsParams {
    session_id: String,
    from: u64,
    to: u64,
}

impl Entry {
    pub(super) fn payload(&self) -> Result<Box<RawValue>> {
        let (method, params) = match self {
            Self::Frame(body) => {
                let data = body.data().map_err(unprintable)?;
                (FRAME, to_raw_value(&FrameParams { kind: body.kind().into(), data: &data }))
            }
            Self::Events { session_id, from, to } => {
                let params = EventsParams { session_id: session_id.clone(), from: *from, to: *to };
                (EVENTS, to_raw_value(&params))
            }
        };
        let params = params.map_err(unprintable)?;
        to_raw_value(&Envelope { jsonrpc: "2.0", method, params: &params }).map_err(unprintable)
    }

    /// Reads an entry of the line. What an entry of a later version says is a frame that is not known.
    pub(super) fn read(event: &SessionEvent) -> Result<Self> {
        let broken = |error| {
            let message = format!(
                "entry {} of workspace {:?} can't be read; restore the store, or open another workspace",
                event.event_index, event.session_id
            );
            Error::new(ErrorKind::Store, message).with_source(error)
        };
        let envelope: Envelope<'_> = serde_json::from_str(event.payload.get()).map_err(broken)?;
        if envelope.method == EVENTS {
            let EventsParams { session_id, from, to } =
                serde_json::from_str(envelope.params.get()).map_err(broken)?;
            return Ok(Self::Events { session_id, from, to });
        }
        let params: FrameParams<'_> = serde_json::from_str(envelope.params.get()).map_err(broken)?;
        Ok(Self::Frame(FrameBody::read(&params.kind, params.data)))
    }
}

/// The entry as the store takes it.
pub(super) fn stored(
    line: &str,
    id: String,
    (from, to): (u64, u64),
    at: i64,
    entry: &Entry,
) -> Result<SessionEvent> {
    let event = SessionEvent::new(id, to, line, at, "", Sender::Client, entry.payload()?);
    Ok(event.standing_from(from))
}

fn unprintable(error: serde_json::Error) -> Error {
    Error::invalid("a frame could not be written as JSON").with_source(error)
}
