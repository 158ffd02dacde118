//! The line of frames: what is stored, the newest in memory, and who waits for the next.
//!
//! ```text
//! whoever has something to tell → writer (numbers, stores, publishes) → tail → readers
//! ```
//!
//! It is a session of the store, with an entry for each frame. Events of sessions are in the store
//! already: an entry stands for a run of them, and takes as many places.

mod entry;
mod reader;
mod store;
mod tail;
mod writer;

pub use reader::Frames;
pub(crate) use reader::{Start, page};
pub(crate) use store::{LineStore, PREFIX, line_id};
pub(crate) use writer::{Appended, Line, Run, now_ms, restore};
