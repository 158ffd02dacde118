//! Upkeep: what a session takes, folding runs of its events, and giving room back.

use async_trait::async_trait;

use crate::{PersistError, SessionEvent, SessionPersistDriver};

/// What the events of a session take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// How many events are stored; one that stands for a run counts once.
    pub events: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
}

impl Usage {
    /// So many events with so many bytes of payload.
    pub const fn new(events: u64, bytes: u64) -> Self {
        Self { events, bytes }
    }
}

/// Measures sessions, folds runs of events, and gives room back.
///
/// # The contract
///
/// 22. `fold` puts one event in the place of those whose indexes it stands for, all at once: a reader sees
///     either. Where the store does not hold just these indexes, or has the event's id, it changes nothing and gives `false`.
/// 23. `usage` counts the events that the session's lists give, and the bytes of their payloads; of an unknown session, none.
///     `vacuum` changes nothing that a list gives.
#[async_trait]
pub trait SessionUpkeep: SessionPersistDriver {
    /// What the events of this session take.
    async fn usage(&self, session_id: &str) -> Result<Usage, PersistError>;

    /// Puts this event in the place of the run of events that it stands for.
    async fn fold(&self, session_id: &str, folded: SessionEvent) -> Result<bool, PersistError>;

    /// Gives back the room of what was deleted, where the store does not do so by itself.
    ///
    /// It may take as long as copying the store does, and hold writers up meanwhile.
    async fn vacuum(&self) -> Result<(), PersistError>;
}
