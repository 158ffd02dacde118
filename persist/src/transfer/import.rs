//! Reads a session from JSON Lines.

use std::fmt;
use std::ops::Deref;

use super::line::{self, End, Evicted, Line};
use super::proof::{Sameness, same_origin, unproven};
use super::stand_in;
use super::target::Target;
use crate::walk::{PAGE, PAGE_BYTES};
use crate::{PersistError, PersistErrorKind, SessionEvent, SessionPersistDriver, SessionRecord, brief};

/// Takes the lines that a [`SessionExport`](crate::SessionExport) wrote, and stores the session.
///
/// Whatever a line says is checked before anything of it is stored. Events are stored in batches, and
/// the record last of all, by [`finish`](Self::finish): a file that was cut off leaves events without a
/// record, which is in no list. An import that was broken off is made again from the first line: events
/// that are there already are compared and left as they are.
///
/// The place of evicted events is taken by one event that stands for them, a notification
/// [`EVICTED`](crate::envelope::EVICTED).
///
/// `driver` is anything that points to one: a reference, an `Arc`. An example is with [`SessionExport`](crate::SessionExport).
pub struct SessionImport<P> {
    driver: P,
    name: Option<String>,
    sameness: Sameness,
    line: u64,
    session: Option<Session>,
    read: End,
    is_whole: bool,
    batch: Vec<SessionEvent>,
    batch_bytes: usize,
    imported: Imported,
}

/// What a line comes to.
enum Checked {
    Noted,
    Event(SessionEvent),
    StandIn(SessionEvent),
}

/// What the header says.
struct Session {
    exported_id: String,
    record: Option<Box<SessionRecord>>,
    target: Target,
    is_checked: bool,
}

/// What became of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The session, by the id that it has here.
    pub session_id: String,
    /// The events of the file.
    pub events: u64,
    /// So many were stored, those that stand for evicted ones included.
    pub stored: u64,
    /// So many were there already.
    pub known: u64,
    /// The last index of the file.
    pub last_index: u64,
    /// Whether the record was stored: not where the same one was there, or the file has none.
    pub record_stored: bool,
}

impl<P> SessionImport<P>
where
    P: Deref,
    P::Target: SessionPersistDriver,
{
    /// Into this store.
    pub fn new(driver: P) -> Self {
        Self {
            driver,
            name: None,
            sameness: Sameness::Whole,
            line: 0,
            session: None,
            read: End::default(),
            is_whole: false,
            batch: Vec::new(),
            batch_bytes: 0,
            imported: Imported::default(),
        }
    }

    /// Gives the session another id, so that it is a session of its own beside the one that was exported.
    ///
    /// Its events get other ids, the same ones whenever it is imported under this id. It has no agent
    /// process, which is the other one's: its record has no `last_connection_id`. Payloads stay as they are.
    /// To be called before the first line.
    #[must_use]
    pub fn as_session(mut self, session_id: impl Into<String>) -> Self {
        self.name = Some(session_id.into());
        self
    }

    /// Takes an event that is there for the one of the file even if their payloads differ: for a store that
    /// changes what it is given, such as one that redacts it.
    /// To be called before the first line.
    #[must_use]
    pub fn payloads_may_differ(mut self) -> Self {
        self.sameness = Sameness::ButPayload;
        self
    }

    /// Takes the next line, with or without its line break. Empty ones are passed over, and so is a byte order
    /// mark before the first.
    ///
    /// # Errors
    /// `Corrupt`: the line is not what must come here; it is named by its number, from 1, and the session. `Other`: the
    /// store has another session of this id; the first event that differs is named. And those of the store.
    /// The line was not taken: after an error of the store the same line can be given again.
    ///
    /// # Cancellation
    /// Dropped, the line was not taken, and can be given again.
    pub async fn line(&mut self, line: &str) -> Result<(), PersistError> {
        let number = self.line + 1;
        // Some editors put a byte order mark before all that they save.
        let line = line.strip_prefix('\u{feff}').filter(|_| self.line == 0).unwrap_or(line);
        let text = line.trim();
        if text.is_empty() {
            self.line = number;
            return Ok(());
        }
        let read = line::read(text).map_err(|wrong| self.wrong(&wrong))?;
        let (event, is_stand_in) = match self.check(read)? {
            Checked::Noted => {
                self.line = number;
                return Ok(());
            }
            Checked::Event(event) => (event, false),
            Checked::StandIn(event) => (event, true),
        };
        if self.batch.len() >= PAGE || self.batch_bytes + event.size() > PAGE_BYTES {
            self.flush().await?;
        }
        match is_stand_in {
            true => self.read.last_index = event.event_index,
            false => self.read.count(&event),
        }
        self.batch_bytes += event.size();
        self.batch.push(event);
        self.line = number;
        Ok(())
    }

    /// Stores what is left, and the record.
    ///
    /// # Errors
    /// `Corrupt`: the file has no end, so that it was cut off. And those of [`line`](Self::line). It can be
    /// called again.
    ///
    /// # Cancellation
    /// Dropped, it can be called again.
    pub async fn finish(&mut self) -> Result<Imported, PersistError> {
        if !self.is_whole {
            return Err(self.wrong("is missing: the file was cut off"));
        }
        self.flush().await?;
        if let Some(session) = &mut self.session
            && let Some(record) = &session.record
        {
            let old = self.driver.get_session(&record.id).await?;
            let last = session.target.last_index(&*self.driver).await?;
            // One that has been written to since has a newer record.
            let is_newer = old.is_some() && last > self.read.last_index;
            if !is_newer && old.as_ref() != Some(&**record) {
                self.driver.update_session(SessionRecord::clone(record)).await?;
                self.imported.record_stored = true;
            }
        }
        self.imported.events = self.read.events;
        self.imported.last_index = self.read.last_index;
        Ok(self.imported.clone())
    }

    /// Whether the last line has been taken: a file may have other sessions after it, each for an import of its own.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Takes note of a line that is no event, and makes the event that is to be stored of any other.
    fn check(&mut self, line: Line) -> Result<Checked, PersistError> {
        if self.is_whole {
            return Err(self.wrong("comes after the end"));
        }
        match (line, &self.session) {
            (Line::Header { session_id, record }, None) => {
                self.begin(session_id, record);
                Ok(Checked::Noted)
            }
            (Line::Header { .. }, Some(_)) => Err(self.wrong("is a second header")),
            (_, None) => Err(self.wrong("comes before the header")),
            (Line::End(end), Some(_)) => {
                if end != self.read {
                    return Err(
                        self.wrong(&format!("says {end:?}, and the lines before it are {:?}", self.read))
                    );
                }
                self.is_whole = true;
                Ok(Checked::Noted)
            }
            (Line::Evicted(Evicted { from, to }), Some(session)) => {
                self.check_place(from, to)?;
                let time = session.record.as_ref().map_or(0, |record| record.created_at);
                Ok(Checked::StandIn(stand_in::evicted(&self.imported.session_id, from, to, time)))
            }
            (Line::Event(event), Some(session)) => {
                if event.session_id != session.exported_id {
                    return Err(self.wrong(&format!(
                        "has an event of session {:?}, and the file is of {:?}",
                        event.session_id, session.exported_id
                    )));
                }
                self.check_place(event.first_index(), event.event_index)?;
                Ok(Checked::Event(match self.imported.session_id == event.session_id {
                    true => event,
                    false => stand_in::renamed(event, &self.imported.session_id),
                }))
            }
        }
    }

    fn check_place(&self, first: u64, last: u64) -> Result<(), PersistError> {
        if self.read.last_index.checked_add(1) == Some(first) && first <= last {
            return Ok(());
        }
        Err(self.wrong(&format!("has indexes {first} to {last} after index {}", self.read.last_index)))
    }

    fn begin(&mut self, exported_id: String, mut record: Option<Box<SessionRecord>>) {
        let session_id = self.name.clone().unwrap_or_else(|| exported_id.clone());
        if let Some(record) = &mut record
            && session_id != exported_id
        {
            record.id.clone_from(&session_id);
            record.last_connection_id.clear();
        }
        let target = Target::new(&session_id, self.sameness);
        self.imported.session_id = session_id;
        self.session = Some(Session { exported_id, record, target, is_checked: false });
    }

    /// Stores the batch. What was stored of it by a call that failed is known to the next one.
    async fn flush(&mut self) -> Result<(), PersistError> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        if !session.is_checked {
            check_origin(&*self.driver, session, &self.imported.session_id).await?;
            session.is_checked = true;
        }
        if !self.batch.is_empty() {
            let put = session.target.put(&*self.driver, &self.batch).await?;
            self.imported.stored += put.stored;
            self.imported.known += put.known;
            self.batch.clear();
            self.batch_bytes = 0;
        }
        Ok(())
    }

    /// The error of the line that comes next.
    fn wrong(&self, what: &str) -> PersistError {
        let way_out = match &self.session {
            Some(session) => format!(
                "to bring session {}, export it anew, and import that from the first line",
                brief(&session.exported_id)
            ),
            None => "give the lines that an export wrote, from the first one".to_owned(),
        };
        PersistError::new(PersistErrorKind::Corrupt, format!("line {} {what}; {way_out}", self.line + 1))
    }
}

/// An error where the store has another session under this id, as far as the records tell.
async fn check_origin<D>(driver: &D, session: &mut Session, session_id: &str) -> Result<(), PersistError>
where
    D: SessionPersistDriver + ?Sized,
{
    let Some(old) = driver.get_session(session_id).await? else {
        return Ok(());
    };
    let is_same = match &session.record {
        Some(record) => same_origin(record, &old),
        // The events tell.
        None => session.target.last_index(driver).await? > 0,
    };
    if is_same {
        return Ok(());
    }
    Err(unproven(session_id))
}

impl<P> fmt::Debug for SessionImport<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionImport")
            .field("line", &self.line)
            .field("imported", &self.imported)
            .finish_non_exhaustive()
    }
}
