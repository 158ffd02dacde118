//! A server on this machine, for as long as its owner lives.

mod binary;
mod builder;
mod find;
mod guard;
mod home;
mod provider;
mod server;

pub use builder::LocalSandboxBuilder;
pub use provider::LocalProvider;
pub use server::LocalSandbox;
