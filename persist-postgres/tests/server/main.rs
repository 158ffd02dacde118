//! What needs a real server.
#![allow(clippy::unwrap_used)]

mod conformance;
mod following;
mod leases;
mod migrations;
mod processes;
mod rows;
mod scratch;
mod secrets;
mod waits;
