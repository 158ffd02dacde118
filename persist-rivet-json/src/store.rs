//! All that is under the key: sessions, marks, and what nobody here knows.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use sandbox_agent_persist::{
    Cursor, ListEventsRequest, ListPage, ListSessionsRequest, Order, PersistError, SessionEvent,
    SessionRecord, Usage,
};

use crate::json::Members;
use crate::marks::Marks;
use crate::session::Session;
use crate::{RivetJsonOptions, print};

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) options: RivetJsonOptions,
    pub(crate) sessions: BTreeMap<Arc<str>, Session>,
    /// The sessions that have a record, in the order of lists.
    pub(crate) listed: BTreeSet<(i64, Arc<str>)>,
    pub(crate) event_ids: HashSet<String>,
    /// The sessions that have events, in the order in which their oldest ones go: by whether that
    /// is of a running turn, and by the write that stored it.
    pub(crate) oldest_events: BTreeSet<(bool, u64, Arc<str>)>,
    pub(crate) marks: Marks,
    /// Members under the key that no Rust program knows.
    pub(crate) unknown: Members,
    unknown_bytes: usize,
    /// What the sessions take.
    session_bytes: usize,
    /// What of that their events take.
    event_bytes: usize,
    /// How many writes there were; each change has the number of the last.
    pub(crate) writes: u64,
    /// The last write that changed a record or removed a session.
    pub(crate) list_write: u64,
    /// Another driver has it all now.
    pub(crate) retired: bool,
}

/// What was read, and the last write that it shows.
pub(crate) type Read<T> = (T, u64);

impl Store {
    pub(crate) fn new(options: RivetJsonOptions, unknown: Members) -> Self {
        Self {
            options,
            sessions: BTreeMap::new(),
            listed: BTreeSet::new(),
            event_ids: HashSet::new(),
            oldest_events: BTreeSet::new(),
            marks: Marks::default(),
            unknown_bytes: print::unknown_size(&unknown.0),
            unknown,
            session_bytes: 0,
            event_bytes: 0,
            writes: 0,
            list_write: 0,
            retired: false,
        }
    }

    pub(crate) fn counts(&self) -> [(&'static str, usize); 3] {
        [("sessions", self.sessions.len()), ("events", self.event_ids.len()), ("bytes", self.bytes())]
    }

    /// What it takes in the state; never less than what is really there.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes_of_no_session() + self.marks.bytes() + self.session_bytes
    }

    /// What of that the events take.
    pub(crate) fn event_bytes(&self) -> usize {
        self.event_bytes
    }

    /// What it takes when there is no session, and none was.
    pub(crate) fn bytes_of_no_session(&self) -> usize {
        print::FRAME.len() + self.unknown_bytes
    }

    pub(crate) fn record(&self, id: &str) -> Read<Option<SessionRecord>> {
        let session = self.sessions.get(id);
        let held = session.and_then(|session| session.record.as_ref());
        (held.map(|held| held.record.clone()), self.last_write(session))
    }

    pub(crate) fn list_sessions(
        &self,
        request: &ListSessionsRequest,
    ) -> Result<Read<ListPage<SessionRecord>>, PersistError> {
        let at = request.cursor.as_ref().map(Cursor::session_key).transpose()?;
        let at = at.map(|(created_at, id)| (created_at, Arc::<str>::from(id)));
        let from = at.map_or(Bound::Unbounded, Bound::Excluded);
        let keys: Box<dyn Iterator<Item = &(i64, Arc<str>)>> = match request.order {
            Order::Ascending => Box::new(self.listed.range((from, Bound::Unbounded))),
            Order::Descending => Box::new(self.listed.range((Bound::Unbounded, from)).rev()),
        };
        let records = keys
            .filter_map(|(_, id)| self.sessions.get(id)?.record.as_ref())
            .map(|held| &held.record)
            .filter(|record| request.filter.matches(record))
            .cloned();
        let page = ListPage::first_of(records, request.page_size(), |last| {
            Cursor::at_session(last.created_at, &last.id)
        });
        Ok((page, self.list_write))
    }

    pub(crate) fn list_events(
        &self,
        request: &ListEventsRequest,
    ) -> Result<Read<ListPage<SessionEvent>>, PersistError> {
        let id = request.session_id.as_str();
        let session = self.sessions.get(id);
        let page = match session {
            Some(session) => session.page(request),
            None => self.absent(id).page(request),
        };
        Ok((page?, self.last_write(session)))
    }

    pub(crate) fn usage(&self, id: &str) -> Read<Usage> {
        let session = self.sessions.get(id);
        (session.map(Session::usage).unwrap_or_default(), self.last_write(session))
    }

    pub(crate) fn next_index(&self, id: &str) -> Read<u64> {
        let session = self.sessions.get(id);
        let next_index = match session {
            Some(session) => session.next_index(),
            None => self.absent(id).next_index(),
        };
        (next_index, self.last_write(session))
    }

    /// The session as it begins, or goes on, when something of it is stored.
    pub(crate) fn absent(&self, id: &str) -> Session {
        Session::starting_at(id, self.marks.next_index(id).unwrap_or(1))
    }

    /// A session that isn't there may have gone in any write that removed one.
    fn last_write(&self, session: Option<&Session>) -> u64 {
        session.map_or(self.list_write, |session| session.last_write)
    }

    /// Changes a session, which is made if it isn't there, and keeps account of it.
    pub(crate) fn change(&mut self, id: &str, change: impl FnOnce(&mut Session)) {
        let id = match self.sessions.get_key_value(id) {
            Some((id, _)) => id.clone(),
            None => {
                let session = self.absent(id);
                self.marks.take(id);
                let id = Arc::<str>::from(id);
                self.session_bytes += session.bytes();
                self.sessions.insert(id.clone(), session);
                id
            }
        };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (bytes, event_bytes) = (session.bytes(), session.event_bytes());
        change(session);
        self.session_bytes = self.session_bytes - bytes + session.bytes();
        self.event_bytes = self.event_bytes - event_bytes + session.event_bytes();

        let queued = session.oldest();
        if session.queued != queued {
            if let Some((runs, write)) = std::mem::replace(&mut session.queued, queued) {
                self.oldest_events.remove(&(runs, write, id.clone()));
            }
            if let Some((runs, write)) = queued {
                self.oldest_events.insert((runs, write, id));
            }
        }
    }

    /// Takes a session out, without a mark.
    pub(crate) fn remove(&mut self, id: &str) -> Option<(Arc<str>, Session)> {
        let (id, session) = self.sessions.remove_entry(id)?;
        self.session_bytes -= session.bytes();
        self.event_bytes -= session.event_bytes();
        if let Some(held) = &session.record {
            self.listed.remove(&(held.record.created_at, id.clone()));
        }
        if let Some((runs, write)) = session.queued {
            self.oldest_events.remove(&(runs, write, id.clone()));
        }
        for held in session.events() {
            self.event_ids.remove(&held.event.id);
        }
        Some((id, session))
    }
}
