//! How the line is stored: an entry for each frame, and one for a run of a session's events.

use sandbox_agent_sdk::SessionEvent;
use sandbox_agent_sdk::persist::RawValue;
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

/// What the entry of a frame says.
pub(super) fn of_frame(body: &FrameBody) -> Result<Box<RawValue>> {
    let data = body.data().map_err(unprintable)?;
    envelope(FRAME, &FrameParams { kind: body.kind().into(), data: &data })
}

/// What the entry of a run of a session's events says.
pub(super) fn of_events(session_id: String, from: u64, to: u64) -> Result<Box<RawValue>> {
    envelope(EVENTS, &EventsParams { session_id, from, to })
}

fn envelope(method: &str, params: &impl Serialize) -> Result<Box<RawValue>> {
    let params = to_raw_value(params).map_err(unprintable)?;
    to_raw_value(&Envelope { jsonrpc: "2.0", method, params: &params }).map_err(unprintable)
}

fn unprintable(error: serde_json::Error) -> Error {
    Error::invalid("a frame could not be written as JSON").with_source(error)
}
