//! What memory a process takes that stores a million events, beyond what it began with.

use std::time::Instant;

use anyhow::{Context, Result};
use sandbox_agent_benches::report::Measure;

use crate::bench::Bench;
use crate::child::Filled;
use crate::place::Place;

const BAR: f64 = 32.0;
const MIB: f64 = 1024.0 * 1024.0;

pub(crate) async fn measures(bench: &mut Bench) -> Result<Vec<Measure>> {
    let events = bench.options.events;
    let mut places = bench.long_stores().to_vec();
    places.push(Place::State(bench.file("long.json")));
    let mut measures = Vec::new();
    for place in places {
        let Filled { peak, seconds } = bench.filled(&place).await?;
        eprintln!("{}: {events} events in {seconds:.1} s", place.name());
        let name = format!("{}: peak memory of a process that inserts {events} events, MiB", place.name());
        measures.push(Measure::limited(name, peak as f64 / MIB, BAR));
    }
    Ok(measures)
}

/// Runs the work, and says what memory it took at most.
pub(crate) async fn measured(work: impl Future<Output = Result<()>>) -> Result<Filled> {
    let start = status("VmRSS")?;
    let began = Instant::now();
    work.await?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Filled { peak: status("VmHWM")?.saturating_sub(start), seconds })
}

/// A figure of this process in bytes, as the kernel keeps it.
fn status(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("memory is measured on Linux alone")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("/proc/self/status has no {name}"))? * 1024)
}
