//! The host as its clients see it: a real server on a free port, the testkit's sandbox behind it.
#![allow(clippy::unwrap_used, missing_docs)]

mod bounds;
mod events;
mod http;
mod lifetime;
mod refusals;
mod stalled;
mod support;
mod websocket;
