//! Layers around any store of `sandbox-agent-sdk`: drivers that are given another driver.
//!
//! - [`EncryptedDriver`] encrypts what sessions say, with a key of the caller's.
//! - [`RedactingDriver`] takes secrets out of what is stored.
//! - A [`Transform`] of one's own makes a [`Layer`] that does something else.
//!
//! Each keeps the contract, has all capabilities of the store within, and goes around another one: redact
//! first, and encrypt what is left.
//!
//! ```
//! use sandbox_agent_persist::SessionPersistDriver;
//! use sandbox_agent_persist_layers::{EncryptedDriver, Keys, RedactingDriver, Secrets};
//! # use sandbox_agent_persist_memory::MemorySessionPersistDriver;
//!
//! # let (store, key) = (MemorySessionPersistDriver::new(), [7; 32]);
//! let encrypted = EncryptedDriver::new(store, Keys::new("2025-06", &key));
//! let sessions = RedactingDriver::new(encrypted, Secrets::new());
//! assert!(sessions.capabilities().upkeep);
//! ```

mod encrypt;
mod layer;
mod redact;
mod transform;

pub use encrypt::{EncryptedDriver, Encryption, Keys, Rotated};
pub use layer::Layer;
pub use redact::{REDACTED, Redact, RedactingDriver, Redaction, Secrets};
pub use transform::Transform;
