//! The real actor engine and actors in one process, for the tests of what runs on it.
//!
//! ```no_run
//! use rivetkit_core::{ActorConfig, ActorFactory};
//! use sandbox_agent_engine_harness::{Actors, play};
//!
//! # async fn test() {
//! let config = ActorConfig { remote_sqlite: true, ..ActorConfig::default() };
//! let factory = ActorFactory::new(config, |start| Box::pin(async { drop(start); Ok(()) }));
//! play([("mine", factory)], |actors: Actors| async move {
//!     let id = actors.create("mine", "one").await;
//!     actors.call(&id, "ping").await;
//! })
//! .await;
//! # }
//! ```
//!
//! Everything here panics when it fails, as a test does. Tests that use it need the engine's program, so
//! that they are `#[ignore = "needs the engine at RIVET_ENGINE_BIN"]`.
#![allow(clippy::unwrap_used)]

mod actors;
mod engine;
mod idle;
mod play;
mod ports;
mod runner;

use std::time::Duration;

pub use actors::Actors;
pub use engine::{Engine, PROGRAM};
pub use idle::{IdleActors, with_idle_actors};
pub use play::{play, play_within};
pub use runner::Runner;

/// How long anything here is waited for: far above what it takes.
pub const PATIENCE: Duration = Duration::from_secs(60);
