//! Stores that the TypeScript SDK wrote, opened here, and there again.
//!
//! `cargo xtask test` installs that SDK and the server, and runs what is ignored. What is in
//! `fixtures/` was written by `sessions.mjs` alone; to make it anew, run the test that compares it,
//! and take what that kept.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod both_ways;
mod fixtures;
mod peer;
mod seen;
mod store;
