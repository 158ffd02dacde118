//! Following: who waits here, and is told by the listening connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox_agent_persist::{PersistError, PersistErrorKind};
use tokio::sync::{RwLock, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::error::closed;
use crate::listener::Listener;
use crate::names::Schema;
use crate::reader::bigint;
use crate::server::Server;
use crate::store::Store;
use crate::text::stored;

/// The index that a session has come to, of one that is not known.
pub(crate) const UNKNOWN: i64 = 0;

/// Waits until the session has an event after this index.
pub(crate) async fn changed(store: &Store, session_id: &str, after_index: u64) -> Result<u64, PersistError> {
    let session_id = stored(session_id);
    let after = bigint(after_index);
    let waits = &store.follower.waits;
    // Before looking, so that nothing comes in between.
    let mut waiter = waits.enter(&session_id);
    loop {
        let mut listening = store.follower.listening(&store.place)?;
        let listener = connected(&mut listening, &store.place).await?;
        waiter.told.borrow_and_update();
        let row = {
            let _stays = waits.leaving.read().await;
            store.pool.query_one(&store.statements.follow, &[&session_id, &listener]).await?
        };
        let mut last: i64 = store.column(&row, 0)?;
        loop {
            if last > after {
                return Ok(last.unsigned_abs());
            }
            tokio::select! {
                told = waiter.told.changed() => match told {
                    Ok(()) => last = *waiter.told.borrow_and_update(),
                    // The sender is in the map for as long as somebody waits.
                    Err(_) => break,
                },
                _ = listening.changed() => break,
            }
            if last == UNKNOWN {
                break;
            }
        }
    }
}

/// The number of the listening connection, once there is one.
async fn connected(listening: &mut watch::Receiver<Listening>, place: &str) -> Result<i32, PersistError> {
    let state = listening.wait_for(|state| !matches!(state, Listening::NotYet)).await;
    match state.as_deref() {
        Ok(Listening::On(listener)) => Ok(*listener),
        Ok(Listening::GivenUp(kind, why)) => Err(PersistError::new(*kind, why.clone())),
        Ok(Listening::NotYet) | Err(_) => Err(closed(place)),
    }
}

/// What the listening connection is doing.
pub(crate) enum Listening {
    /// It is not there yet, or again.
    NotYet,
    /// It is there, and the server knows it by this number.
    On(i32),
    /// It can't be had.
    GivenUp(PersistErrorKind, String),
}

/// The way to the listening connection, which is opened when somebody first waits and ends with this.
pub(crate) struct Follower {
    pub(crate) waits: Arc<Waits>,
    server: Server,
    channel: String,
    followed: String,
    state: Mutex<State>,
}

enum State {
    Idle,
    Started(watch::Receiver<Listening>, AbortOnDropHandle<()>),
    Closed,
}

impl Follower {
    pub(crate) fn new(server: Server, schema: &Schema) -> Self {
        Self {
            waits: Arc::default(),
            server,
            channel: schema.channel(),
            followed: format!("{}.followed", schema.quoted),
            state: Mutex::new(State::Idle),
        }
    }

    /// What the listening connection is doing. It is started if there is none.
    fn listening(&self, place: &str) -> Result<watch::Receiver<Listening>, PersistError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Closed => return Err(closed(place)),
            State::Started(listening, task) if !task.is_finished() => return Ok(listening.clone()),
            State::Started(..) | State::Idle => {}
        }
        let (tell, listening) = watch::channel(Listening::NotYet);
        let listener = Listener {
            server: self.server.clone(),
            channel: self.channel.clone(),
            followed: self.followed.clone(),
            waits: self.waits.clone(),
            tell,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(listener.run()));
        *state = State::Started(listening.clone(), task);
        Ok(listening)
    }

    pub(crate) fn close(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Closed;
    }
}

/// Who waits for which session, by its stored id.
#[derive(Default)]
pub(crate) struct Waits {
    sessions: Mutex<HashMap<Arc<str>, Session>>,
    /// Held by who takes sessions off the server's list, so that nobody relies on one of them meanwhile.
    pub(crate) leaving: RwLock<()>,
}

struct Session {
    told: watch::Sender<i64>,
    /// Whether somebody began to wait since idle ones were last looked for.
    fresh: bool,
}

/// One who waits.
struct Waiter {
    told: watch::Receiver<i64>,
}

impl Waits {
    fn enter(&self, session_id: &str) -> Waiter {
        let mut sessions = self.sessions();
        if let Some(session) = sessions.get_mut(session_id) {
            session.fresh = true;
            return Waiter { told: session.told.subscribe() };
        }
        let (tell, told) = watch::channel(UNKNOWN);
        sessions.insert(session_id.into(), Session { told: tell, fresh: true });
        Waiter { told }
    }

    /// Tells whoever waits for the session to which index it has come.
    pub(crate) fn tell(&self, session_id: &str, index: i64) {
        if let Some(session) = self.sessions().get(session_id) {
            session.told.send_replace(index);
        }
    }

    /// Lets everybody look again.
    pub(crate) fn tell_all(&self) {
        for session in self.sessions().values() {
            session.told.send_replace(UNKNOWN);
        }
    }

    /// Forgets the sessions for which nobody waits, and did not since this was last called.
    pub(crate) fn take_idle(&self) -> Vec<Arc<str>> {
        let mut idle = Vec::new();
        self.sessions().retain(|id, session| {
            let stays = std::mem::take(&mut session.fresh) || session.told.receiver_count() > 0;
            if !stays {
                idle.push(id.clone());
            }
            stays
        });
        idle
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Arc<str>, Session>> {
        // Nothing panics while it holds the lock.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(waits: &Waits) -> Vec<String> {
        waits.take_idle().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_session_is_idle_when_nobody_waited_since_it_was_last_asked() {
        let waits = Waits::default();
        let (first, second) = (waits.enter("s"), waits.enter("s"));
        drop(waits.enter("t"));
        assert!(idle(&waits).is_empty(), "t is fresh");
        assert_eq!(idle(&waits), ["t"]);
        drop(first);
        assert!(idle(&waits).is_empty(), "the second waits");
        drop(second);
        drop(waits.enter("s"));
        assert!(idle(&waits).is_empty(), "somebody did in between");
        assert_eq!(idle(&waits), ["s"]);
        assert!(waits.sessions().is_empty());
    }

    #[test]
    fn who_waits_is_told_of_the_own_session_and_when_all_are_to_look() {
        let waits = Waits::default();
        let (mut one, mut other) = (waits.enter("s"), waits.enter("t"));
        waits.tell("s", 7);
        waits.tell("nobody's", 9);
        assert_eq!((one.told.has_changed().ok(), other.told.has_changed().ok()), (Some(true), Some(false)));
        assert_eq!(*one.told.borrow_and_update(), 7);
        waits.tell_all();
        assert_eq!((*one.told.borrow_and_update(), *other.told.borrow_and_update()), (UNKNOWN, UNKNOWN));
    }
}
