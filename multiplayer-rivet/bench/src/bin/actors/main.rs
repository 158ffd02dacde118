//! What it costs that people look on over the actor engine: ten clients, six of them ours and four of npm's
//! `rivetkit`, watch a turn of 20,000 updates that the agent writes at 5,000 a second.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use sandbox_agent_engine_harness::Engine;
use sandbox_agent_multiplayer_rivet_bench::report::{self, Measure, Options, median};

mod crowd;
mod follower;
mod host;
mod line;
mod npm;
mod rough;
mod turn;

use host::Host;
use turn::Room;

/// The argument by which this program is the host of the workspaces, which is measured apart.
const HOST: &str = "host";
const UPDATES: usize = 20_000;
const TURN: &str = "stream 20000 rate=5000";
/// Clients of ours, and of npm's package.
const OURS: usize = 6;
const NPM: usize = 4;
const CLIENTS: usize = OURS + NPM;
/// A turn with all clients, against one with none.
const SLOWER: f64 = 1.5;
const LAG_MS: f64 = 1_000.0;
/// What the host's memory may grow by while ten clients watch: the SDK's queue of a session has 64 MiB at
/// most, the newest frames in memory 16 MiB, and as much again is on its way through the engine's client.
const GROWTH_MIB: f64 = 96.0;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    if std::env::args().nth(1).as_deref() == Some(HOST) {
        return host::run().await;
    }
    let options = Options::parse();
    let engine = Engine::start().await;
    let host = Host::start(&engine.url(), &options)?;
    let room = Room::open(&engine.url()).await?;
    let measured = measure(&room, &host, options.runs).await;
    // Before the engine, which it saves to.
    host.stop().await?;
    let measures = measured?;
    Ok(report::print(&measures, options.json))
}

async fn measure(room: &Room, host: &Host, runs: u32) -> Result<Vec<Measure>> {
    let (mut with_all, mut with_none, mut lags, mut whole) = (vec![], vec![], vec![], vec![]);
    let before = host.memory_from_here()?;
    // The first run warms all up.
    for run in 0..=runs {
        let alone = room.unwatched(TURN).await?;
        let watched = room.watched(TURN).await?;
        if run == 0 {
            continue;
        }
        let lag = watched.lag_p99().context("nothing arrived")?;
        let updates = watched.updates_in_order();
        eprintln!(
            "run {run}: {:.3} s with {CLIENTS} clients, {alone:.3} s with none; lag {lag:.0} ms; {updates} updates",
            watched.seconds
        );
        if lag > LAG_MS {
            watched.tell_lags();
        }
        with_all.push(watched.seconds);
        with_none.push(alone);
        lags.push(lag);
        whole.push(updates);
    }
    let rough = room.rough(TURN).await?;
    let growth = host.peak_memory()? - before;
    let wanted = (CLIENTS * UPDATES) as f64;
    let worst = |values: Vec<f64>| values.into_iter().fold(0.0, f64::max);
    let fewest = whole.into_iter().min().unwrap_or(0) as f64;
    Ok(vec![
        Measure::exactly(
            format!("updates that {CLIENTS} clients got in order, of the worst run"),
            fewest,
            wanted,
        ),
        Measure::at_most(
            format!("seconds of a turn until all of {CLIENTS} clients have it, / with no client"),
            median(with_all),
            median(with_none),
            SLOWER,
        ),
        Measure::limited("lag of a frame to a client in ms, p99, of the worst run", worst(lags), LAG_MS),
        Measure::limited(
            "growth of the host's memory in MiB, at its peak over all turns",
            growth,
            GROWTH_MIB,
        ),
        rough.same("clients that joined in the middle: frames as the store has them", |who| who.joined),
        rough.same("clients that were cut three times: frames as the store has them", |who| who.cut),
        Measure::exactly("connections that were cut, of two clients", rough.cuts as f64, 6.0),
    ])
}
