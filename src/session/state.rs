//! What a session is doing, for anybody who shows it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// What a session is doing right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionState {
    /// No agent process: the next prompt starts one.
    Dormant,
    /// An agent process is being started or resumed.
    Connecting,
    /// Ready for a prompt.
    Idle,
    /// A turn is running.
    Running,
    /// A turn waits for a permission: answer it.
    WaitingForPermission,
    /// The event stream is broken and being connected again.
    Lost,
    /// The SDK was closed or detached, or the store failed.
    Closed,
}

/// The facts that the state is made of.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) opening: bool,
    pub(crate) live: bool,
    pub(crate) connected: bool,
    pub(crate) turn: bool,
    pub(crate) permissions: usize,
    pub(crate) closed: bool,
}

impl Facts {
    fn state(&self) -> SessionState {
        match self {
            Self { closed: true, .. } => SessionState::Closed,
            Self { opening: true, .. } => SessionState::Connecting,
            Self { live: false, .. } => SessionState::Dormant,
            Self { connected: false, .. } => SessionState::Lost,
            Self { permissions: 1.., .. } => SessionState::WaitingForPermission,
            Self { turn: true, .. } => SessionState::Running,
            _ => SessionState::Idle,
        }
    }
}

#[derive(Debug)]
pub(crate) struct State {
    facts: Mutex<Facts>,
    shown: watch::Sender<SessionState>,
}

impl State {
    pub(crate) fn new() -> Self {
        Self { facts: Mutex::default(), shown: watch::Sender::new(SessionState::Dormant) }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<SessionState> {
        self.shown.subscribe()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Facts)) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut facts);
        let state = facts.state();
        // Sent under the lock, so that the last change is the one that stays.
        self.shown.send_if_modified(|shown| std::mem::replace(shown, state) != state);
    }
}
