//! Workspaces in actors of a real engine, found by `RIVET_ENGINE_BIN`.
#![allow(clippy::unwrap_used)]

mod clients;
mod crashes;
mod crowd;
mod follower;
mod javascript;
mod life;
mod process;
mod real;
mod room;
mod scene;
mod together;
