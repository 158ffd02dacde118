//! What it costs that many look on, in one process.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use sandbox_agent_benches::report::{self, Measure, Options, median};

use crate::room::{Crowd, Room};

mod room;

/// So many look on, and so many of them are stuck.
const LOOKERS: usize = 1_000;
const STUCK: usize = 100;
/// The updates of a turn, and how fast the agent writes them: slow enough that the server passes all on.
const TURN: &str = "stream 2000 rate=1000";
const DELIVERIES: f64 = 2_000.0 * LOOKERS as f64;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let room = Room::open(&options).await?;
    let (mut ours, mut broadcast) = (Vec::new(), Vec::new());
    let (mut with_stuck, mut with_none) = (Vec::new(), Vec::new());
    // The first run warms all up.
    for run in 0..=options.runs {
        // In turn, so that a busy moment of the machine meets all.
        let alone = room.turn(TURN, Crowd::default()).await?;
        let each = room.turn(TURN, Crowd { readers: LOOKERS, ..Crowd::default() }).await?;
        let by_hand = room.turn(TURN, Crowd { broadcast: LOOKERS, ..Crowd::default() }).await?;
        let some = Crowd { readers: LOOKERS - STUCK, stuck: STUCK, broadcast: 0 };
        let stuck = room.turn(TURN, some).await?;
        if run == 0 {
            continue;
        }
        ours.push((each.cpu - alone.cpu) * 1e9 / DELIVERIES);
        broadcast.push((by_hand.cpu - alone.cpu) * 1e9 / DELIVERIES);
        with_stuck.push(stuck.seconds);
        with_none.push(each.seconds);
        eprintln!(
            "run {run}: {:?} ns a delivery, {:?} by broadcast; {:?} s with stuck ones, {:?} without",
            ours.last(),
            broadcast.last(),
            with_stuck.last(),
            with_none.last()
        );
    }
    let measures = [
        Measure::at_most(
            format!("CPU ns a delivery to {LOOKERS} subscribers, / tokio's broadcast of the same frames"),
            median(ours),
            median(broadcast),
            1.5,
        ),
        Measure::at_most(
            format!("seconds until all who read have a turn, {STUCK} of {LOOKERS} stuck / none stuck"),
            median(with_stuck),
            median(with_none),
            1.1,
        ),
    ];
    room.close().await?;
    Ok(report::print(&measures, options.json))
}
