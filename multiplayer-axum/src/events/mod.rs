//! Frames as SSE: a task that writes, and a body that hands on what it wrote.
//!
//! A server asks a body for more only when the client takes what there is. The task goes on all the same,
//! so that it sees how long nothing is taken, and that the server is to end.

mod writer;

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures::{StreamExt, stream};
use sandbox_agent_multiplayer::{Error, ErrorKind};
use tokio::sync::mpsc;

use self::writer::Writer;
use crate::failure::Refusal;
use crate::host::Host;
use crate::{protocol, request};

pub(crate) async fn stream(
    State(host): State<Host>,
    Path(workspace): Path<String>,
    Query(query): Query<request::Query>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let place = host.place()?;
    let after = begin(&headers, &query)?;
    let line = parameter(&query, "line").map(str::to_owned);
    let request = request::of(&workspace, &headers, query, &host.options);
    let visitor = host.visitor(&request).await?;
    if let Some(after) = after {
        visitor.check_line(line.as_deref())?;
        visitor.frames_after(after)?;
    }
    let member = visitor.workspace().seat(visitor.participant().clone()).await?;
    let snapshot = member.snapshot()?;
    let after = after.unwrap_or(snapshot.sequence);
    let frames = member.frames_after(after)?;
    let welcome = protocol::welcome(&snapshot, member.participant(), after)?;

    let (sender, mut parts) = mpsc::channel(1);
    let writer = Writer::new(&host, frames, after, welcome);
    host.workspaces.connections.spawn(async move {
        writer.run(sender).await;
        // Whoever takes nothing is no longer here, whatever becomes of the answer's body.
        drop((member, place));
    });
    let body = stream::poll_fn(move |context| parts.poll_recv(context)).map(Ok::<_, Infallible>);
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
    let header = header.filter(|id| !id.is_empty());
    let Some(after) = header.or_else(|| parameter(query, "after")) else { return Ok(None) };
    let number = after.parse();
    let message = "the frame to begin after is a whole number: that of the last one that was read";
    number.map(Some).map_err(|error| Error::new(ErrorKind::InvalidInput, message).with_source(error))
}

fn parameter<'a>(query: &'a request::Query, name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
}
