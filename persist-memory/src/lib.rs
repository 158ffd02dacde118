//! The store of `sandbox-agent-sdk` that lives in memory, within limits.
//!
//! It is the SDK's default: nothing to set up, gone with the process. It holds 256 MiB in
//! all, 100,000 events a session and 1024 sessions unless [`MemoryOptions`] say otherwise.
//!
//! # What goes when a limit is met
//! - *Events of a session:* the session's oldest event.
//! - *Bytes:* the event that was stored first in the whole store, whichever session has it.
//!   A session that stopped writing long ago so gives way to those that still do.
//! - *Sessions:* the session that was written to longest ago, record and events.
//!
//! What was evicted leaves a mark, so that a reader who asks for it gets the error
//! `Evicted { from, to }`, and no index is given out twice. The marks of whole sessions are
//! kept for the last 64 × `max_sessions` of them.
//!
//! An event of a running turn is never evicted. A turn runs from the stored request
//! `session/prompt` until the agent's response to it, or the notification that the turn or
//! the agent's process ended, or until the session's record is marked as destroyed. When
//! nothing else is left to evict, an insert is an error `TooLarge` that names the limit to raise.
//!
//! # Several users in one process
//! Clones share the store. It grants leases, tells those who wait for events, and folds runs, as the
//! stores do that several machines share: what is built on those can be tested on this one.
//!
//! # Ids
//! The ids of evicted events are forgotten: one that comes again is no longer a `Duplicate`.
//!
//! ```
//! use sandbox_agent_persist::{SessionPersistDriver, SessionRecord};
//! use sandbox_agent_persist_memory::{MemoryOptions, MemorySessionPersistDriver};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sandbox_agent_persist::PersistError> {
//! let options = MemoryOptions::new().max_bytes(16 * 1024 * 1024);
//! let store = MemorySessionPersistDriver::with_options(options);
//! store.update_session(SessionRecord::new("default", "codex", 0)).await?;
//! assert!(store.get_session("default").await?.is_some());
//! # Ok(())
//! # }
//! ```

mod driver;
mod leases;
mod marks;
mod options;
mod session;
mod store;
mod turns;

pub use driver::MemorySessionPersistDriver;
pub use options::MemoryOptions;
