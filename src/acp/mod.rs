//! One agent process over ACP: order, doubles, holes, and who waits for an answer.

mod envelope;
mod fetch;
mod gap;
mod link;
mod pending;
mod post;
mod reader;
mod sequence;
mod sequencer;

pub(crate) use envelope::{Outbound, read_answer};
pub use gap::{Gap, GapCause};
pub(crate) use link::{Ground, Inbound, Link, Process};
pub(crate) use pending::Answer;
