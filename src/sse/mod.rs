//! Server-sent events: from the socket's bytes to whole events, and when to connect again.

mod budget;
mod event;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod reconnect;
mod stream;

pub(crate) use budget::{Budget, Permit};
pub(crate) use reconnect::Reconnect;
pub(crate) use stream::{EventSource, Item};
