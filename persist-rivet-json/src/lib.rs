//! The store of `sandbox-agent-sdk` in an actor's state: JSON under one key, small, and shared with
//! TypeScript programs.
//!
//! ```
//! use sandbox_agent_persist::{SessionPersistDriver, SessionRecord};
//! use sandbox_agent_persist_rivet_json::{RivetJsonSessionPersistDriver, ValueState};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sandbox_agent_persist::PersistError> {
//! let state = ValueState::new();
//! let store = RivetJsonSessionPersistDriver::open(state.clone()).await?;
//! store.update_session(SessionRecord::new("default", "codex", 0)).await?;
//! let saved = state.value();
//! assert_eq!(saved["_sandboxAgentPersist"]["sessions"]["default"]["agent"], "codex");
//! # Ok(())
//! # }
//! ```
//!
//! # Where it is kept
//! An [`ActorState`] stands for the state. There are three, and one of your own takes twenty lines:
//! - [`ValueState`], a value in the process. You save it; it is not durable.
//! - [`FileState`], a JSON file that is replaced as a whole. What an insert returned for is on the disk
//!   after the process or the machine died. Many inserts at once share a save, and each returns after the
//!   one that has it. [`open_file`](RivetJsonSessionPersistDriver::open_file) is the short way to it.
//! - `RivetActorState` in the crate `sandbox-agent-persist-rivet-actor`, the state of a Rivet actor.
//!
//! The driver keeps sessions and events in a form of its own and the state asks for their JSON when it
//! is saved, so that an insert costs the same however much there is. A state is one driver's at a time.
//!
//! # What is under the key
//! ```json
//! {
//!   "sessions": { "ID": { "id": "ID", "agent": "codex", "createdAt": 1700000000000 } },
//!   "events": { "ID": [ { "id": "…", "eventIndex": 7, "sessionId": "ID", "payload": {} } ] },
//!   "evicted": { "OTHER": 41 }
//! }
//! ```
//! It is what a TypeScript program has there, but for `evicted`, which that does not look at: of each
//! session that has no events any more, the last index that was evicted. Where there are events, the
//! first one's index tells it. Members that are unknown here stay where they are, in records, in events,
//! beside these three, and beside the key.
//!
//! State of a TypeScript program is taken over when a driver is opened on it, and is written with the
//! first change:
//! - Events are put in the order of their indexes. A session whose indexes have holes or doubles, or
//!   whose events have none, is numbered anew in the order of `(eventIndex, createdAt, place)`,
//!   from its first index on: what was before that was evicted.
//! - Ids that are numbers become text. Of several events with one id the later ones get another, `ID#2`.
//! - What can't be read at all is a `Corrupt` error which names it, and nothing is changed.
//!
//! # What goes when it is full
//! Within [`RivetJsonOptions`], the bytes of all that is under the key are never above their limit,
//! not even for a moment: room is made before a change. They are counted as JSON, and as CBOR where that
//! is longer, so that they are never less than what is really saved.
//! - *Bytes:* the event that was stored first in the whole state goes, whichever session has it, but
//!   one of a running turn only when there is no other. When no event is left, sessions go.
//! - *Events of a session:* the session's oldest event, also that of a running turn.
//! - *Sessions:* the one that was written to longest ago, record and events, but one with a running turn
//!   only when there is no other.
//!
//! A turn runs from the request `session/prompt` until the agent's response to it, or the notification that
//! the turn or the agent's process ended. So a turn that is longer than the state goes on; only its
//! beginning is not there any more.
//!
//! What was evicted leaves a mark: who asks for it gets the error `Evicted { from, to }`, and no index is
//! given out twice. Of whole sessions the marks of as many as there may be sessions are kept, within a
//! sixteenth of all bytes. The ids of evicted events are forgotten.
//!
//! An event that would not fit if all others went, or that nests deeper than 100 levels, which JSON
//! readers refuse, is stored with a [`Truncated`] note of its size and hash in the place of its payload. It
//! begins and ends turns as before. A record that does not fit is an error `TooLarge`.

#[cfg(feature = "cbor")]
mod cbor;
#[cfg(feature = "cbor")]
mod cbor_state;
mod change;
mod contents;
mod driver;
mod file;
mod file_state;
mod json;
mod load;
mod marks;
mod measure;
mod options;
mod print;
mod repair;
mod room;
mod saver;
mod session;
mod state;
mod store;
mod truncate;
mod turns;
mod value;
mod value_state;

#[cfg(feature = "cbor")]
pub use cbor_state::CborState;
/// A member of a [`CborState`], or its name.
#[cfg(feature = "cbor")]
pub use ciborium::Value as CborValue;
pub use driver::RivetJsonSessionPersistDriver;
pub use file_state::FileState;
pub use options::RivetJsonOptions;
pub use state::{ActorState, Content};
pub use truncate::{TRUNCATED, Truncated};
pub use value_state::ValueState;
