//! The sessions of a store: finding them, and keeping them in order.

use std::collections::BTreeSet;
use std::sync::Arc;

use sandbox_agent_persist::{
    ListEventsRequest, ListPage, ListSessionsRequest, PersistErrorKind, SessionEvent, SessionPersistDriver,
    SessionRecord,
};
use serde_json::Value;

use super::{SandboxAgent, not_found, open};
use crate::error::{ErrorKind, Result};
use crate::session::{Claim, Compaction, compact, now_ms, set_title};

impl SandboxAgent {
    /// A page of the store's sessions, all or those that a
    /// [filter](sandbox_agent_persist::SessionFilter) picks. Bounded by [`Limits::store`](crate::Limits::store).
    ///
    /// A record that can't be read, as in an encrypted store of which a key is missing, stops the list:
    /// [`unreadable`](crate::persist::PersistError::unreadable) of the error's cause names its session, and has the
    /// cursor to go on behind it. [`delete_session`](Self::delete_session) deletes it all the same.
    ///
    /// ```no_run
    /// use sandbox_agent_sdk::persist::SessionFilter;
    /// use sandbox_agent_sdk::{ListSessionsRequest, SandboxAgent};
    ///
    /// # async fn example(sdk: SandboxAgent) -> Result<(), sandbox_agent_sdk::Error> {
    /// let filter = SessionFilter::new().open().archived(false).title("login").tag("nightly");
    /// let mut request = ListSessionsRequest::new().descending().filter(filter);
    /// loop {
    ///     let page = sdk.list_sessions(request.clone()).await?;
    ///     for session in &page.items {
    ///         println!("{} {:?}", session.id, session.title);
    ///     }
    ///     match page.next_cursor {
    ///         Some(cursor) => request = request.cursor(cursor),
    ///         None => break,
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn list_sessions(&self, request: ListSessionsRequest) -> Result<ListPage<SessionRecord>> {
        let store = &self.shared.parts.store;
        let driver = store.driver();
        Ok(store.call(|| driver.list_sessions(request.clone())).await?)
    }

    /// The store, for what is built on it. What is written to it is neither held nor shown by this SDK.
    pub fn store(&self) -> Arc<dyn SessionPersistDriver> {
        self.shared.parts.store.driver()
    }

    /// A page of a session's stored events, of which each run is cut to the bounds that were asked for.
    ///
    /// [`Session::events`](crate::Session::events) is the way to read on to what is live; this reads just what is
    /// stored, of any session, without opening it. Events that were evicted are the error
    /// [`Persist`](crate::ErrorKind::Persist) with [`Evicted`](sandbox_agent_persist::PersistErrorKind::Evicted);
    /// an unknown session has none. Bounded by [`Limits::store`](crate::Limits::store).
    pub async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>> {
        Ok(self.shared.parts.store.list_events(&request).await?)
    }

    /// Gives a session a title, which stays whatever the agent calls it; `None` leaves that to the agent again.
    ///
    /// This, and the calls below, fail with [`SessionNotFound`](crate::ErrorKind::SessionNotFound) where the store has no
    /// such session, and with an error that [`is_fenced`](crate::Error::is_fenced) where another SDK holds it. Bounded by twice
    /// [`Limits::store`](crate::Limits::store), and before that by a call that is opening the session.
    pub async fn set_title(&self, id: &str, title: Option<&str>) -> Result<()> {
        self.change_record(id, |record| set_title(record, title)).await
    }

    /// Puts these tags in the place of those that the session has.
    pub async fn set_tags(&self, id: &str, tags: impl IntoIterator<Item = impl Into<String>>) -> Result<()> {
        let tags: BTreeSet<String> = tags.into_iter().map(Into::into).collect();
        self.change_record(id, |record| record.tags = tags).await
    }

    /// Marks a session as somebody's: a program that runs sessions keeps those of others apart by this. Where
    /// another one has it, says whose it is and changes nothing.
    ///
    /// The mark is a member of the record, [`OWNER`](Self::OWNER). It stays with the session until
    /// [`unclaim_session`](Self::unclaim_session) and hinders nobody who does not ask.
    pub async fn claim_session(&self, id: &str, owner: &str) -> Result<Option<String>> {
        let mut other = None;
        self.change_record(id, |record| match record.extra.get(Self::OWNER).and_then(Value::as_str) {
            Some(known) if known != owner => other = Some(known.to_owned()),
            _ => drop(record.extra.insert(Self::OWNER.to_owned(), owner.into())),
        })
        .await?;
        Ok(other)
    }

    /// Takes the mark of [`claim_session`](Self::claim_session) off a session, whoever made it.
    pub async fn unclaim_session(&self, id: &str) -> Result<()> {
        self.change_record(id, |record| drop(record.extra.remove(Self::OWNER))).await
    }

    /// The member of a record that says whose the session is.
    pub const OWNER: &'static str = "_sandboxAgentOwner";

    /// Puts a session aside, for lists that don't ask for what is archived. It works as before.
    pub async fn archive_session(&self, id: &str) -> Result<()> {
        self.change_record(id, |record| record.archived_at = record.archived_at.or(Some(now_ms()))).await
    }

    /// Takes a session that was archived back.
    pub async fn unarchive_session(&self, id: &str) -> Result<()> {
        self.change_record(id, |record| record.archived_at = None).await
    }

    /// Ends a session's agent process and removes the session from the store, with all its events, for good.
    ///
    /// [`destroy_session`](Self::destroy_session) keeps the events. A process that was detached is ended too.
    /// It is no error when the store has no such session. Fails with [`Held`](crate::ErrorKind::Held) where
    /// another SDK holds it. Bounded as [`destroy_session`](Self::destroy_session). Dropping the call does not take it back.
    pub async fn delete_session(&self, id: &str) -> Result<()> {
        let mut slot = self.enter(id).await?;
        let core = match self.core(&mut slot, id).await {
            // Then nothing tells of a process, and what can't be read can still be deleted.
            Err(error) if *error.kind() == ErrorKind::Persist(PersistErrorKind::Corrupt) => None,
            core => core?,
        };
        let (store, id) = (self.shared.parts.store.clone(), id.to_owned());
        self.apart(async move {
            if let Some(core) = &core {
                core.hold(Claim::Free).await?;
                *slot = None;
                let claimed = core.claim_left_behind().await;
                // What could not be stored would be deleted.
                let parted = core.shut_down(true).await;
                let claimed = match claimed {
                    // Somebody else was faster.
                    Err(error) if *error.kind() == ErrorKind::SessionNotFound => Ok(()),
                    claimed => claimed,
                };
                claimed.and(parted.process)?;
            }
            // What was heard last may still be on its way into the record.
            let _removed = match &core {
                Some(core) => Some(core.store_no_record().await),
                None => None,
            };
            let driver = store.driver();
            Ok(store.call(|| driver.delete_session(&id)).await?)
        })
        .await
    }

    /// Folds the chunks of each message of a session's ended turns, as [`compact`](crate::SandboxAgentBuilder::compact)
    /// does for turns that end. Of a turn that another SDK runs, what it has brought so far is folded, too,
    /// which does no harm.
    ///
    /// Fails where the store has no [upkeep](sandbox_agent_persist::SessionUpkeep). Bounded by
    /// [`Limits::store`](crate::Limits::store) for each page and each run. Dropping the call leaves what was folded.
    pub async fn compact_session(&self, id: &str) -> Result<Compaction> {
        // Not held meanwhile: a long session takes its time.
        let core = open(&*self.slot(id)?.lock().await);
        match core {
            Some(core) => compact(&core.store, id, 0, core.last_of_ended_turns()).await,
            None => {
                self.stored(id).await?.ok_or_else(|| not_found(id))?;
                compact(&self.shared.parts.store, id, 0, u64::MAX).await
            }
        }
    }

    /// Changes a record: through the session where it is open, so that both know it.
    async fn change_record(&self, id: &str, change: impl FnOnce(&mut SessionRecord) + Send) -> Result<()> {
        let slot = self.slot(id)?;
        let slot = slot.lock().await;
        if let Some(core) = open(&slot) {
            return core.change_record(change).await;
        }
        let mut record = self.stored(id).await?.ok_or_else(|| not_found(id))?;
        change(&mut record);
        let store = &self.shared.parts.store;
        let driver = store.driver();
        Ok(store.call(|| driver.update_session(record.clone())).await?)
    }
}
