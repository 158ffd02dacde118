//! What a workspace needs of the actor that it runs in.

use rivetkit_core::{ActorContext, ActorKeySegment, KeepAwakeRegion, format_actor_key};
use serde_json::Value;

use super::settings::WorkspaceKey;

/// The event that frames are told by.
pub(super) const FRAMES: &str = "frames";

/// The actor, a cheap clone.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    pub(super) actor: ActorContext,
}

impl Engine {
    pub(super) fn key(&self, input: Value) -> WorkspaceKey {
        let key = self.actor.key();
        let segment = |segment: &ActorKeySegment| match segment {
            ActorKeySegment::String(text) => text.clone(),
            ActorKeySegment::Number(number) => number.to_string(),
        };
        WorkspaceKey { segments: key.iter().map(segment).collect(), id: format_actor_key(key), input }
    }

    /// The actor does not sleep as long as this is there.
    pub(super) fn stay_awake(&self) -> KeepAwakeRegion {
        self.actor.keep_awake_region()
    }

    /// Asks the engine to put it to sleep, from which the next call wakes it, wherever that is.
    pub(super) fn sleep(&self) {
        if let Err(error) = self.actor.sleep() {
            tracing::debug!(actor = %self.actor.actor_id(), %error, "the actor is on its way to sleep already");
        }
    }

    /// Sends these arguments to all who look on.
    pub(super) fn tell(&self, args: &[u8]) {
        self.actor.broadcast(FRAMES, args);
    }

    pub(super) fn connections(&self) -> Vec<String> {
        self.actor.conns().map(|connection| connection.id().to_owned()).collect()
    }
}
