//! The state of an actor: what an insert costs in a large one, and how large it becomes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use sandbox_agent_benches::record::{batch, event};
use sandbox_agent_benches::report::{Measure, median};
use sandbox_agent_persist::{Inserted, RawValue, SessionPersistDriver};
use sandbox_agent_persist_rivet_json::{RivetJsonOptions, RivetJsonSessionPersistDriver};

use crate::bench::Bench;

const COST_BAR: f64 = 1.2;
const SMALL: u64 = 100;
const LARGE: u64 = 10_000;
/// Inserts that are timed together: one takes about as long as looking at the clock.
const TOGETHER: u64 = 50;
/// Each run has states of its own.
const STATES: u32 = 10;
const SESSION: &str = "state";
/// Events that are stored in a state which holds a few hundred of them.
const STORED: u64 = 5_000;

pub(crate) async fn measures(bench: &mut Bench) -> Result<Vec<Measure>> {
    Ok(vec![cost(bench.options.runs * STATES).await?, bytes().await?])
}

async fn cost(states: u32) -> Result<Measure> {
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for _ in 0..states {
        let (of_small, of_large) = (holding(SMALL).await?, holding(LARGE).await?);
        small.push(insert(&of_small, SMALL).await?);
        large.push(insert(&of_large, LARGE).await?);
    }
    let name = format!("rivet-json, no limits: insert into {LARGE} events / into {SMALL}, us");
    Ok(Measure::at_most(name, median(large) * 1e6, median(small) * 1e6, COST_BAR))
}

/// A state in the process that has so many events.
async fn holding(events: u64) -> Result<RivetJsonSessionPersistDriver> {
    let driver = RivetJsonSessionPersistDriver::in_process(RivetJsonOptions::unlimited());
    ensure!(driver.insert_events(SESSION, batch(SESSION, 1, events)?).await? == Inserted::Stored);
    Ok(driver)
}

/// Seconds for one more event.
async fn insert(driver: &RivetJsonSessionPersistDriver, held: u64) -> Result<f64> {
    let more = batch(SESSION, held + 1, TOGETHER)?;
    let start = Instant::now();
    for event in more {
        ensure!(driver.insert_event(SESSION, event).await? == Inserted::Stored);
    }
    Ok(start.elapsed().as_secs_f64() / TOGETHER as f64)
}

/// The most bytes that the state had, as its JSON is: after each insert, and whenever another thread looked.
async fn bytes() -> Result<Measure> {
    let options = RivetJsonOptions::new();
    let limit = options.max_bytes;
    let driver = RivetJsonSessionPersistDriver::in_process(options);
    let done = AtomicBool::new(false);
    let (most, (looked, seen)) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let (mut looked, mut most) = (0_u64, 0);
            while !done.load(Ordering::Relaxed) {
                most = most.max(driver.content().json().len()).max(driver.content().bytes());
                looked += 1;
                std::thread::sleep(Duration::from_micros(50));
            }
            (looked, most)
        });
        let most = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(grow(&driver)));
        done.store(true, Ordering::Relaxed);
        Ok::<_, anyhow::Error>((
            most?,
            looking.join().map_err(|_| anyhow!("the thread that looks panicked"))?,
        ))
    })?;
    eprintln!("another thread looked {looked} times");
    let name = format!("rivet-json: most bytes of the state while {STORED} events go in / its limit");
    Ok(Measure::at_most(name, most.max(seen) as f64, limit as f64, 1.0))
}

/// Stores events of all sizes, some of them larger than the state may be.
async fn grow(driver: &RivetJsonSessionPersistDriver) -> Result<usize> {
    let mut most = 0;
    for number in 0..STORED {
        let (session, index) = (format!("session {}", number % 7), number / 7 + 1);
        let mut event = event(&session, index)?;
        let size = match number % 97 {
            0 => 200_000,
            rest => usize::try_from(rest)?.pow(2),
        };
        event.payload = RawValue::from_string(serde_json::json!({"text": "ü".repeat(size)}).to_string())?;
        ensure!(driver.insert_event(&session, event).await? == Inserted::Stored);
        most = most.max(driver.content().bytes());
        if number.is_multiple_of(10) {
            most = most.max(driver.content().json().len());
        }
    }
    Ok(most)
}
