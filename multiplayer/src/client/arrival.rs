//! What arrives: a frame, or the notice that there is one.

use std::sync::Arc;

use sandbox_agent_sdk::persist::RawValue;
use serde::Deserialize;
use serde_json::json;

use crate::error::{Error, Result};
use crate::frame::{Frame, FrameBody};

/// The kind of what stands for a frame that is too large.
const LARGE: &str = "large";

#[derive(Clone, Debug)]
pub(super) enum Arrival {
    Frame(Arc<Frame>),
    Large(Large),
}

/// A frame that is too large for one message, and has to be fetched by parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Large {
    pub(super) from: u64,
    pub(super) sequence: u64,
    pub(super) bytes: usize,
}

#[derive(Deserialize)]
struct Stub {
    sequence: u64,
    #[serde(default)]
    from: Option<u64>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    bytes: usize,
}

impl Arrival {
    pub(super) fn read(json: &str) -> Result<Self> {
        let error = match Frame::from_json(json) {
            Ok(frame) => return Ok(Self::of(frame)),
            Err(error) => error,
        };
        match serde_json::from_str::<Stub>(json) {
            Ok(Stub { sequence, from, kind, bytes }) if kind == LARGE => {
                Ok(Self::Large(Large { from: from.unwrap_or(sequence).min(sequence), sequence, bytes }))
            }
            _ => Err(error),
        }
    }

    /// What a frame is, which may stand for another one: `{…, "type": "large", "data": {"bytes": 3000000}}`.
    fn of(frame: Frame) -> Self {
        let bytes = match &frame.body {
            FrameBody::Other { kind, data } if kind == LARGE => data["bytes"].as_u64(),
            _ => None,
        };
        match bytes.and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => Self::Large(Large { from: frame.from, sequence: frame.sequence, bytes }),
            None => Self::Frame(Arc::new(frame)),
        }
    }

    /// Reads one, or an array of several.
    pub(super) fn read_all(json: &str) -> Result<Vec<Self>> {
        if !json.trim_start().starts_with('[') {
            return Ok(vec![Self::read(json)?]);
        }
        let parts: Vec<&RawValue> = serde_json::from_str(json)
            .map_err(|error| Error::protocol("what was pushed is no array of frames").with_source(error))?;
        parts.into_iter().map(|part| Self::read(part.get())).collect()
    }

    /// The first and the last place that it stands for.
    pub(super) fn places(&self) -> (u64, u64) {
        match self {
            Self::Frame(frame) => (frame.from, frame.sequence),
            Self::Large(large) => (large.from, large.sequence),
        }
    }

    /// About how many bytes it takes in memory.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.size(),
            Self::Large(_) => size_of::<Self>(),
        }
    }
}

impl Large {
    /// What stands for it where it is larger than the client takes: its place and size, never nothing.
    pub(super) fn withheld(self) -> Arc<Frame> {
        let body = FrameBody::Other { kind: LARGE.to_owned(), data: json!({ "bytes": self.bytes }) };
        Arc::new(Frame::standing_from(self.from, self.sequence, 0, body))
    }
}

/// The frame without the places that were told already.
pub(super) fn behind(frame: Arc<Frame>, after: u64) -> Arc<Frame> {
    if frame.from > after {
        return frame;
    }
    Arc::new(Frame::standing_from(after + 1, frame.sequence, frame.at, frame.body.clone()))
}

/// Whether what a frame changed is not in it, so that a snapshot can't be carried over it.
pub(super) fn hides_changes(frame: &Frame) -> bool {
    match &frame.body {
        FrameBody::Evicted => true,
        FrameBody::Other { kind, .. } => kind == LARGE,
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn frames_and_what_stands_for_them_are_told_apart() {
        let frame = r#"{"sequence":3,"at":1,"type":"evicted","data":{}}"#;
        let stub = r#"{"sequence":17,"from":15,"type":"large","bytes":3000000}"#;
        let read = Arrival::read_all(&format!(" [{frame},{stub}]")).unwrap();
        assert_eq!(read.iter().map(Arrival::places).collect::<Vec<_>>(), [(3, 3), (15, 17)]);
        let Arrival::Large(large) = &read[1] else { panic!("{read:?}") };
        assert_eq!(large.bytes, 3_000_000);
        assert!(hides_changes(&large.withheld()));
        let with_data = r#"{"sequence":17,"from":15,"at":1,"type":"large","data":{"bytes":3000000}}"#;
        let Arrival::Large(same) = Arrival::read(with_data).unwrap() else { panic!("{with_data}") };
        assert_eq!(same, *large);
        // A kind of that name that says something else is a frame.
        let named = Arrival::read(r#"{"sequence":4,"type":"large","data":{}}"#).unwrap();
        assert!(matches!(named, Arrival::Frame(_)));
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for json in ["", "[1]", "{}", r#"{"sequence":1,"type":"state"}"#, r#"{"type":"large"}"#] {
            let error = Arrival::read_all(json).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Protocol, "{json}");
        }
    }
}
