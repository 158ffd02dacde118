//! Writes a session as JSON Lines.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;

use super::line::{self, End};
use crate::walk::{self, Step, Walk};
use crate::{PersistError, PersistErrorKind, SessionEvent, SessionPersistDriver};

/// A session as JSON Lines, one at a time: nothing is lost, and never more than a page is in memory.
///
/// It has the session as it was when the first line was asked for. `driver` is anything that points to one:
/// a reference, an `Arc`.
///
/// # The lines
/// In this order, each a JSON object without a line break in it:
/// 1. A header: `{"format":"sandbox-agent-session","version":1,"sessionId":…,"record":…}`. A session without
///    a record has no `record`.
/// 2. Each event as its JSON, the payload byte for byte. One whose payload has line breaks between its members
///    has it as text, in `payloadText` in place of `payload`.
/// 3. `{"evicted":{"from":1,"to":120}}` in the place of events that the store has evicted.
/// 4. An end: `{"end":{"events":…,"bytes":…,"lastIndex":…}}`, with the number of events and the bytes of
///    their payloads. A file without it was cut off.
///
/// ```
/// use sandbox_agent_persist::SessionPersistDriverExt;
/// # use sandbox_agent_persist::{SessionPersistDriver, SessionRecord};
/// # use sandbox_agent_persist_memory::MemorySessionPersistDriver;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, other) = (MemorySessionPersistDriver::new(), MemorySessionPersistDriver::new());
/// # store.update_session(SessionRecord::new("default", "codex", 0)).await?;
/// let mut file = Vec::new();
/// let mut export = store.export("default");
/// while let Some(line) = export.next_line().await? {
///     file.extend_from_slice(line.as_bytes());
///     file.push(b'\n');
/// }
///
/// let mut import = other.import();
/// for line in std::str::from_utf8(&file)?.lines() {
///     import.line(line).await?;
/// }
/// println!("{} events", import.finish().await?.events);
/// # Ok(())
/// # }
/// ```
pub struct SessionExport<P> {
    driver: P,
    session_id: String,
    stage: Stage,
    /// Events that were read.
    events: VecDeque<SessionEvent>,
    written: End,
}

#[derive(Debug)]
enum Stage {
    Header,
    Events(Walk),
    /// A run was folded after a part of it had been written.
    Folded,
    Over,
}

impl<P> SessionExport<P>
where
    P: Deref,
    P::Target: SessionPersistDriver,
{
    /// The session of this id in this store.
    pub fn new(driver: P, session_id: impl Into<String>) -> Self {
        Self {
            driver,
            session_id: session_id.into(),
            stage: Stage::Header,
            events: VecDeque::new(),
            written: End::default(),
        }
    }

    /// The next line, without a line break at its end; `None` after the last.
    ///
    /// # Errors
    /// Those of the store: asked again, it goes on. `Other`: there is no such session, or it was deleted
    /// meanwhile. `Unavailable`: a run of events was folded after a part of it had been written; export it anew.
    ///
    /// # Cancellation
    /// Dropped, it is asked again.
    pub async fn next_line(&mut self) -> Result<Option<String>, PersistError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                self.written.count(&event);
                return line::event(&event).map(Some);
            }
            match &mut self.stage {
                Stage::Header => return self.header().await.map(Some),
                Stage::Folded => return Err(folded(&self.session_id)),
                Stage::Over => return Ok(None),
                Stage::Events(walk) => match walk.next(&*self.driver).await? {
                    Some(Step::Evicted { from, to }) => {
                        self.written.last_index = to;
                        return line::evicted(from, to).map(Some);
                    }
                    Some(Step::Events(events)) => {
                        if events.first().is_some_and(|first| first.first_index() <= self.written.last_index)
                        {
                            self.stage = Stage::Folded;
                            continue;
                        }
                        self.events = events.into();
                    }
                    None if !walk.is_over() => return Err(walk.gone("what was written is not the whole")),
                    None => {
                        self.stage = Stage::Over;
                        return line::end(self.written).map(Some);
                    }
                },
            }
        }
    }

    async fn header(&mut self) -> Result<String, PersistError> {
        let Some((record, until)) = walk::state(&*self.driver, &self.session_id).await? else {
            return Err(PersistError::new(
                PersistErrorKind::Other,
                format!("there is no session {:?} to export; list those that there are", self.session_id),
            ));
        };
        let header = line::header(&self.session_id, record.as_ref())?;
        self.stage = Stage::Events(Walk::new(&self.session_id, 0, until));
        Ok(header)
    }
}

fn folded(session_id: &str) -> PersistError {
    PersistError::new(
        PersistErrorKind::Unavailable,
        format!("events of session {session_id:?} were folded while it was exported; export it anew"),
    )
}

impl<P> fmt::Debug for SessionExport<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionExport")
            .field("session_id", &self.session_id)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}
