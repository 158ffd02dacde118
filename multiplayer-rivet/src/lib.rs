//! Hosts the sessions of `sandbox-agent-sdk` in actors of Rivet's engine, for many people at once.
//!
//! [`RivetSqlSessionPersistDriver`] keeps the sessions of an actor in the actor's own database.

mod actor;
mod json;
mod mirror;
mod store;

pub use actor::{ActorLimits, WorkspaceActor, WorkspaceKey, WorkspaceSandbox};
pub use mirror::{MirroredSessionPersistDriver, RecordMirror};
pub use store::RivetSqlSessionPersistDriver;
