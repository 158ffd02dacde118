//! What the store in an actor's database costs, on a real engine at `RIVET_ENGINE_BIN`: inserts of one and of
//! many events, and pages at both ends of a session of 100,000. Run it with `--release`.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use sandbox_agent_engine_harness::{IdleActors, with_idle_actors};
use sandbox_agent_multiplayer_rivet::RivetSqlSessionPersistDriver as Store;
use sandbox_agent_persist::{
    Inserted, ListEventsRequest, RawValue, Sender, SessionEvent, SessionPersistDriver,
};

const EVENTS: u64 = 100_000;
const ROUNDS: usize = 31;

fn event(index: u64) -> SessionEvent {
    let text = "some words of an agent ".repeat(9);
    let payload = format!(r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"update":"{text}"}}}}"#);
    let payload = RawValue::from_string(payload).unwrap();
    SessionEvent::new(format!("server:{index}"), index, "s", 0, "server", Sender::Agent, payload)
}

async fn insert(store: &Store, from: u64, count: u64) -> Duration {
    let events: Vec<_> = (from..from + count).map(event).collect();
    let start = Instant::now();
    assert_eq!(store.insert_events("s", events).await.unwrap(), Inserted::Stored);
    start.elapsed()
}

async fn page(store: &Store, after: u64, limit: usize) -> Duration {
    let start = Instant::now();
    let request = ListEventsRequest::new("s").after_index(after).limit(limit);
    assert_eq!(store.list_events(request).await.unwrap().items.len(), limit);
    start.elapsed()
}

/// The middle one of many, and the longest, in milliseconds.
fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!("{what}: {:.1} ms (at most {:.1})", ms(times[times.len() / 2]), ms(times[times.len() - 1]));
}

async fn measure(actors: IdleActors) {
    let store = Store::open(&actors.awake("one").await).await.unwrap();
    let mut next = 1;
    for (what, count) in [("insert of 1", 1), ("insert of 100", 100), ("insert of 1,000", 1_000)] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(insert(&store, next, count).await);
            next += count;
        }
        tell(what, times);
    }
    let (start, from) = (Instant::now(), next);
    while next <= EVENTS {
        let count = 1_000.min(EVENTS + 1 - next);
        insert(&store, next, count).await;
        next += count;
    }
    println!(
        "events a second, in batches of 1,000: {:.0}",
        (next - from) as f64 / start.elapsed().as_secs_f64()
    );
    for limit in [100, 1_000] {
        for (what, after) in [("the start", 0), ("event 50,000", 50_000), ("event 99,000", 99_000)] {
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                times.push(page(&store, after, limit).await);
            }
            tell(&format!("page of {limit} at {what}"), times);
        }
    }
}

#[tokio::main]
async fn main() {
    with_idle_actors(Duration::from_secs(300), measure).await;
}
