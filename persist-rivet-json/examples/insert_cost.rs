//! What an insert costs in a state of 10,000 events, beside one of 100. Run it with `--release`.

use std::time::Instant;

use sandbox_agent_persist::{Inserted, PersistError, RawValue, Sender, SessionEvent, SessionPersistDriver};
use sandbox_agent_persist_rivet_json::{RivetJsonOptions, RivetJsonSessionPersistDriver};

const ROUNDS: usize = 200;
const INSERTS: u64 = 50;

fn event(index: u64) -> SessionEvent {
    let payload =
        r#"{"jsonrpc":"2.0","method":"session/update","params":{"update":"some words of an agent"}}"#;
    let payload = RawValue::from_string(payload.to_owned()).unwrap_or_default();
    SessionEvent::new(format!("server:{index}"), index, "default", 0, "server", Sender::Agent, payload)
}

/// A state that has so many events.
async fn holding(events: u64) -> Result<RivetJsonSessionPersistDriver, PersistError> {
    let store = RivetJsonSessionPersistDriver::in_process(RivetJsonOptions::unlimited());
    let stored = store.insert_events("default", (1..=events).map(event).collect()).await?;
    assert_eq!(stored, Inserted::Stored);
    Ok(store)
}

/// How long an insert takes, in nanoseconds.
async fn insert(store: &RivetJsonSessionPersistDriver, held: u64) -> Result<u64, PersistError> {
    let events: Vec<_> = (held + 1..=held + INSERTS).map(event).collect();
    let start = Instant::now();
    for event in events {
        let stored = store.insert_event("default", event).await?;
        assert_eq!(stored, Inserted::Stored);
    }
    Ok(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX) / INSERTS)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), PersistError> {
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (of_small, of_large) = (holding(100).await?, holding(10_000).await?);
        small.push(insert(&of_small, 100).await?);
        large.push(insert(&of_large, 10_000).await?);
    }
    small.sort_unstable();
    large.sort_unstable();
    let (small, large) = (small[ROUNDS / 2], large[ROUNDS / 2]);
    println!(
        "in 100 events: {small} ns an insert; in 10,000: {large} ns; ratio {:.2}",
        large as f64 / small as f64
    );
    Ok(())
}
