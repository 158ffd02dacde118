//! What goes when the state is full.

use sandbox_agent_persist::{PersistError, PersistErrorKind, brief};

use crate::store::Store;

/// The part of all bytes that marks of evicted sessions may take.
const MARKS_PART: usize = 16;

impl Store {
    /// An error if the session can't have so many bytes, beside those that it has without events, even
    /// when all else goes. Nothing was evicted then.
    pub(crate) fn check_fits(&self, id: &str, added: usize, what: &str) -> Result<(), PersistError> {
        if self.options.max_sessions == 0 {
            return Err(too_large(&format!("session {} is one more than none", brief(id)), "max_sessions"));
        }
        let session = match self.sessions.get(id) {
            Some(session) => session.bytes_without_events(),
            None => self.absent(id).bytes_without_events(),
        };
        let (needed, limit) = (self.bytes_of_no_session() + session + added, self.options.max_bytes);
        if needed > limit {
            let id = brief(id);
            let what =
                format!("{what} of session {id} needs a state of {needed} bytes, and it may have {limit}");
            return Err(too_large(&what, "max_bytes"));
        }
        Ok(())
    }

    /// Makes room for more bytes of a session, which [fit](Self::check_fits).
    ///
    /// The oldest events go first, those of running turns after all others. Then go other sessions, as
    /// [`make_room_for_session`](Self::make_room_for_session) has them, and then the marks of such.
    pub(crate) fn make_room(&mut self, id: &str, added: usize) {
        while self.bytes().saturating_add(added) > self.options.max_bytes {
            let found = self.evict_oldest_event() || self.evict_session(id) || self.marks.forget_oldest();
            if !found {
                return;
            }
        }
    }

    /// Makes room for a session, unless it is there. The one that was written to longest ago goes,
    /// and one that has a running turn after all others.
    pub(crate) fn make_room_for_session(&mut self, id: &str) {
        if !self.sessions.contains_key(id) {
            while self.sessions.len() >= self.options.max_sessions && self.evict_session(id) {}
        }
    }

    /// Makes room for an event. The session's oldest goes, even of a running turn: there is no other
    /// that could.
    pub(crate) fn make_room_in_session(&mut self, id: &str) {
        let limit = self.options.max_events_per_session;
        while self.sessions.get(id).is_some_and(|session| session.len() >= limit) {
            self.evict_oldest_of(id);
        }
    }

    fn evict_oldest_event(&mut self) -> bool {
        let Some((_, _, id)) = self.oldest_events.first() else { return false };
        self.evict_oldest_of(&id.clone());
        true
    }

    fn evict_oldest_of(&mut self, id: &str) {
        let mut evicted = None;
        self.change(id, |session| evicted = session.pop_oldest());
        if let Some(held) = evicted {
            self.event_ids.remove(&held.event.id);
        }
    }

    fn evict_session(&mut self, kept: &str) -> bool {
        let others = self.sessions.iter().filter(|(id, _)| &***id != kept);
        let idle_longest = others.min_by_key(|(_, session)| (!session.turns.are_over(), session.last_write));
        let Some((id, _)) = idle_longest else { return false };
        let Some((id, session)) = self.remove(&id.clone()) else { return false };
        self.list_write = self.writes + 1;
        if session.next_index() > 1 {
            self.marks.add(id, session.next_index());
            self.marks.keep(self.options.max_sessions, self.options.max_bytes / MARKS_PART);
        }
        true
    }
}

pub(crate) fn too_large(what: &str, option: &str) -> PersistError {
    PersistError::new(
        PersistErrorKind::TooLarge,
        format!("{what}; raise RivetJsonOptions::{option} or use a store on disk"),
    )
}
