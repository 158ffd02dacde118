//! Workspaces in actors of a real engine, found by `RIVET_ENGINE_BIN`, with clients of the engine's own kind.
#![allow(clippy::unwrap_used)]

mod client;
mod scene;
mod together;
