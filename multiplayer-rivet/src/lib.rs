//! Hosts the sessions of `sandbox-agent-sdk` in actors of Rivet's engine, for many people at once.
//!
//! [`RivetSqlSessionPersistDriver`] keeps the sessions of an actor in the actor's own database.

mod store;

pub use store::RivetSqlSessionPersistDriver;
