//! The limits that the client sets, and how long its calls may take by them.

use std::time::Duration;

use sandbox_agent_sdk::Limits;

use crate::plan::Server;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// How often the in-process server says that it lives.
pub(crate) const TESTKIT_HEARTBEAT: Duration = secs(1);

const CONNECT: Duration = secs(30);
const REQUEST: Duration = secs(20);
const TURN: Duration = secs(60);
const SILENCE: Duration = secs(25);
const PERMISSION: Duration = secs(5);
const CANCEL: Duration = secs(5);
const STORE: Duration = secs(10);
const UNCONFIRMED: Duration = secs(20);
/// What the calls take by themselves on a busy machine.
const SLACK: Duration = secs(15);

pub(crate) fn limits(server: Server) -> Limits {
    Limits::default()
        .connect(CONNECT)
        .request(REQUEST)
        .turn(Some(TURN))
        .silence(Some(SILENCE))
        .permission(Some(PERMISSION))
        .cancel(CANCEL)
        .store(STORE)
        .unconfirmed(UNCONFIRMED)
        .heartbeat(match server {
            // Its heartbeat comes every 15 s.
            Server::Real => secs(16),
            Server::Testkit => 3 * TESTKIT_HEARTBEAT,
        })
}

/// What the documentation of each call says of its bound, by these limits.
pub(crate) const CONNECTING: Duration = CONNECT.saturating_add(SLACK);
pub(crate) const OPENING: Duration =
    REQUEST.saturating_mul(4).saturating_add(STORE.saturating_mul(6)).saturating_add(SLACK);
/// One turn whose session has to be opened first.
pub(crate) const PROMPT: Duration = OPENING
    .saturating_add(TURN)
    .saturating_add(CANCEL.saturating_mul(2))
    .saturating_add(STORE.saturating_mul(4))
    .saturating_add(SLACK);
pub(crate) const CLOSING: Duration = secs(6).saturating_add(STORE.saturating_mul(2)).saturating_add(SLACK);
/// A reader has what is stored already before it.
pub(crate) const READING: Duration = STORE.saturating_mul(2).saturating_add(SLACK);
