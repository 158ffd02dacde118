//! The store in an actor's database, in actors of a real engine, found by `RIVET_ENGINE_BIN`.
#![allow(clippy::unwrap_used)]

mod conformance;
mod kit;
mod mirror;
mod sizes;
mod survival;
