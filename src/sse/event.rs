//! Reads one framed event.

use std::convert::Infallible;

use eventsource_stream::Eventsource;
use futures::{FutureExt, StreamExt, stream};

/// What an event carries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SseEvent {
    pub(crate) id: Option<u64>,
    pub(crate) data: String,
}

/// The event in a frame; `Ok(None)` for a comment, `Err` with its id for one that is not UTF-8.
///
/// The parser gets one line at a time: fed with more it copies the rest for every line.
pub(crate) fn parse(frame: &[u8]) -> Result<Option<SseEvent>, Option<u64>> {
    let lines = frame.split_inclusive(|&byte| byte == b'\n').map(Ok::<_, Infallible>);
    let event = stream::iter(lines).eventsource().next().now_or_never().flatten();
    match event {
        None => Ok(None),
        Some(Ok(event)) => Ok(Some(SseEvent { id: event.id.parse().ok(), data: event.data })),
        Some(Err(_)) => Err(id_of(frame)),
    }
}

/// The id line of an event whose data can't be read.
pub(crate) fn id_of(frame: &[u8]) -> Option<u64> {
    let line = frame.split(|&byte| byte == b'\n').find(|line| line.starts_with(b"id:"))?;
    std::str::from_utf8(&line[3..]).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_event() {
        let event = parse(b"event: message\nid: 12\ndata: {\"a\":1}\n\n");
        assert_eq!(event, Ok(Some(SseEvent { id: Some(12), data: "{\"a\":1}".into() })));
    }

    #[test]
    fn joins_lines_and_tolerates_carriage_returns() {
        let event = parse(b"id: 1\r\ndata: a\r\ndata: b\r\n\r\n");
        assert_eq!(event, Ok(Some(SseEvent { id: Some(1), data: "a\nb".into() })));
    }

    #[test]
    fn a_comment_is_no_event() {
        assert_eq!(parse(b": heartbeat\n\n"), Ok(None));
    }

    #[test]
    fn an_event_that_is_not_utf8_still_has_its_id() {
        assert_eq!(parse(b"id: 9\ndata: \xff\xfe\n\n"), Err(Some(9)));
    }
}
