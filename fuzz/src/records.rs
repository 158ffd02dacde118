//! The JSON of records and events, and cursors: what is read is written back, and read again as the same.

use std::fmt::Debug;

use sandbox_agent_persist::{Cursor, ListEventsRequest, SessionEvent, SessionRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A record or an event, as a store of JSON blobs holds it.
///
/// # Panics
/// When one that was read can't be written, or is another one when it is read again.
pub fn records(bytes: &[u8]) {
    again::<SessionRecord>(bytes);
    if let Some(event) = again::<SessionEvent>(bytes) {
        // Looked for as bytes: what surrounds it need not be text.
        let payload = event.payload.get().as_bytes();
        let travelled = bytes.windows(payload.len()).any(|part| part == payload);
        assert!(travelled, "the payload is as it travelled");
    }
}

fn again<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&read).unwrap_or_else(|error| panic!("not to be written: {error}"));
    match serde_json::from_slice::<T>(&written) {
        Ok(again) => assert!(again == read, "{} is not {read:?}", String::from_utf8_lossy(&written)),
        Err(error) => panic!("{} can't be read: {error}", String::from_utf8_lossy(&written)),
    }
    Some(read)
}

/// A cursor that came back from a caller.
///
/// # Panics
/// When a cursor that stands at something is not the one that was given for it.
pub fn cursors(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let cursor = Cursor::from_text(text.clone());
    assert_eq!(cursor.as_str(), text);
    let (event, session) = (cursor.event_key(), cursor.session_key());
    assert!(event.is_err() || session.is_err(), "a cursor of two lists");
    if let Ok((created_at, id)) = session {
        assert_eq!(Cursor::at_session(created_at, id), cursor);
    }
    if let Ok(index) = event {
        assert_eq!(Cursor::at_event(index), cursor);
        // Beyond its place, and nothing else.
        let (after, before) = match ListEventsRequest::new("s").cursor(cursor.clone()).bounds() {
            Ok(bounds) => bounds,
            Err(error) => panic!("{text} is a cursor and has no bounds: {error}"),
        };
        assert_eq!((after, before), (Some(index), None));
        let written = Cursor::at_session(index.cast_signed(), &text);
        assert_eq!(written.session_key().ok(), Some((index.cast_signed(), &*text)));
    }
}
