//! The storage contract of `sandbox-agent-sdk`.
//!
//! A store keeps one [`SessionRecord`] a session and the [`SessionEvent`]s of each. Whoever
//! wants to keep them elsewhere than in the stores that exist implements
//! [`SessionPersistDriver`], whose documentation is the contract, and proves it with the
//! `conformance` suite (feature `conformance`). This crate has no network code in it.
//!
//! # A whole driver
//! It keeps everything in a `Vec`, and the contract.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::{Mutex, MutexGuard, PoisonError};
//!
//! use sandbox_agent_persist::{
//!     Capabilities, Cursor, Inserted, ListEventsRequest, ListPage, ListSessionsRequest, Order,
//!     PersistError, SessionEvent, SessionPersistDriver, SessionRecord, async_trait,
//! };
//!
//! #[derive(Debug, Default)]
//! struct VecDriver(Mutex<Store>);
//!
//! #[derive(Debug, Default)]
//! struct Store {
//!     sessions: BTreeMap<String, SessionRecord>,
//!     events: Vec<SessionEvent>,
//! }
//!
//! impl VecDriver {
//!     fn store(&self) -> MutexGuard<'_, Store> {
//!         self.0.lock().unwrap_or_else(PoisonError::into_inner)
//!     }
//! }
//!
//! #[async_trait]
//! impl SessionPersistDriver for VecDriver {
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::new()
//!     }
//!
//!     async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
//!         Ok(self.store().sessions.get(id).cloned())
//!     }
//!
//!     async fn list_sessions(
//!         &self,
//!         request: ListSessionsRequest,
//!     ) -> Result<ListPage<SessionRecord>, PersistError> {
//!         let at = request.cursor.as_ref().map(Cursor::session_key).transpose()?;
//!         let mut sessions: Vec<_> = self.store().sessions.values().cloned().collect();
//!         sessions.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
//!         if request.order == Order::Descending {
//!             sessions.reverse();
//!         }
//!         sessions.retain(|session| {
//!             let key = (session.created_at, session.id.as_str());
//!             let beyond = at.is_none_or(|at| match request.order {
//!                 Order::Ascending => key > at,
//!                 Order::Descending => key < at,
//!             });
//!             beyond && request.filter.matches(session)
//!         });
//!         Ok(ListPage::first_of(sessions, request.page_size(), |last| {
//!             Cursor::at_session(last.created_at, &last.id)
//!         }))
//!     }
//!
//!     async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
//!         self.store().sessions.insert(record.id.clone(), record);
//!         Ok(())
//!     }
//!
//!     async fn list_events(
//!         &self,
//!         request: ListEventsRequest,
//!     ) -> Result<ListPage<SessionEvent>, PersistError> {
//!         let bounds = request.bounds()?;
//!         let mut events = self.store().events.clone();
//!         events.retain(|event| event.session_id == request.session_id && event.is_within(bounds));
//!         if request.order == Order::Descending {
//!             events.reverse();
//!         }
//!         Ok(ListPage::of_events(events, &request))
//!     }
//!
//!     async fn insert_event(
//!         &self,
//!         session_id: &str,
//!         event: SessionEvent,
//!     ) -> Result<Inserted, PersistError> {
//!         event.check_session(session_id)?;
//!         let events = &mut self.store().events;
//!         if events.iter().any(|held| held.id == event.id) {
//!             return Ok(Inserted::Duplicate);
//!         }
//!         let last = events.iter().rfind(|held| held.session_id == session_id);
//!         let next_index = last.map_or(1, |last| last.event_index + 1);
//!         if event.first_index() != next_index {
//!             return Ok(Inserted::Conflict { next_index });
//!         }
//!         events.push(event);
//!         Ok(Inserted::Stored)
//!     }
//!
//!     async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
//!         let mut store = self.store();
//!         store.sessions.remove(id);
//!         store.events.retain(|event| event.session_id != id);
//!         Ok(())
//!     }
//! }
//! # #[cfg(feature = "conformance")]
//! # {
//! # struct Fresh;
//! # #[async_trait]
//! # impl sandbox_agent_persist::conformance::Harness for Fresh {
//! #     fn capabilities(&self) -> Capabilities {
//! #         Capabilities::new()
//! #     }
//! #     async fn fresh(&self) -> std::sync::Arc<dyn SessionPersistDriver> {
//! #         std::sync::Arc::new(VecDriver::default())
//! #     }
//! # }
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
//! # let report = runtime.block_on(sandbox_agent_persist::conformance::run_all(|| Fresh));
//! # assert!(report.failures.is_empty(), "{report}");
//! # }
//! ```
//!
//! # What every store can do
//! [`SessionPersistDriverExt`] works on each driver: [prune](SessionPersistDriverExt::prune) what is
//! old or too much, [export](SessionPersistDriverExt::export) a session as JSON Lines and
//! [import](SessionPersistDriverExt::import) it, and [copy](SessionPersistDriverExt::copy_to) sessions
//! from any store to any other.
//!
//! # How to prove a driver
//! Add this crate with the feature `conformance` to the dev-dependencies, say in a
//! `conformance::Harness` how a store is made and opened again, and write
//! `sandbox_agent_persist::conformance_tests!(harness);` in a file of `tests/`. `cargo test`
//! then has a test for each sentence of the contract and one of random calls, and each failure
//! names the sentence. The driver above may stop there: [`SessionUpkeep`], [`SessionFollow`] and
//! [`SessionLease`] are for those that promise them in their [`Capabilities`].

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod envelope;

mod capabilities;
mod catalogue;
mod driver;
mod error;
mod ext;
mod follow;
mod lease;
mod page;
mod record;
mod retention;
mod roll;
mod transfer;
mod upkeep;
mod walk;

pub use async_trait::async_trait;
pub use capabilities::Capabilities;
pub use catalogue::{SessionFilter, SessionStatus, fold_case};
pub use driver::{Inserted, SessionPersistDriver};
pub use error::{PersistError, PersistErrorKind, Unreadable, brief};
pub use ext::SessionPersistDriverExt;
pub use follow::SessionFollow;
pub use lease::{Acquired, Lease, SessionLease};
pub use page::{Cursor, DEFAULT_PAGE, ListEventsRequest, ListPage, ListSessionsRequest, Order};
pub use record::{Sender, SessionEvent, SessionRecord};
pub use retention::{DEFAULT_GUARD, PruneReport, PruneRule, Pruned, Retention, Spared, SparedBecause, prune};
pub use serde_json::value::RawValue;
pub use transfer::{
    CopyFailure, CopyProgress, CopyReport, EXPORT_VERSION, Imported, SessionCopied, SessionCopy,
    SessionExport, SessionImport, copy_all, copy_session,
};
pub use upkeep::{SessionUpkeep, Usage};
pub use walk::count_usage;
