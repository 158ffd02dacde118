//! What an insert costs in a state of 10,000 events, beside one of 100. Run it with `--release`.

use std::time::{Duration, Instant};

use sandbox_agent_persist::{Inserted, PersistError, RawValue, Sender, SessionEvent, SessionPersistDriver};
use sandbox_agent_persist_rivet_json::{RivetJsonOptions, RivetJsonSessionPersistDriver};

const ROUNDS: usize = 200;
const INSERTS: u64 = 100;

fn event(index: u64) -> SessionEvent {
    let payload =
        r#"{"jsonrpc":"2.0","method":"session/update","params":{"update":"some words of an agent"}}"#;
    let payload = RawValue::from_string(payload.to_owned()).unwrap_or_default();
    SessionEvent::new(format!("server:{index}"), index, "default", 0, "server", Sender::Agent, payload)
}

/// How long inserts take in a state that has so many events.
async fn inserts(held: u64) -> Result<Duration, PersistError> {
    let store = RivetJsonSessionPersistDriver::in_process(RivetJsonOptions::unlimited());
    let stored = store.insert_events("default", (1..=held).map(event).collect()).await?;
    assert_eq!(stored, Inserted::Stored);
    let events: Vec<_> = (held + 1..=held + INSERTS).map(event).collect();
    let start = Instant::now();
    for event in events {
        let stored = store.insert_event("default", event).await?;
        assert_eq!(stored, Inserted::Stored);
    }
    Ok(start.elapsed())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), PersistError> {
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // Side by side, so that what else the machine does concerns both.
        times.0.push(inserts(100).await?);
        times.1.push(inserts(10_000).await?);
    }
    times.0.sort();
    times.1.sort();
    let [small, large] =
        [&times.0, &times.1].map(|times| times[ROUNDS / 2].as_nanos() as f64 / INSERTS as f64);
    println!("in 100 events: {small:.0} ns an insert; in 10,000: {large:.0} ns; ratio {:.2}", large / small);
    Ok(())
}
