//! Keeps the sessions of sandbox-agent-sdk in PostgreSQL, for services on several machines.

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
