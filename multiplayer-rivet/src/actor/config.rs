//! What the actor runtime is told of a workspace's actor.

use std::time::Duration;

use rivetkit_core::ActorConfig;

use super::settings::Settings;

/// Of the 16 MiB that the engine's sockets carry, less than what was seen to pass.
pub(super) const LARGEST_MESSAGE: u32 = 15_000_000;
/// What the runtime's own bounds are above ours, so that ours give the answer.
const ROOM: Duration = Duration::from_secs(5);

pub(super) fn of(settings: &Settings) -> ActorConfig {
    let limits = &settings.actor_limits;
    // A client waits for the hook within its connection.
    let connect = settings.limits.authorize + ROOM;
    ActorConfig {
        name: Some("workspace".to_owned()),
        has_database: true,
        remote_sqlite: true,
        has_state: true,
        on_before_connect_timeout: connect,
        on_connect_timeout: connect,
        action_timeout: limits.call + ROOM,
        sleep_timeout: limits.sleep,
        sleep_grace_period: limits.part + ROOM,
        sleep_grace_period_overridden: true,
        max_incoming_message_size: LARGEST_MESSAGE,
        max_outgoing_message_size: LARGEST_MESSAGE,
        ..ActorConfig::default()
    }
}
