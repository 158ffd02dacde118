//! Where a server runs: the contract of who provides sandboxes, and the SDK's part of it.

mod endpoint;
mod error;
mod lifecycle;
mod provider;
mod start;

pub use endpoint::SandboxEndpoint;
pub use error::{SandboxError, SandboxErrorKind};
pub use provider::SandboxProvider;
pub(crate) use start::{Sandbox, Start};
