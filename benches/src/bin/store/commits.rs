//! One event at a time of many sessions at once: how many share a commit, and what that gains.

use std::time::Instant;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use sandbox_agent_benches::record::event;
use sandbox_agent_benches::report::{Measure, median};
use sandbox_agent_persist::{Inserted, SessionPersistDriver};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use tokio::task::block_in_place;

use crate::bench::Bench;
use crate::by_hand::ByHand;
use crate::wal::Held;

const SESSIONS: u64 = 64;
const EACH: u64 = 50;
/// Events that are stored by hand, with a commit each.
const ALONE: u64 = 200;
const COMMITS_BAR: f64 = 1.0 / 16.0;
const GAIN_BAR: f64 = 8.0;
/// Sharing a commit gains the less the less a commit costs.
const COSTLY: f64 = 0.5e-3;

pub(crate) async fn measures(bench: &mut Bench) -> Result<Vec<Measure>> {
    let file = bench.file("commits.sqlite");
    let driver = SqliteSessionPersistDriver::open(&file).await?;
    let mut by_hand = ByHand::like(&file, &bench.file("commits-by-hand.sqlite"))?;
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    // The first run warms both up.
    for run in 0..=bench.options.runs {
        let start = Instant::now();
        at_once(&driver, run.into()).await?;
        let together = (SESSIONS * EACH) as f64 / start.elapsed().as_secs_f64();
        let start = Instant::now();
        block_in_place(|| one_by_one(&mut by_hand, run.into()))?;
        let alone = ALONE as f64 / start.elapsed().as_secs_f64();
        if run > 0 {
            ours.push(together);
            baseline.push(alone);
        }
    }
    // Apart from what is timed: holding the WAL is not free.
    let held = Held::hold(&file)?;
    let before = held.commits()?;
    at_once(&driver, u64::from(bench.options.runs) + 1).await?;
    let commits = held.commits()? - before;
    drop(held);
    driver.close().await?;

    let name = format!("SQLite: commits / events, one at a time from {SESSIONS} sessions at once");
    let shared = Measure::at_most(name, commits as f64, (SESSIONS * EACH) as f64, COMMITS_BAR);
    let cost = 1.0 / median(baseline.clone());
    let name = format!("SQLite: the same, events a second, / a commit of {:.2} ms each", cost * 1e3);
    let gain = Measure::at_least(name, median(ours), median(baseline), GAIN_BAR);
    let ok = gain.ok || cost <= COSTLY;
    Ok(vec![shared, Measure { ok, ..gain }])
}

/// The events of this run, each of which is on the disk before its session's next one is inserted.
async fn at_once(driver: &SqliteSessionPersistDriver, run: u64) -> Result<()> {
    let sessions = (0..SESSIONS).map(async |number| {
        let session = format!("session {number}");
        for index in run * EACH + 1..=(run + 1) * EACH {
            let event = event(&session, index)?;
            ensure!(driver.insert_event(&session, event).await? == Inserted::Stored);
        }
        Ok(())
    });
    try_join_all(sessions).await.map(drop)
}

fn one_by_one(by_hand: &mut ByHand, run: u64) -> Result<()> {
    for index in run * ALONE + 1..=(run + 1) * ALONE {
        by_hand.insert(&[event("alone", index)?])?;
    }
    Ok(())
}
