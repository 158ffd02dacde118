//! The writes. Each makes room first, so that the state is never larger than it may be.

use sandbox_agent_persist::{Inserted, PersistError, PersistErrorKind, SessionEvent, SessionRecord, brief};

use crate::measure::DEEPEST;
use crate::room::too_large;
use crate::session::{Held, HeldRecord, Session};
use crate::store::Store;
use crate::{marks, print, truncate};

/// The last index: beyond it a JavaScript program could not tell two of them apart.
pub(crate) const LAST_INDEX: u64 = (1 << 53) - 1;

impl Store {
    pub(crate) fn update(&mut self, record: SessionRecord) -> Result<(), PersistError> {
        let id = record.id.clone();
        let held = HeldRecord { size: print::record_size(&record)?, record };
        let old = self.sessions.get(id.as_str()).and_then(|session| session.record.as_ref());
        let (old_key, old_size) = old.map_or((None, 0), |old| (Some(old.record.created_at), old.size));
        let added = held.size.saturating_sub(old_size);
        self.check_fits(&id, added, "the record")?;
        self.make_room_for_session(&id);
        self.open(&id);
        self.make_room(&id, added);

        self.writes += 1;
        self.list_write = self.writes;
        let write = self.writes;
        if let Some((id, _)) = self.sessions.get_key_value(id.as_str()) {
            if let Some(created_at) = old_key {
                self.listed.remove(&(created_at, id.clone()));
            }
            self.listed.insert((held.record.created_at, id.clone()));
        }
        self.change(&id, |session| {
            if held.record.destroyed_at.is_some() {
                session.turns.end_all();
            }
            session.record = Some(held);
            session.last_write = write;
        });
        Ok(())
    }

    pub(crate) fn insert(&mut self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        event.check_session(session_id)?;
        if self.event_ids.contains(&event.id) {
            return Ok(Inserted::Duplicate);
        }
        let (next_index, _) = self.next_index(session_id);
        if event.first_index() != next_index {
            return Ok(Inserted::Conflict { next_index });
        }
        if event.event_index > LAST_INDEX {
            return Err(PersistError::new(
                PersistErrorKind::Other,
                format!(
                    "event {:?} has the index {}, and a session ends at {LAST_INDEX}; begin another session",
                    event.id, event.event_index
                ),
            ));
        }
        if self.options.max_events_per_session == 0 {
            let what = format!("an event of session {} is one more than none", brief(session_id));
            return Err(too_large(&what, "max_events_per_session"));
        }
        let held = self.as_it_fits(event);
        self.check_fits(session_id, held.size, "an event")?;
        self.make_room_for_session(session_id);
        self.make_room_in_session(session_id);
        self.open(session_id);
        self.make_room(session_id, held.size);

        self.writes += 1;
        let write = self.writes;
        self.event_ids.insert(held.event.id.clone());
        self.change(session_id, |session| {
            session.push(Held { write, ..held });
            session.last_write = write;
        });
        Ok(Inserted::Stored)
    }

    /// The event, or what stands for one that fits in no state with these sessions, or that no
    /// reader would take back.
    fn as_it_fits(&self, mut event: SessionEvent) -> Held {
        let session = match self.sessions.get(event.session_id.as_str()) {
            Some(_) => marks::size(&event.session_id),
            None => self.absent(&event.session_id).bytes_without_events(),
        };
        let taken = self.bytes() - self.event_bytes() + session;
        let room = self.options.max_bytes.saturating_sub(taken);
        let measured = print::event_size(&event, &[]);
        let mut size = measured.size;
        if size > room || measured.depth > DEEPEST {
            let whole = std::mem::take(&mut event.payload);
            event.payload = truncate::stub(&whole);
            let stub_size = print::event_size(&event, &[]).size;
            if stub_size < size || measured.depth > DEEPEST {
                size = stub_size;
            } else {
                event.payload = whole;
            }
        }
        Held { write: 0, size, event, unknown: Vec::new() }
    }

    pub(crate) fn fold(&mut self, session_id: &str, folded: SessionEvent) -> Result<bool, PersistError> {
        folded.check_session(session_id)?;
        if self.event_ids.contains(&folded.id) {
            return Ok(false);
        }
        let run = self.sessions.get(session_id).and_then(|session| session.run(&folded));
        let Some((run, run_size)) = run else { return Ok(false) };
        let measured = print::event_size(&folded, &[]);
        if self.bytes() - run_size + measured.size > self.options.max_bytes || measured.depth > DEEPEST {
            let (run, session) = (folded.indexes(), brief(session_id));
            let what = format!("one event for {run:?} of session {session} does not fit");
            return Err(too_large(&what, "max_bytes"));
        }

        self.writes += 1;
        let write = self.writes;
        self.event_ids.insert(folded.id.clone());
        let held = Held { write, size: measured.size, event: folded, unknown: Vec::new() };
        let mut gone = Vec::new();
        self.change(session_id, |session| {
            gone = session.fold(run, held);
            session.last_write = write;
        });
        for held in gone {
            self.event_ids.remove(&held.event.id);
        }
        Ok(true)
    }

    /// Forgets the session and gives what it held, to be dropped outside of the lock.
    pub(crate) fn delete(&mut self, id: &str) -> Option<Session> {
        let marked = self.marks.take(id).is_some();
        let removed = self.remove(id);
        if marked || removed.is_some() {
            self.writes += 1;
            self.list_write = self.writes;
        }
        removed.map(|(_, session)| session)
    }

    fn open(&mut self, id: &str) {
        self.change(id, |_| {});
    }
}
