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
//! transaction, so that many sessions that write at once share the cost of reaching the disk:
//! 64 of them come to about one commit for 64 events. [`stats`](SqliteSessionPersistDriver::stats) counts
//! both. Each call has its own outcome and returns after the commit. Reads have connections of
//! their own, on the runtime's blocking threads, and wait for no writer. A page takes the same time
//! wherever it begins, of events and of sessions.
//!
//! The file is in WAL mode with `synchronous=FULL`, so it must be on a local disk, and comes
//! with two neighbours, `-wal` and `-shm`, while it is open. The `-wal` grows to 16 MiB before it is
//! taken into the file, and further only while something is read all the time.
//!
//! # Several processes
//! They may use one file. One that waits longer than [`SqliteOptions::busy_timeout`] for another's write
//! gets an `Unavailable` error. That takes a process that is stuck, or vacuums: beside others that write
//! all the time, a call waits for some tenths of a second.
//!
//! *Leases* ([`SessionLease`](sandbox_agent_persist::SessionLease)) hold a session to one writer. Each write is held against the lease in its own
//! transaction, so that none of a holder before comes after the next one's. They end by the machine's clock, in
//! milliseconds: a clock that is set back prolongs them, and one that is set forward ends them early, which a
//! holder learns from the error `Fenced` of its next write. A program that knows no leases, like one in
//! TypeScript, asks for none and writes past them; the holder's next insert is a `Conflict` then.
//!
//! *Following* ([`SessionFollow`](sandbox_agent_persist::SessionFollow)): what this process stores is told right after its commit, and what another one
//! stores within about 50 ms. So often a thread asks SQLite whether the file was changed, which takes some
//! microseconds and reads no table unless it was. There is one for an open file, from the first wait on;
//! it sleeps while nobody waits.
//!
//! # Room
//! SQLite keeps the room of what was deleted or folded, and uses it for what comes. A
//! [`vacuum`](sandbox_agent_persist::SessionUpkeep::vacuum) gives it back to the disk. That writes the file anew and takes
//! as long: about a second for 500 MB, for which all writers wait, and room for a second copy meanwhile. Where another
//! process reads or writes at the end of it, it is an `Unavailable` error; nothing is lost, and the next one makes
//! up for it. It also forgets leases that expired a day ago or earlier: their holders are fenced then.
//!
//! # Files of TypeScript programs
//! A Rust and a TypeScript program may share a file: the tables and columns are the same, and
//! what is added here is optional. A file is brought up to date when it is first opened, in
//! one transaction, with all its rows:
//! - Integer ids of events become text.
//! - A session whose events have no index, or whose indexes are not 1, 2, 3, … (because two
//!   wrote the same one, or one was lost), is numbered anew in the order of
//!   `(event_index, created_at, rowid)`. Stop programs that number its events while this happens.
//! - `idx_events_session_order` becomes unique, on `(session_id, event_index)`, so that no program can
//!   take an index twice.
//!
//! A program that names the columns that it writes goes on as before, and leaves alone those that it
//! doesn't know. It lists a run of folded events as the one event that stands for it.
//!
//! | table | column that is added | what it has |
//! | --- | --- | --- |
//! | `sessions` | `sandbox_id`, `config_options_json`, `modes_json`, `extra_json` | further members of the record |
//! | | `title`, `last_activity_at`, `archived_at` | the catalogue; NULL for none |
//! | | `title_folded` | the title as [`fold_case`](sandbox_agent_persist::fold_case) gives it: the one that is searched |
//! | | `tags_json` | a JSON array of texts, each in a line of its own and indented by two: so they are searched |
//! | `events` | `folded_from` | the first index of the run that it stands for; NULL for none |
//! | `leases` | | `token`, `session_id`, `holder`, `expires_at`; a token is never given out again |

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
