//! One GET of a process's events.

use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderName};
use reqwest::{Method, RequestBuilder, Response};
use tokio::time::timeout;

use super::event::{self, SseEvent};
use super::frame::{Frame, Framer};
use crate::error::{Error, ErrorKind, Result};
use crate::http::{Http, NO_LIMIT, transport, within};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

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

impl Item {
    /// The id of an event.
    pub(crate) fn id(&self) -> Option<u64> {
        match self {
            Self::Event { id, .. } => Some(*id),
            Self::Unreadable { id, .. } => *id,
            Self::Heartbeat => None,
        }
    }

    /// The bytes that it holds.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Event { data, .. } => data.len(),
            Self::Unreadable { head, .. } => head.len(),
            Self::Heartbeat => 0,
        }
    }
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
        let mut request = http.request(Method::GET, &["v1", "acp", server_id]);
        if after > 0 {
            request = request.header(LAST_EVENT_ID, after);
        }
        Self::connect(http, request, silence, max_event).await
    }

    /// The same for any address that gives events.
    pub(crate) async fn connect(
        http: &Http,
        request: RequestBuilder,
        silence: Duration,
        max_event: usize,
    ) -> Result<Self> {
        let request = request.header(ACCEPT, "text/event-stream").timeout(NO_LIMIT);
        // The body of a refusal is part of what may not come.
        let response = async { http.accept(http.send(request).await?).await };
        let response = within(silence, response).await.map_err(|_| dead(silence))??;
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
            match self.read(self.silence).await {
                None => return Err(dead(self.silence)),
                Some(read) => {
                    if !read? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The same for a stream that is read only as long as it gives something: `Ok(None)` also
    /// when no byte came for as long as `quiet`, or a heartbeat showed that all was sent.
    pub(crate) async fn next_while_it_gives(&mut self, quiet: Duration) -> Result<Option<Item>> {
        loop {
            match self.framer.next().map(read) {
                Some(Item::Heartbeat) => return Ok(None),
                Some(item) => return Ok(Some(item)),
                None => {}
            }
            match self.read(quiet).await {
                None => return Ok(None),
                Some(read) => {
                    if !read? {
                        return Err(Error::new(ErrorKind::Unreachable, "the server ended the event stream"));
                    }
                }
            }
        }
    }

    /// Reads what the socket gives: whether there was any, `None` when nothing came within `limit`.
    async fn read(&mut self, limit: Duration) -> Option<Result<bool>> {
        let chunk = timeout(limit, self.response.chunk()).await.ok()?;
        Some(chunk.map_err(transport).map(|chunk| chunk.inspect(|chunk| self.framer.push(chunk)).is_some()))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_refusal_whose_body_never_comes_ends_within_the_silence() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await;
            socket.write_all(b"HTTP/1.1 503 x\r\ncontent-length: 100\r\n\r\n").await.unwrap();
            std::future::pending::<()>().await;
        });
        let http = Http::new(reqwest::Client::new(), &url, None, &[]).unwrap();
        let open = EventSource::open(&http, "s", 0, Duration::from_millis(200), 1000);
        let error = timeout(Duration::from_secs(3), open).await.unwrap().unwrap_err();
        assert!(error.is_unreachable(), "{error:?}");
    }
}
