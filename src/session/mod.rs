//! A session: what its users hold, and the steps of an event from the process to them.

mod backwards;
mod callback;
mod core;
mod dispatch;
mod events;
mod follow;
mod handle;
mod handshake;
mod hold;
mod ids;
mod journal;
mod key;
mod memo;
mod open;
mod others;
mod outcome;
mod outgoing;
mod past;
mod permission;
mod prompt;
mod queue;
mod reattach;
mod recorder;
mod replay;
mod request;
mod runner;
mod running;
mod settings;
mod state;
mod store;
mod tail;
mod transcript;
mod turn;
mod view;

pub(crate) use self::core::{Parts, SessionCore};
pub use events::{Events, From, Subscription};
pub use handle::Session;
pub(crate) use hold::Claim;
pub use outcome::{Opened, ResumeOutcome};
pub use permission::{
    PermissionPolicy, PermissionReply, PermissionRequest, PermissionRequests, PermissionSubscription,
};
pub use prompt::{Prompt, WhenBusy};
pub(crate) use recorder::now_ms;
pub use request::SessionRequest;
pub(crate) use request::{Setup, Wish};
pub use settings::NotRestored;
pub use state::SessionState;
pub(crate) use store::Store;
pub use turn::{Turn, TurnEvent, TurnStats};
pub use view::{EventView, SessionEventExt};
