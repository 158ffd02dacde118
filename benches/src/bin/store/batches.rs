//! Durable inserts in batches: a fast turn, as the SDK stores it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sandbox_agent_benches::record::{self, BATCH};
use sandbox_agent_benches::report::{Measure, median};
use sandbox_agent_persist::{Inserted, SessionPersistDriver};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;

use crate::bench::Bench;
use crate::by_hand::ByHand;

const BAR: f64 = 0.9;
/// Of each run. Some of them meet a checkpoint, on either side.
const BATCHES: u64 = 24;
const SESSION: &str = "batches";

pub(crate) async fn measures(bench: &mut Bench) -> Result<Vec<Measure>> {
    let file = bench.file("batches.sqlite");
    let driver = SqliteSessionPersistDriver::open(&file).await?;
    let mut by_hand = ByHand::like(&file, &bench.file("batches-by-hand.sqlite"))?;
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    // The first run warms both up.
    for run in 0..=bench.options.runs {
        let (mut driver_time, mut hand_time) = (Duration::ZERO, Duration::ZERO);
        for number in 0..BATCHES {
            let first = (u64::from(run) * BATCHES + number) * BATCH + 1;
            let batch = record::batch(SESSION, first, BATCH)?;
            let same = batch.clone();
            // In turn, so that a busy moment of the machine meets both.
            let start = Instant::now();
            ensure!(driver.insert_events(SESSION, batch).await? == Inserted::Stored);
            driver_time += start.elapsed();
            let start = Instant::now();
            by_hand = by_hand.insert_apart(same).await?;
            hand_time += start.elapsed();
        }
        let rate = |time: Duration| (BATCHES * BATCH) as f64 / time.as_secs_f64();
        if run > 0 {
            ours.push(rate(driver_time));
            baseline.push(rate(hand_time));
        }
    }
    driver.close().await?;
    let name = format!("SQLite: events a second in durable batches of {BATCH}, / by hand");
    Ok(vec![Measure::at_least(name, median(ours), median(baseline), BAR)])
}
