//! Frames as SSE.

use std::collections::VecDeque;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use sandbox_agent_multiplayer::{Error, ErrorKind, Frames, Member};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::failure::Refusal;
use crate::host::Host;
use crate::{outgoing, protocol, request};

/// How many frames are taken at once.
const BATCH: usize = 64;

pub(crate) async fn stream(
    State(host): State<Host>,
    Path(workspace): Path<String>,
    Query(query): Query<request::Query>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let place = host.place()?;
    let after = begin(&headers, &query)?;
    let request = request::of(&workspace, &headers, query, &host.options);
    let visitor = host.visitor(&request).await?;
    if let Some(after) = after {
        visitor.frames_after(after)?;
    }
    let member = visitor.workspace().seat(visitor.participant().clone()).await?;
    let snapshot = member.snapshot()?;
    let after = after.unwrap_or(snapshot.sequence);
    let frames = member.frames_after(after)?;
    let welcome = protocol::welcome(&snapshot, member.participant(), after)?;

    let mut ping = interval(host.options.ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping.reset();
    let mut told = VecDeque::new();
    tell(&mut told, Some("welcome"), Some(after), welcome.into());
    let reader = Reader { host, frames, ping, told, ended: false, _member: member, _place: place };
    let body = stream::unfold(reader, |mut reader| async {
        let next = reader.next().await?;
        Some((Ok::<_, std::convert::Infallible>(next), reader))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect answers would hold the frames back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Where to begin. What a browser that comes back says counts before what its page once asked for.
fn begin(headers: &HeaderMap, query: &request::Query) -> Result<Option<u64>, Error> {
    let header = headers.get("last-event-id").map(|id| id.to_str().unwrap_or("?"));
    let asked = query.iter().find(|(name, _)| name == "after").map(|(_, after)| &**after);
    let Some(after) = header.filter(|id| !id.is_empty()).or(asked) else { return Ok(None) };
    let number = after.parse();
    let message = "the frame to begin after is a whole number: that of the last one that was read";
    number.map(Some).map_err(|error| Error::new(ErrorKind::InvalidInput, message).with_source(error))
}

/// One who reads, for as long as the answer's body is.
struct Reader {
    host: Host,
    frames: Frames,
    ping: Interval,
    /// Parts of events that are not written yet: one batch, whose frames are shared.
    told: VecDeque<Bytes>,
    ended: bool,
    /// Shows that they are here.
    _member: Member,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// The next part; asked for only when there is room for it.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(part) = self.told.pop_front() {
                return Some(part);
            }
            if self.ended {
                return None;
            }
            self.wait().await;
        }
    }

    async fn wait(&mut self) {
        tokio::select! {
            frames = self.frames.recv_many(BATCH) => match frames {
                Some(Ok(frames)) => {
                    for frame in frames {
                        let json = outgoing::line(frame.json_within(self.host.options.frame_bytes));
                        tell(&mut self.told, None, Some(frame.sequence), json);
                    }
                }
                Some(Err(error)) => self.end(&error),
                None => self.end(&Error::new(ErrorKind::Closed, "the workspace was closed")),
            },
            _ = self.ping.tick() => self.told.push_back(Bytes::from_static(b": heartbeat\n\n")),
            () = self.host.workspaces.stop.cancelled() => {
                self.end(&Error::new(ErrorKind::Closed, "this server is ending; connect again"));
            }
        }
    }

    fn end(&mut self, error: &Error) {
        let failure = serde_json::to_string(&error.to_failure()).unwrap_or_default();
        tell(&mut self.told, Some("failure"), None, failure.into());
        self.ended = true;
    }
}

/// An event in parts, so that what it says is not copied.
fn tell(told: &mut VecDeque<Bytes>, kind: Option<&str>, id: Option<u64>, json: Bytes) {
    let mut head = String::new();
    if let Some(kind) = kind {
        head.push_str(&format!("event: {kind}\n"));
    }
    if let Some(id) = id {
        head.push_str(&format!("id: {id}\n"));
    }
    head.push_str("data: ");
    told.extend([head.into(), json, Bytes::from_static(b"\n\n")]);
}
