//! What needs a real server.
#![allow(clippy::unwrap_used)]

mod conformance;
mod scratch;
