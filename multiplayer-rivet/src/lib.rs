//! Hosts the sessions of `sandbox-agent-sdk` in actors of Rivet's engine, for many people at once.
//!
//! [`RivetSqlSessionPersistDriver`] keeps the sessions of an actor in the actor's own database.

mod actor;
mod cbor;
mod client;
mod json;
mod mirror;
mod serve;
mod store;

pub use actor::{ActorLimits, WorkspaceActor, WorkspaceKey, WorkspaceSandbox};
pub use client::{Credentials, IntoKey, RivetTransport, RivetWorkspaces, RivetWorkspacesBuilder};
pub use mirror::{MirroredSessionPersistDriver, RecordMirror};
pub use serve::{WorkspaceHost, asked_to_end};
pub use store::RivetSqlSessionPersistDriver;
