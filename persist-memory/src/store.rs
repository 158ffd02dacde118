//! All sessions, and what goes when they outgrow the limits.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use sandbox_agent_persist::{
    Cursor, Inserted, ListEventsRequest, ListPage, ListSessionsRequest, Order, PersistError,
    PersistErrorKind, SessionEvent, SessionRecord, Usage, brief,
};

use crate::MemoryOptions;
use crate::leases::Leases;
use crate::marks::Marks;
use crate::session::Session;
use crate::turns::{Change, Turns};

/// How many evicted sessions are remembered for each one that may be held.
const MARKS_PER_SESSION: usize = 64;

#[derive(Default)]
pub(crate) struct Store {
    options: MemoryOptions,
    sessions: HashMap<Arc<str>, Session>,
    /// The sessions that have a record, in the order of lists.
    listed: BTreeSet<(i64, Arc<str>)>,
    event_ids: HashSet<String>,
    /// The sessions whose oldest event may be evicted, by the write that stored it.
    oldest_events: BTreeMap<u64, Arc<str>>,
    marks: Marks,
    pub(crate) leases: Leases,
    bytes: usize,
    writes: u64,
}

impl Store {
    pub(crate) fn new(options: MemoryOptions) -> Self {
        Self { options, ..Self::default() }
    }

    pub(crate) fn counts(&self) -> [(&'static str, usize); 3] {
        [("sessions", self.sessions.len()), ("events", self.event_ids.len()), ("bytes", self.bytes)]
    }

    pub(crate) fn record(&self, id: &str) -> Option<SessionRecord> {
        self.sessions.get(id)?.record.clone()
    }

    pub(crate) fn list_sessions(
        &self,
        request: &ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        let at = request
            .cursor
            .as_ref()
            .map(|cursor| cursor.session_key())
            .transpose()?
            .map(|(created_at, id)| (created_at, Arc::<str>::from(id)));
        let from = at.map_or(Bound::Unbounded, Bound::Excluded);
        let keys: Box<dyn Iterator<Item = &(i64, Arc<str>)>> = match request.order {
            Order::Ascending => Box::new(self.listed.range((from, Bound::Unbounded))),
            Order::Descending => Box::new(self.listed.range((Bound::Unbounded, from)).rev()),
        };
        let records = keys
            .filter_map(|(_, id)| self.sessions.get(id)?.record.as_ref())
            .filter(|record| request.filter.matches(record))
            .cloned();
        Ok(ListPage::first_of(records, request.page_size(), |last| {
            Cursor::at_session(last.created_at, &last.id)
        }))
    }

    pub(crate) fn list_events(
        &self,
        request: &ListEventsRequest,
    ) -> Result<ListPage<SessionEvent>, PersistError> {
        match self.sessions.get(request.session_id.as_str()) {
            Some(session) => session.page(request),
            None => {
                Session::starting_at(self.marks.next_index(&request.session_id).unwrap_or(1)).page(request)
            }
        }
    }

    pub(crate) fn update(&mut self, record: SessionRecord) -> Result<(), PersistError> {
        let size = record_size(&record);
        self.check_fits(size)?;
        self.make_room_for_session(&record.id)?;
        let old_size = self.sessions.get(record.id.as_str()).map_or(0, |session| session.record_size);
        self.make_room(size.saturating_sub(old_size))?;

        let id = self.open(&record.id);
        self.writes += 1;
        let write = self.writes;
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        if let Some(old) = &session.record {
            self.listed.remove(&(old.created_at, id.clone()));
        }
        self.listed.insert((record.created_at, id.clone()));
        self.bytes = self.bytes - old_size + size;
        if record.destroyed_at.is_some() {
            session.turns.end_all();
        }
        session.record_size = size;
        session.record = Some(record);
        session.last_write = write;
        self.requeue(&id);
        Ok(())
    }

    pub(crate) fn insert(&mut self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        event.check_session(session_id)?;
        if self.event_ids.contains(&event.id) {
            return Ok(Inserted::Duplicate);
        }
        let next_index = self.next_index(session_id);
        if event.first_index() != next_index {
            return Ok(Inserted::Conflict { next_index });
        }
        check_place(&event)?;
        let size = event_size(&event);
        self.check_fits(size)?;
        // A turn is over when its end arrives, so that the end always finds room.
        let change = self.end_turns(session_id, &event);
        self.make_room_for_session(session_id)?;
        self.make_room_in_session(session_id)?;
        self.make_room(size)?;

        let id = self.open(session_id);
        self.writes += 1;
        let write = self.writes;
        if let Some(session) = self.sessions.get_mut(&id) {
            self.event_ids.insert(event.id.clone());
            self.bytes += size;
            session.push(write, event, change);
            session.last_write = write;
        }
        self.requeue(&id);
        Ok(Inserted::Stored)
    }

    pub(crate) fn usage(&self, id: &str) -> Usage {
        self.sessions.get(id).map(Session::usage).unwrap_or_default()
    }

    pub(crate) fn fold(&mut self, session_id: &str, folded: SessionEvent) -> Result<bool, PersistError> {
        folded.check_session(session_id)?;
        if self.event_ids.contains(&folded.id) {
            return Ok(false);
        }
        let (folded_id, size) = (folded.id.clone(), event_size(&folded));
        let Some((id, _)) = self.sessions.get_key_value(session_id) else { return Ok(false) };
        let id = id.clone();
        let Some(run) = self.sessions.get_mut(&id).and_then(|session| session.fold(folded)) else {
            return Ok(false);
        };
        for event in &run {
            self.bytes -= event_size(event);
            self.event_ids.remove(&event.id);
        }
        self.bytes += size;
        self.event_ids.insert(folded_id);
        self.requeue(&id);
        Ok(true)
    }

    /// Forgets the session and gives back what it held, to be dropped outside of the lock.
    pub(crate) fn delete(&mut self, id: &str) -> Option<Session> {
        self.marks.take(id);
        self.remove(id).map(|(_, session)| session)
    }

    pub(crate) fn next_index(&self, session_id: &str) -> u64 {
        match self.sessions.get(session_id) {
            Some(session) => session.next_index(),
            None => self.marks.next_index(session_id).unwrap_or(1),
        }
    }

    /// The session's own id; it is made if it isn't there.
    fn open(&mut self, id: &str) -> Arc<str> {
        if let Some((id, _)) = self.sessions.get_key_value(id) {
            return id.clone();
        }
        let oldest_index = self.marks.take(id).unwrap_or(1);
        let id = Arc::<str>::from(id);
        self.sessions.insert(id.clone(), Session::starting_at(oldest_index));
        id
    }

    fn remove(&mut self, id: &str) -> Option<(Arc<str>, Session)> {
        let (id, session) = self.sessions.remove_entry(id)?;
        if let Some(record) = &session.record {
            self.listed.remove(&(record.created_at, id.clone()));
        }
        if let Some(write) = session.queued_at {
            self.oldest_events.remove(&write);
        }
        self.bytes -= session.record_size;
        for event in session.events() {
            self.bytes -= event_size(event);
            self.event_ids.remove(&event.id);
        }
        Some((id, session))
    }

    fn make_room_for_session(&mut self, id: &str) -> Result<(), PersistError> {
        let limit = self.options.max_sessions;
        if self.sessions.contains_key(id) || self.sessions.len() < limit {
            return Ok(());
        }
        let idle_longest = self
            .sessions
            .iter()
            .filter(|(_, session)| session.turns.are_over())
            .min_by_key(|(_, session)| session.last_write)
            .map(|(id, _)| id.clone());
        let Some((evicted, session)) = idle_longest.and_then(|id| self.remove(&id)) else {
            return Err(too_large(
                format!(
                    "session {} is one more than the {limit} that the store may hold, and none is idle",
                    brief(id)
                ),
                "max_sessions",
            ));
        };
        if session.next_index() > 1 {
            self.marks.add(evicted, session.next_index(), limit.saturating_mul(MARKS_PER_SESSION));
        }
        Ok(())
    }

    fn make_room_in_session(&mut self, id: &str) -> Result<(), PersistError> {
        let limit = self.options.max_events_per_session;
        let held = self.sessions.get_key_value(id);
        if held.map_or(0, |(_, session)| session.len()) < limit {
            return Ok(());
        }
        match held.filter(|(_, session)| session.evictable().is_some()) {
            Some((id, _)) => self.evict_oldest(&id.clone()),
            None => {
                return Err(too_large(
                    format!("a running turn holds all {limit} events that session {} may have", brief(id)),
                    "max_events_per_session",
                ));
            }
        }
        Ok(())
    }

    fn end_turns(&mut self, session_id: &str, event: &SessionEvent) -> Change {
        let Some((id, session)) = self.sessions.get_key_value(session_id) else {
            return Turns::default().change(event);
        };
        let id = id.clone();
        let change = session.turns.change(event);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.turns.end(&change);
        }
        self.requeue(&id);
        change
    }

    fn check_fits(&self, size: usize) -> Result<(), PersistError> {
        let limit = self.options.max_bytes;
        if size <= limit {
            return Ok(());
        }
        Err(too_large(
            format!("{size} bytes are more than the {limit} that the store may hold in all"),
            "max_bytes",
        ))
    }

    fn make_room(&mut self, size: usize) -> Result<(), PersistError> {
        let limit = self.options.max_bytes;
        while self.bytes.saturating_add(size) > limit {
            let Some((_, id)) = self.oldest_events.first_key_value() else {
                return Err(too_large(
                    format!("running turns and records hold all {limit} bytes of the store"),
                    "max_bytes",
                ));
            };
            self.evict_oldest(&id.clone());
        }
        Ok(())
    }

    fn evict_oldest(&mut self, id: &Arc<str>) {
        let evicted = self.sessions.get_mut(id).and_then(Session::pop_oldest);
        if let Some(event) = evicted {
            self.bytes -= event_size(&event);
            self.event_ids.remove(&event.id);
        }
        self.requeue(id);
    }

    /// Puts the session where its oldest event belongs among those that may be evicted.
    fn requeue(&mut self, id: &Arc<str>) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let evictable = session.evictable();
        if session.queued_at == evictable {
            return;
        }
        if let Some(write) = session.queued_at {
            self.oldest_events.remove(&write);
        }
        if let Some(write) = evictable {
            self.oldest_events.insert(write, id.clone());
        }
        session.queued_at = evictable;
    }
}

/// What an event takes here; its id is held a second time to know duplicates.
fn event_size(event: &SessionEvent) -> usize {
    event.size() + size_of::<String>() + event.id.len()
}

fn record_size(record: &SessionRecord) -> usize {
    // A record is made of plain JSON values, which always print.
    let json = serde_json::to_string(record).map_or(0, |json| json.len());
    size_of::<SessionRecord>() + json
}

/// An error of an index behind which there is none.
fn check_place(event: &SessionEvent) -> Result<(), PersistError> {
    let SessionEvent { id, event_index, session_id, .. } = event;
    if *event_index < u64::MAX {
        return Ok(());
    }
    Err(PersistError::new(
        PersistErrorKind::Other,
        format!(
            "event {id:?} of session {session_id:?} has no possible place, at {event_index}; give it one before"
        ),
    ))
}

fn too_large(what: String, option: &str) -> PersistError {
    PersistError::new(
        PersistErrorKind::TooLarge,
        format!("{what}; raise MemoryOptions::{option} or use a store on disk"),
    )
}
