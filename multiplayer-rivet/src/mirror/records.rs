//! The records in the actor's state.

use std::time::Duration;

use rivetkit_core::{ActorContext, StateDelta};
use sandbox_agent_persist::{
    ListSessionsRequest, PersistError, SessionFilter, SessionPersistDriver, SessionRecord,
};
use sandbox_agent_persist_rivet_actor::RivetActorState;
use sandbox_agent_persist_rivet_json::RivetJsonSessionPersistDriver;
use tokio::time::timeout;

/// How long the last save of an actor that stops may take; the database has it all.
const LAST_SAVE: Duration = Duration::from_secs(2);
/// The most records that are compared when an actor starts: as many as the state holds.
const MOST: usize = 1024;

/// Records of sessions in an actor's state, under `_sandboxAgentPersist`, where TypeScript programs and the
/// engine's inspector look for them. They have no events there, and the oldest go when there is no room.
///
/// A copy: what can't be kept here is told to the log, and lost nowhere. It has at most 96 KiB, of the 128 KiB
/// above which the engine saves nothing. Clones are handles of the same.
#[derive(Clone, Debug)]
pub struct RecordMirror {
    state: RivetActorState,
    records: RivetJsonSessionPersistDriver,
}

impl RecordMirror {
    /// The mirror of an actor that is starting, with the snapshot that it is given; `None`, and a warning in
    /// the log, where the state has something else there that can't be read. That stays as it is.
    pub async fn open(actor: &ActorContext, snapshot: Option<&[u8]>) -> Option<Self> {
        let open = async {
            let state = RivetActorState::new(actor.clone(), snapshot)?;
            let records = RivetJsonSessionPersistDriver::open(state.clone()).await?;
            Ok::<_, PersistError>(Self { state, records })
        };
        match open.await {
            Ok(mirror) => Some(mirror),
            Err(error) => {
                tracing::warn!(actor = %actor.actor_id(), %error, "an actor's state has no copy of the sessions' records");
                None
            }
        }
    }

    /// The answer to `SerializeState`.
    pub fn deltas(&self) -> Vec<StateDelta> {
        self.state.deltas()
    }

    /// Saves what is not saved yet, before the actor stops. Bounded by 2 s.
    pub async fn flush(&self) {
        match timeout(LAST_SAVE, self.state.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn(&error, "the last of it"),
            Err(_) => tracing::warn!("the copy of the sessions' records was not saved in time"),
        }
    }

    pub(super) async fn keep(&self, record: SessionRecord) {
        let id = record.id.clone();
        if let Err(error) = self.records.update_session(record).await {
            warn(&error, &id);
        }
    }

    pub(super) async fn forget(&self, id: &str) {
        if let Err(error) = self.records.delete_session(id).await {
            warn(&error, id);
        }
    }

    /// Makes the copy right again: a crash may have taken the last second of it.
    pub(super) async fn repair(&self, store: &dyn SessionPersistDriver) -> Result<(), PersistError> {
        let all = ListSessionsRequest::new().filter(SessionFilter::default()).limit(MOST);
        let copies = self.records.list_sessions(all.clone()).await?.items;
        let stored = store.list_sessions(all).await?;
        for copy in &copies {
            let record = stored.items.iter().find(|record| record.id == copy.id);
            // One that is further behind is asked for by its id.
            let gone = record.is_none()
                && match stored.next_cursor {
                    Some(_) => store.get_session(&copy.id).await?.is_none(),
                    None => true,
                };
            match record {
                Some(record) if record != copy => self.keep(record.clone()).await,
                _ if gone => self.forget(&copy.id).await,
                _ => {}
            }
        }
        Ok(())
    }
}

fn warn(error: &PersistError, what: &str) {
    tracing::warn!(session = %what, %error, "an actor's state has no copy of a session's record; its database has it");
}
