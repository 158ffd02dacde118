//! The storage contract of `sandbox-agent-sdk`.
//!
//! A store keeps one [`SessionRecord`] a session and the [`SessionEvent`]s of each. Whoever
//! wants to keep them elsewhere than in the stores that exist implements
//! [`SessionPersistDriver`], whose documentation is the contract, and proves it with the
//! `conformance` suite (feature `conformance`). This crate has no network code in it.

pub mod envelope;

mod driver;
mod error;
mod page;
mod record;

pub use async_trait::async_trait;
pub use driver::{Capabilities, Inserted, SessionPersistDriver};
pub use error::{PersistError, PersistErrorKind};
pub use page::{Cursor, DEFAULT_PAGE, ListEventsRequest, ListPage, ListSessionsRequest, Order};
pub use record::{Sender, SessionEvent, SessionRecord};
pub use serde_json::value::RawValue;
