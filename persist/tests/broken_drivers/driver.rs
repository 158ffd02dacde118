//! A driver that keeps the contract but for its fault.

use std::sync::{Arc, Mutex, MutexGuard};

use sandbox_agent_persist::{
    Capabilities, Cursor, Inserted, Lease, ListEventsRequest, ListPage, ListSessionsRequest, Order,
    PersistError, SessionEvent, SessionFollow, SessionLease, SessionPersistDriver, SessionRecord,
    SessionUpkeep, async_trait,
};
use tokio::sync::watch;
use tokio::task::yield_now;

use crate::catalogue;
use crate::faults::Fault::{self, *};
use crate::state::State;

#[derive(Clone, Debug)]
pub(crate) struct Driver {
    pub(crate) fault: Fault,
    pub(crate) state: Arc<Mutex<State>>,
    /// How many inserts there were, for whoever waits.
    pub(crate) told: Arc<watch::Sender<u64>>,
    /// The lease that each write carries.
    pub(crate) lease: Option<Lease>,
    pub(crate) handle: usize,
}

impl Driver {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, state: Arc::default(), told: Arc::default(), lease: None, handle: 0 }
    }

    /// The same store as another process would have it.
    pub(crate) fn reopened(&self) -> Self {
        let mut other = self.clone();
        other.handle += 1;
        if self.fault == TellsItsOwnHandleOnly {
            other.told = Arc::default();
        }
        other
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn check_fence(&self, state: &State, session_id: &str) -> Result<(), PersistError> {
        state.check_fence(self.fault, session_id, self.lease.as_ref(), self.handle)
    }

    fn store(&self, state: &mut State, session_id: &str, event: SessionEvent) {
        state.store(self.fault, session_id, event);
        self.told.send_modify(|inserts| *inserts += 1);
    }
}

#[async_trait]
impl SessionPersistDriver for Driver {
    fn capabilities(&self) -> Capabilities {
        let all = Capabilities::new().multi_process().leases().follows().upkeep();
        match self.fault {
            PromisesToBeDurable => all.durable(),
            GivesMoreThanItPromises => Capabilities::new().leases().follows(),
            EvictsInSecret => all,
            _ if self.fault.evicts() => all.evicts(),
            _ => all,
        }
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        Ok(self.state().sessions.iter().rfind(|record| record.id == id).cloned())
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        catalogue::page(self.fault, self.state().sessions.clone(), &request)
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        let mut record = record;
        let mut state = self.state();
        if self.fault != FencesInsertsOnly {
            self.check_fence(&state, &record.id)?;
        }
        match self.fault {
            ForgetsUnknownMembers => record.extra.clear(),
            ForgetsTags => record.tags.clear(),
            _ => {}
        }
        if let Some(at) = state.sessions.iter().position(|old| old.id == record.id) {
            if self.fault == MergesRecords {
                record.session_init = record.session_init.or(state.sessions[at].session_init.take());
            }
            if self.fault != ListsChangedSessionsTwice {
                state.sessions.remove(at);
            }
        }
        state.sessions.push(record);
        Ok(())
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        let (after, before) = match request.bounds() {
            Err(_) if self.fault == TakesAnyCursor => (None, None),
            bounds => bounds?,
        };
        let mut all = self.state().events.get(&request.session_id).cloned().unwrap_or_default();
        let oldest = all.first().map_or(1, SessionEvent::first_index);
        let begins_at = match request.order {
            Order::Ascending => after.map(|after| after.saturating_add(1)),
            Order::Descending => before.map(|before| before.saturating_sub(1)),
        };
        if let Some(from) = begins_at.filter(|from| (1..oldest).contains(from))
            && self.fault != EvictsInSilence
            && self.fault.evicts()
        {
            return Err(PersistError::evicted(&request.session_id, from, oldest - 1));
        }
        if request.order == Order::Descending {
            all.reverse();
        }
        let inclusive = self.fault == HasInclusiveBounds && request.cursor.is_none();
        let counts = self.fault == HasCursorsThatCount && request.cursor.is_some();
        if counts {
            let at = match request.order {
                Order::Ascending => after,
                Order::Descending => before,
            };
            all.drain(..all.len().min(at.unwrap_or(0) as usize));
        } else {
            all.retain(|event| {
                let (mut first, mut last) = event.indexes().into_inner();
                match self.fault {
                    SeeksRunsByTheirLast => first = last,
                    SeeksRunsByTheirFirst => last = first,
                    _ => {}
                }
                let low = after.is_none_or(|after| last > after || inclusive && last == after);
                let high = before.is_none_or(|before| first < before || inclusive && first == before);
                low && high
            });
        }
        let size = match self.fault {
            IgnoresLimits => usize::MAX,
            _ => request.page_size(),
        };
        let more = all.len() > size;
        all.truncate(size);
        let gone_before = match (&request.cursor, self.fault) {
            (Some(cursor), HasCursorsThatCount) => cursor.event_key()?,
            _ => 0,
        };
        let next_cursor = all.last().filter(|_| more).map(|last| match self.fault {
            HasCursorsThatCount => Cursor::at_event(gone_before + all.len() as u64),
            HasCursorsInsideRuns => Cursor::at_event(last.event_index),
            _ => request.cursor_at(last),
        });
        Ok(ListPage::new(all, next_cursor))
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        {
            let state = self.state();
            if self.fault == FencesWhatFitsOnly
                && let Some(refusal) = state.refusal(self.fault, session_id, &event)
            {
                return Ok(refusal);
            }
            self.check_fence(&state, session_id)?;
        }
        self.insert(session_id, event).await
    }

    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        let mut refused = None;
        for event in events {
            if self.fault != FencesNoBatches {
                self.check_fence(&self.state(), session_id)?;
            }
            match self.insert(session_id, event).await? {
                Inserted::Stored => {}
                stopped if self.fault == GoesOnAfterARefusal => {
                    refused.get_or_insert(stopped);
                }
                stopped => return Ok(stopped),
            }
        }
        Ok(refused.unwrap_or(Inserted::Stored))
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        let mut state = self.state();
        if !matches!(self.fault, FencesInsertsOnly | FencesNoDeletion) {
            self.check_fence(&state, id)?;
        }
        state.sessions.retain(|record| match self.fault {
            DeletesByPrefix => !record.id.starts_with(id),
            _ => record.id != id,
        });
        if self.fault != KeepsDeletedEvents {
            for event in state.events.remove(id).unwrap_or_default() {
                state.ids.remove(&event.id);
            }
        }
        if self.fault == ForgetsTokensOfTheDeleted {
            state.tenures.remove(id);
            state.last_token = state.tenures.values().map(|tenure| tenure.lease.token).max().unwrap_or(0);
        }
        Ok(())
    }

    fn leases(&self) -> Option<&dyn SessionLease> {
        (self.fault != PromisesMoreThanItGives).then_some(self as _)
    }

    fn follow(&self) -> Option<&dyn SessionFollow> {
        Some(self)
    }

    fn upkeep(&self) -> Option<&dyn SessionUpkeep> {
        Some(self)
    }
}

impl Driver {
    async fn insert(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        event.check_session(session_id)?;
        if self.fault == LooksAtTheFenceThenWrites {
            yield_now().await;
        }
        {
            let mut state = self.state();
            if !matches!(self.fault, LooksAtTheFenceThenWrites | FencesNoBatches) {
                self.check_fence(&state, session_id)?;
            }
            if let Some(late) = state.late.take() {
                self.store(&mut state, &late.session_id.clone(), late);
            }
            if let Some(refusal) = state.refusal(self.fault, session_id, &event) {
                return Ok(refusal);
            }
            match self.fault {
                LooksThenWrites => {}
                TearsWhenDropped => drop(state.ids.insert(event.id.clone())),
                ReturnsBeforeItStores => {
                    state.late = Some(event);
                    return Ok(Inserted::Stored);
                }
                _ => {
                    self.store(&mut state, session_id, event);
                    return Ok(Inserted::Stored);
                }
            }
        }
        yield_now().await;
        self.store(&mut self.state(), session_id, event);
        Ok(Inserted::Stored)
    }
}
