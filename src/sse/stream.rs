//! One GET of a process's events.

use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderName};
use reqwest::{Method, Response};
use tokio::time::timeout;

use super::event::{self, SseEvent};
use super::frame::{Frame, Framer};
use crate::error::{Error, ErrorKind, Result};
use crate::http::{Http, accept, transport};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A stream has no end of its own, whatever total limit the caller's HTTP client sets on a request.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// What came on the stream.
#[derive(Debug)]
pub(crate) enum Item {
    Event {
        id: u64,
        data: String,
    },
    /// A comment: the connection lives.
    Heartbeat,
    /// An event that can't be read, with its id where that could be.
    Unreadable {
        id: Option<u64>,
        too_large: bool,
        head: String,
    },
}

/// An open stream of events.
#[derive(Debug)]
pub(crate) struct EventSource {
    response: Response,
    framer: Framer,
    silence: Duration,
}

impl EventSource {
    /// Connects; returns once the response's headers are in, within `silence`.
    pub(crate) async fn open(
        http: &Http,
        server_id: &str,
        after: u64,
        silence: Duration,
        max_event: usize,
    ) -> Result<Self> {
        let mut request = http
            .request(Method::GET, &["v1", "acp", server_id])
            .header(ACCEPT, "text/event-stream")
            .timeout(NO_LIMIT);
        if after > 0 {
            request = request.header(LAST_EVENT_ID, after);
        }
        let response = timeout(silence, request.send()).await.map_err(|_| dead(silence))?;
        let response = accept(response.map_err(transport)?).await?;
        Ok(Self { response, framer: Framer::new(max_event), silence })
    }

    /// The next item; `Ok(None)` when the server ended the stream. An error ends it too.
    ///
    /// Dropping the call loses nothing: bytes that were read stay in the framer.
    pub(crate) async fn next(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(frame) = self.framer.next() {
                return Ok(Some(read(frame)));
            }
            let chunk = timeout(self.silence, self.response.chunk()).await.map_err(|_| dead(self.silence))?;
            match chunk.map_err(transport)? {
                Some(chunk) => self.framer.push(&chunk),
                None => return Ok(None),
            }
        }
    }
}

fn read(frame: Frame) -> Item {
    match frame {
        Frame::Whole(bytes) => match event::parse(&bytes) {
            Ok(Some(SseEvent { id: Some(id), data })) => Item::Event { id, data },
            // Without an id it is none of the session's: the server numbers all of them.
            Ok(_) => Item::Heartbeat,
            Err(id) => Item::Unreadable { id, too_large: false, head: String::new() },
        },
        Frame::TooLarge(head) => Item::Unreadable {
            id: event::id_of(&head),
            too_large: true,
            head: String::from_utf8_lossy(&head).into_owned(),
        },
    }
}

fn dead(silence: Duration) -> Error {
    Error::new(ErrorKind::Unreachable, format!("the connection was silent for {silence:?}"))
}
