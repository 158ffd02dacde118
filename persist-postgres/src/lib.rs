//! The store of `sandbox-agent-sdk` in PostgreSQL, for services on several machines.
//!
//! What an insert returned for is on the server's disk, whole, whichever of the two dies after that.
//!
//! ```no_run
//! use sandbox_agent_persist::{ListEventsRequest, SessionPersistDriver};
//! use sandbox_agent_persist_postgres::PostgresSessionPersistDriver;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sandbox_agent_persist::PersistError> {
//! let url = "postgres://agents:secret@db.example:5432/app";
//! let store = PostgresSessionPersistDriver::connect(url).await?;
//! let page = store.list_events(ListEventsRequest::new("default")).await?;
//! println!("{} events", page.items.len());
//! # Ok(())
//! # }
//! ```
//!
//! It needs PostgreSQL 12 or newer, and is tested with 15, and a database in UTF-8. A schema of its own,
//! [`PostgresOptions::schema`], has the tables; tenants or tests that share a database each have one.
//!
//! # How it writes
//! An insert, of one event or of a batch, is one call of a function of the schema, and so one round trip and one
//! transaction. A batch of more than 4 MiB goes in parts. The function takes a lock that
//! is the session's, so that writers of one session wait for each other, up to
//! [`PostgresOptions::busy_timeout`], and those of different sessions share the cost of reaching the disk.
//!
//! A commit waits for the disk: `synchronous_commit` is `on` for each connection, or `remote_apply` where that is
//! the server's default, and a server whose `fsync` is off is refused unless
//! [`PostgresOptions::require_fsync`] says otherwise. A client can't see more than that: disks that pretend,
//! `full_page_writes` turned off and tables made `UNLOGGED` by hand are for the server's keeper to avoid.
//!
//! # Connections
//! A driver has one pool, of up to [`PostgresOptions::connections`], and one connection more once somebody
//! waits for an event. One that broke is replaced by the next call, and the call that met it is an `Unavailable`
//! error, which the SDK tries again. A call that is dropped, or that is not answered within
//! [`PostgresOptions::call_timeout`], gives its connection up. Statements are kept prepared, and settings
//! and notifications belong to a session, so that a pooler between must keep to whole sessions.
//!
//! [`PostgresSessionPersistDriver::connect`] uses no TLS. `connect_with_tls` takes any, for instance
//! `PostgresTls`, which the feature `rustls` brings.
//!
//! # Several nodes
//! Any number of nodes may use one schema at once. Each makes the tables or brings them up to date when it
//! connects, one at a time and in one transaction. A node that knows only older tables is refused from then on when
//! it connects; stop those that are connected before.
//!
//! ## Leases
//! A [lease](sandbox_agent_persist::SessionLease) is a row with a token from a sequence. Every write checks it
//! in its own transaction, under the session's lock, which granting takes as well. So when a node is granted a
//! lease, whatever the holder before it was writing is stored or will be refused, and nothing comes
//! later. Leases end by the server's clock alone; those of the nodes need not agree. `vacuum` forgets leases that
//! expired a day ago.
//!
//! ## Following
//! Whoever waits for an event is told by `NOTIFY`, which the insert sends in its own transaction. When the
//! listening connection breaks, it is replaced, and then everybody who waits looks at the store again, so
//! that nothing is missed. When it can't be replaced for about half a minute, whoever waits gets the error, and
//! the next one who waits tries anew.
//!
//! PostgreSQL lets transactions that notify commit only one after another, in the whole database server: each waits
//! for the disk by itself. So inserts notify only of sessions that somebody follows, which a row of
//! the table `followed` tells, from the first wait until half a minute after the last. Sessions that nobody
//! follows cost nothing; all that are followed have together about as many commits a second as the
//! disk has flushes.
//!
//! ## Failover
//! Name all servers in the connection string: `postgres://a.example,b.example/app`. The first one that takes writes
//! is used. A server that was made a standby, or is starting, is `Unavailable`, and its connections are replaced.
//! What was acknowledged is on the new primary only if the old one waited for that, by
//! `synchronous_standby_names`. Without it a failover may lose the newest events, and grant tokens again that leases
//! had before.
//!
//! # Rights
//! Who first connects makes the schema, and needs `CREATE` on the database. Who connects to tables that are there needs
//! these, and `vacuum` skips the tables of another owner:
//!
//! ```sql
//! GRANT USAGE ON SCHEMA sandbox_agent TO agents;
//! GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sandbox_agent TO agents;
//! GRANT USAGE ON ALL SEQUENCES IN SCHEMA sandbox_agent TO agents;
//! ```
//!
//! # What the tables hold
//! Payloads and other JSON are `text`, and come back byte for byte. PostgreSQL's text can't hold U+0000, so that
//! in ids, names and titles U+0000 stands as U+0001 U+0001, and U+0001 as U+0001 U+0002. Ids are in the order of their
//! bytes. An id or tag has 2,600 bytes at most, unless it is so regular that the server packs it, and
//! an event or record 256 MiB.
//!
//! No error, log or `Debug` shows the password or what records and events hold.

mod driver;
mod error;
mod follow;
mod hidden;
mod leases;
mod listener;
mod migrate;
mod names;
mod options;
mod pool;
mod reader;
mod rows;
mod server;
mod store;
mod text;
#[cfg(feature = "rustls")]
mod tls;
mod writer;

pub use driver::PostgresSessionPersistDriver;
pub use options::PostgresOptions;
#[cfg(feature = "rustls")]
pub use tls::PostgresTls;
