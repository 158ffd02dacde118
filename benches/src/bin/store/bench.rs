//! What every measure is given.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use sandbox_agent_benches::peer::Peer;
use tempfile::TempDir;

use crate::Part;
use crate::child::{Child, Filled};
use crate::place::Place;

/// The session that is long.
pub(crate) const LONG: &str = "long";

/// What the bench can be told.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Where the server is
    #[arg(long, env = "SANDBOX_AGENT_URL")]
    pub(crate) url: String,
    /// Where another server is, for another process
    #[arg(long, env = "SANDBOX_AGENT_SECOND_URL")]
    pub(crate) second_url: String,
    /// The agent to run there; it has to be the scripted one
    #[arg(long, env = "SANDBOX_AGENT_AGENT", default_value = "mock")]
    pub(crate) agent: String,
    /// The folder with the TypeScript SDK and its program
    #[arg(long, env = "TYPESCRIPT_PEER")]
    peer: PathBuf,
    /// Where a PostgreSQL server is, in which schemas can be made
    #[arg(long, env = "SANDBOX_AGENT_POSTGRES_URL")]
    pub(crate) postgres: String,
    /// Where the stores are made, and removed in the end: on a disk, for what is measured is durable
    #[arg(long, env = "BENCH_FOLDER")]
    folder: PathBuf,
    /// Measure this alone; may be given more than once
    #[arg(long)]
    only: Vec<Part>,
    /// How long a long session is
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) events: u64,
    /// How many events each of two processes records
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub(crate) each: u64,
    /// How long a session is that the TypeScript SDK resumes; its time grows with the square of that
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) peer_events: u64,
    /// How many runs the median is taken of
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Print one JSON object a line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// The servers, the TypeScript SDK, and a folder for the stores.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) peer: Peer,
    folder: TempDir,
    /// Tells the schemas of this run from those of others.
    run: u32,
    filled: HashMap<&'static str, Filled>,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Result<Self> {
        std::fs::create_dir_all(&options.folder)?;
        let folder = tempfile::tempdir_in(&options.folder).context("can't make a folder for the stores")?;
        Ok(Self {
            peer: Peer::new(&options.peer),
            options,
            folder,
            run: std::process::id(),
            filled: HashMap::new(),
        })
    }

    pub(crate) fn wants(&self, part: Part) -> bool {
        self.options.only.is_empty() || self.options.only.contains(&part)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A schema of the PostgreSQL server that nothing else uses.
    pub(crate) fn schema(&self, name: &str) -> Place {
        Place::Postgres { url: self.options.postgres.clone(), schema: format!("{name}_{}", self.run) }
    }

    /// Where SQLite has the long session, once it was [filled](Self::filled).
    pub(crate) fn long_file(&self) -> PathBuf {
        self.file("long.sqlite")
    }

    /// The stores that have the long session, once they were filled.
    pub(crate) fn long_stores(&self) -> [Place; 2] {
        [Place::Sqlite(self.long_file()), self.schema("long")]
    }

    /// Lets a process of its own store the long session there, unless one did.
    pub(crate) async fn filled(&mut self, place: &Place) -> Result<Filled> {
        if let Some(filled) = self.filled.get(place.name()) {
            return Ok(*filled);
        }
        let (place_there, agent, events) = (place.clone(), self.options.agent.clone(), self.options.events);
        let fill = Child::Fill { place: place_there, agent, session: LONG.to_owned(), events };
        let filled = fill.start()?.wait().await?;
        self.filled.insert(place.name(), filled);
        Ok(filled)
    }
}
