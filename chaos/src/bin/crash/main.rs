//! Kills programs while they write to a durable store, and proves that nothing they were told is
//! stored went missing.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::drill::Drill;
use crate::stores::Driver;
use crate::writer::Writer;

mod check;
mod drill;
mod record;
mod stores;
mod writer;

/// What can be told.
#[derive(Debug, Parser)]
struct Options {
    /// How many programs are killed, for each driver
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    kills: u64,
    /// Try this driver alone; may be given more than once
    #[arg(long, value_name = "DRIVER")]
    only: Vec<Driver>,
    /// What the moments of the kills are drawn with; the clock unless told
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Where the stores are made: on a disk. What is wrong with one is kept there
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
}

fn main() -> Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new()?;
    if let Some(writer) = Writer::of_this_process()? {
        runtime.block_on(writer.run())?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}");
    let drivers = if options.only.is_empty() { Driver::all() } else { options.only };
    let mut clean = true;
    for driver in drivers {
        let mut drill = Drill::new(driver, seed, &options.folder)?;
        runtime.block_on(drill.run(options.kills))?;
        println!("{}", drill.line());
        clean &= drill.is_clean();
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
