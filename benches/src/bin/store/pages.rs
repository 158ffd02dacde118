//! A page at the far end of a long session, beside the first one.

use std::time::Instant;

use anyhow::{Result, ensure};
use sandbox_agent_benches::report::{Measure, median};
use sandbox_agent_persist::{ListEventsRequest, SessionPersistDriver};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;

use crate::bench::{Bench, LONG};

const BAR: f64 = 1.2;
const PAGE: u64 = 100;
/// Pages are quick: the median is of so many.
const READS: usize = 201;

pub(crate) async fn measures(bench: &mut Bench) -> Result<Vec<Measure>> {
    let driver = SqliteSessionPersistDriver::open(bench.long_file().await?).await?;
    let measure = measure("SQLite", &driver, bench.options.events).await?;
    driver.close().await?;
    Ok(vec![measure])
}

async fn measure(store: &str, driver: &dyn SessionPersistDriver, events: u64) -> Result<Measure> {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for _ in 0..READS {
        // In turn, so that a busy moment of the machine meets both.
        first.push(read(driver, 0).await?);
        last.push(read(driver, events - PAGE).await?);
    }
    let name = format!("{store}: page of {PAGE} at event {events} / first page, ms");
    Ok(Measure::at_most(name, median(last) * 1e3, median(first) * 1e3, BAR))
}

/// Seconds for the page after this index.
async fn read(driver: &dyn SessionPersistDriver, after: u64) -> Result<f64> {
    let start = Instant::now();
    let request = ListEventsRequest::new(LONG).after_index(after).limit(usize::try_from(PAGE)?);
    let page = driver.list_events(request).await?;
    let seconds = start.elapsed().as_secs_f64();
    let indexes: Vec<_> = page.items.iter().map(|event| event.event_index).collect();
    ensure!(indexes == (after + 1..=after + PAGE).collect::<Vec<_>>(), "a page is wrong: {indexes:?}");
    Ok(seconds)
}
