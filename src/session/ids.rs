//! The ids of events: unique in the store, and the same however often an event comes.

use std::ops::RangeInclusive;

use sandbox_agent_persist::SessionEvent;
use uuid::Uuid;

const GAP: &str = "gap:";
const REPLAYED: &str = "replayed:";
const FOLDED: &str = "folded:";

/// What the server gave under this SSE id.
pub(super) fn inbound(server_id: &str, sse_id: u64) -> String {
    format!("{server_id}:{sse_id}")
}

/// Events of the process that were lost.
pub(super) fn gap(server_id: &str, from: u64, to: u64) -> String {
    format!("{server_id}:{GAP}{from}-{to}")
}

/// Events of the process that the record had before.
pub(super) fn replayed(server_id: &str, from: u64, to: u64) -> String {
    format!("{server_id}:{REPLAYED}{from}-{to}")
}

/// Events of the process that became one.
pub(super) fn folded(server_id: &str, from: u64, to: u64) -> String {
    format!("{server_id}:{FOLDED}{from}-{to}")
}

/// The end of the process: there is one, whoever sees it.
pub(super) fn ended(server_id: &str) -> String {
    format!("{server_id}:ended")
}

/// An answer that only the POST brought.
pub(super) fn post(server_id: &str, rpc_id: &str) -> String {
    format!("{server_id}:post:{rpc_id}")
}

/// Our answer to a request of the agent's: there is one, whoever gives it.
pub(super) fn reply(server_id: &str, rpc_id: &str, attempt: u32) -> String {
    format!("{server_id}:r{attempt}:{rpc_id}")
}

/// Something of ours.
pub(super) fn outbound(server_id: &str) -> String {
    format!("{server_id}:c:{}", Uuid::new_v4())
}

/// A prompt with an idempotency key. The length keeps session and key apart, whatever is in them.
/// A prompt that was stored and not sent leaves its key to the next attempt.
pub(super) fn keyed(session_id: &str, key: &str, attempt: u32) -> String {
    format!("prompt{attempt}:{}:{session_id}:{key}", session_id.len())
}

/// The SSE ids of its process that an event stands for; `None` for one that has no place in their order.
pub(super) fn span(event: &SessionEvent) -> Option<RangeInclusive<u64>> {
    let rest = event.id.strip_prefix(event.connection_id.as_str())?.strip_prefix(':')?;
    let range = [GAP, REPLAYED, FOLDED].iter().find_map(|kind| rest.strip_prefix(kind));
    let Some(range) = range else {
        let id = rest.parse().ok()?;
        return Some(id..=id);
    };
    let (from, to) = range.split_once('-')?;
    Some(from.parse().ok()?..=to.parse().ok()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sandbox_agent_persist::{RawValue, Sender};

    use super::*;

    fn span_of(id: String) -> Option<RangeInclusive<u64>> {
        let payload = RawValue::from_string("{}".into()).unwrap();
        span(&SessionEvent::new(id, 1, "one", 0, "server", Sender::Agent, payload))
    }

    #[test]
    fn what_has_a_place_among_the_events_of_its_process() {
        assert_eq!(span_of(inbound("server", 7)), Some(7..=7));
        assert_eq!(span_of(gap("server", 3, 9)), Some(3..=9));
        assert_eq!(span_of(replayed("server", 3, 3)), Some(3..=3));
        assert_eq!(span_of(folded("server", 3, 8)), Some(3..=8));
        for none in [ended("server"), post("server", "1"), outbound("server"), inbound("other", 1)] {
            assert_eq!(span_of(none.clone()), None, "{none}");
        }
        assert_eq!(span_of("server:gap:x-1".into()), None);
    }
}
