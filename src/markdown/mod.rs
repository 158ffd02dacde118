//! A session of a store as Markdown, to read.

mod render;

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use sandbox_agent_persist::{
    ListEventsRequest, PersistError, PersistErrorKind, SessionEvent, SessionPersistDriver,
};

use self::render::Renderer;
use crate::error::{Error, ErrorKind, Result};
use crate::session::readable;

/// So few events are read at once that they fit into memory, where they are large.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
const FIRST_PAGE: usize = 16;
const PAGE: usize = 256;

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
    /// The session with this id; an error [`SessionNotFound`](ErrorKind::SessionNotFound) where the store has no record of it,
    /// and [`InvalidInput`](ErrorKind::InvalidInput) where it is encrypted, and the store not read through the layer that has its key.
    pub fn of<P>(store: P, session_id: impl Into<String>) -> Self
    where
        P: Deref<Target: SessionPersistDriver> + Send + Sync + 'a,
    {
        let reader = Reader {
            store,
            session_id: session_id.into(),
            after: None,
            page: FIRST_PAGE,
            renderer: Renderer::default(),
            state: At::Head,
        };
        let pieces = stream::unfold(reader, |mut reader| async {
            let piece = reader.next().await;
            if piece.is_err() {
                reader.state = At::End;
            }
            Some((piece.transpose()?, reader))
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

enum At {
    Head,
    Events,
    End,
}

struct Reader<P> {
    store: P,
    session_id: String,
    after: Option<u64>,
    page: usize,
    renderer: Renderer,
    state: At,
}

impl<P> Reader<P>
where
    P: Deref<Target: SessionPersistDriver>,
{
    async fn next(&mut self) -> Result<Option<String>> {
        match self.state {
            At::Head => {
                self.state = At::Events;
                let record = self.store.get_session(&self.session_id).await?.ok_or_else(|| {
                    let id = &self.session_id;
                    Error::new(ErrorKind::SessionNotFound, format!("the store has no session {id:?}"))
                })?;
                Ok(Some(render::head(&readable(record)?)))
            }
            At::Events => self.events().await,
            At::End => Ok(None),
        }
    }

    /// The text of the next page, or of what is missing before it.
    async fn events(&mut self) -> Result<Option<String>> {
        let mut request = ListEventsRequest::new(&self.session_id).limit(self.page);
        request.after_index = self.after;
        let page = match self.store.list_events(request).await {
            Err(error) => return self.evicted(error).map(Some),
            Ok(page) => page,
        };
        let mut text = String::new();
        for event in &page.items {
            if self.after.is_none() && event.first_index() > 1 {
                text.push_str(&self.renderer.missing(1, event.first_index() - 1));
            }
            self.after = Some(event.event_index);
            self.renderer.add(event, &mut text);
        }
        let bytes: usize = page.items.iter().map(SessionEvent::size).sum();
        self.page = (PAGE_BYTES / (bytes / page.items.len().max(1) + 1)).clamp(1, PAGE);
        if page.next_cursor.is_none() {
            self.state = At::End;
            text.push_str(&self.renderer.end());
        }
        Ok(Some(text))
    }

    fn evicted(&mut self, error: PersistError) -> Result<String> {
        match error.kind() {
            PersistErrorKind::Evicted { from, to } if self.after.is_none_or(|after| after < to) => {
                self.after = Some(to);
                Ok(self.renderer.missing(from, to))
            }
            _ => Err(error.into()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
