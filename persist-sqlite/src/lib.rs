//! The store of `sandbox-agent-sdk` in one SQLite file.
//!
//! SQLite is built in: nothing to install. What an insert returned for is on the disk, whole,
//! after the process or the machine died.
//!
//! ```no_run
//! use sandbox_agent_persist::{ListEventsRequest, SessionPersistDriver};
//! use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sandbox_agent_persist::PersistError> {
//! let store = SqliteSessionPersistDriver::open("sessions.db").await?;
//! let page = store.list_events(ListEventsRequest::new("default")).await?;
//! println!("{} events", page.items.len());
//! store.close().await
//! # }
//! ```
//!
//! # How it writes
//! One thread owns the connection that writes. Whatever waits when it is free goes into one
//! transaction, so that many sessions that write at once share the cost of reaching the disk.
//! Each call has its own outcome and returns after the commit. Reads have connections of
//! their own, on the runtime's blocking threads, and wait for no writer.
//!
//! The file is in WAL mode with `synchronous=FULL`, so it must be on a local disk, and comes
//! with two neighbours, `-wal` and `-shm`, while it is open. Several processes may use one
//! file. One that waits longer than [`SqliteOptions::busy_timeout`] for another's write gets
//! an `Unavailable` error.
//!
//! # Files of TypeScript programs
//! A Rust and a TypeScript program may share a file: the tables and columns are the same, and
//! what is added here is optional. A file is brought up to date when it is first opened, in
//! one transaction, with all its rows:
//! - Integer ids of events become text.
//! - A session whose events have no index, or whose indexes are not 1, 2, 3, … (because two
//!   wrote the same one, or one was lost), is numbered anew in the order of
//!   `(event_index, created_at, rowid)`. Stop programs that number its events while this happens.

mod call;
mod connect;
mod driver;
mod error;
mod events;
mod followers;
mod leases;
mod options;
mod pace;
mod parts;
#[cfg(test)]
mod plans;
mod readers;
mod rows;
mod schema;
mod sessions;
mod stats;
mod tags;
mod vacuum;
mod work;
mod writer;

pub use driver::SqliteSessionPersistDriver;
pub use options::SqliteOptions;
pub use stats::SqliteStats;
