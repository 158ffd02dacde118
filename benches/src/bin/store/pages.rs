//! A page at the far end of a long session, beside the first one.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use sandbox_agent_benches::record;
use sandbox_agent_benches::report::{Measure, median};
use sandbox_agent_persist::{Inserted, ListEventsRequest, SessionPersistDriver};
use sandbox_agent_persist_rivet_json::{FileState, RivetJsonOptions, RivetJsonSessionPersistDriver};

use crate::bench::{Bench, LONG};

const BAR: f64 = 1.2;
const PAGE: u64 = 100;
/// Pages are quick: the median is of so many.
const READS: usize = 201;

pub(crate) async fn measures(bench: &mut Bench) -> Result<Vec<Measure>> {
    let events = bench.options.events;
    let mut measures = Vec::new();
    for place in bench.long_stores() {
        bench.filled(&place).await?;
        let store = place.open().await?;
        measures.push(measure(place.name(), &*store.driver, events).await?);
        store.close().await?;
    }
    let driver = unlimited(&bench.file("unlimited.json"), events).await?;
    measures.push(measure("rivet-json, no limits", &driver, events).await?);
    Ok(measures)
}

/// A state in a file that has all of the long session: stored at once, for each save writes all of it.
async fn unlimited(file: &Path, events: u64) -> Result<RivetJsonSessionPersistDriver> {
    let state = FileState::new(file)?;
    let driver =
        RivetJsonSessionPersistDriver::open_with_options(state, RivetJsonOptions::unlimited()).await?;
    let all = record::batch(LONG, 1, events)?;
    ensure!(driver.insert_events(LONG, all).await? == Inserted::Stored);
    Ok(driver)
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
