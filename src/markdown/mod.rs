//! A session of a store as Markdown, to read.

mod render;

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use sandbox_agent_persist::SessionPersistDriver;

use self::render::Renderer;
use crate::error::Result;
use crate::reading::{Pages, Read};

/// A session of a store as Markdown: who said what, thoughts, tool calls, plans, permissions, gaps.
///
/// A stream of pieces of text, read page by page: put together, they are the document. It ends
/// with the newest event that was stored when its turn came to be read. Needs neither a server nor an SDK, only the
/// store: `store` is anything that points to one, a reference or an `Arc`. Any error is the last item; each call of the store lasts as long as the store takes, and dropping the
/// stream is safe. For a copy that loses nothing there is JSON Lines: see [`persist`](crate::persist).
///
/// ```
/// use futures::TryStreamExt;
/// use sandbox_agent_sdk::{Markdown, MemorySessionPersistDriver, SessionPersistDriver, SessionRecord};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemorySessionPersistDriver::new();
/// store.update_session(SessionRecord::new("default", "claude", 0)).await?;
/// let document: String = Markdown::of(&store, "default").try_collect().await?;
/// assert!(document.starts_with("# default"));
/// # Ok(()) }
/// ```
pub struct Markdown<'a>(BoxStream<'a, Result<String>>);

impl<'a> Markdown<'a> {
    /// The session with this id; an error [`SessionNotFound`](crate::ErrorKind::SessionNotFound) where the store has no record of it,
    /// and [`InvalidInput`](crate::ErrorKind::InvalidInput) where it is encrypted, and the store not read through the layer that has its key.
    pub fn of<P>(store: P, session_id: impl Into<String>) -> Self
    where
        P: Deref<Target: SessionPersistDriver> + Send + Sync + 'a,
    {
        let reader = Some((Pages::new(store, session_id), Renderer::default()));
        let pieces = stream::unfold(reader, |reader| async {
            let (mut pages, mut renderer) = reader?;
            match pages.next().await {
                Err(error) => Some((Err(error), None)),
                Ok(None) => Some((Ok(renderer.end()), None)),
                Ok(Some(read)) => Some((Ok(written(&mut renderer, read)), Some((pages, renderer)))),
            }
        });
        Self(pieces.boxed())
    }
}

impl Stream for Markdown<'_> {
    type Item = Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Markdown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Markdown")
    }
}

fn written(renderer: &mut Renderer, read: Read) -> String {
    match read {
        Read::Record(record) => render::head(&record),
        Read::Missing { from, to } => renderer.missing(from, to),
        Read::Events(events) => {
            let mut text = String::new();
            for event in &events {
                renderer.add(event, &mut text);
            }
            text
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
