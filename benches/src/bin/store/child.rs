//! What the bench has a process of its own for: this program, started again.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use sandbox_agent_benches::record;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{self, ChildStdin, ChildStdout, Command};

use crate::memory;
use crate::place::Place;
use crate::writers;

/// Tells the started program what to do.
const VARIABLE: &str = "STORE_BENCH_CHILD";

/// What a started program does. It prints one line of JSON for each thing that it has to say.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Child {
    /// Fills a store.
    Fill { place: Place, agent: String, session: String, events: u64 },
    /// Records a session that another process records too.
    Record(writers::Recording),
}

/// What came of filling a store.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Filled {
    /// The most memory that it had, above what it began with, in bytes.
    pub(crate) peak: u64,
    pub(crate) seconds: f64,
}

impl Child {
    /// What this process was started for; `None` when it is the bench itself.
    pub(crate) fn of_this_process() -> Result<Option<Self>> {
        let told = std::env::var(VARIABLE).ok();
        told.map(|told| serde_json::from_str(&told))
            .transpose()
            .context("the bench started a program wrongly")
    }

    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Fill { place, agent, session, events } => {
                let filled = memory::measured(async {
                    let store = place.open().await?;
                    record::make(&*store.driver, &agent, &session, events, |_| ()).await?;
                    store.close().await
                });
                say(&filled.await?)
            }
            Self::Record(recording) => recording.run().await,
        }
    }

    pub(crate) fn start(&self) -> Result<Started> {
        let mut process = Command::new(std::env::current_exe()?)
            .env(VARIABLE, serde_json::to_string(self)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("can't start this program again")?;
        let stdin = process.stdin.take().context("a child has no stdin")?;
        let stdout = process.stdout.take().context("a child has no stdout")?;
        Ok(Started { process, stdin, lines: BufReader::new(stdout).lines() })
    }
}

/// A started program, killed on drop.
#[derive(Debug)]
pub(crate) struct Started {
    process: process::Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Started {
    /// Lets it go on to its next step.
    pub(crate) async fn go(&mut self) -> Result<()> {
        Ok(self.stdin.write_all(b"\n").await?)
    }

    /// The next thing that it says.
    pub(crate) async fn said<T: DeserializeOwned>(&mut self) -> Result<T> {
        let Some(line) = self.lines.next_line().await? else {
            bail!("a started program ended: {}", self.process.wait().await?);
        };
        serde_json::from_str(&line).with_context(|| format!("a started program said {line:?}"))
    }

    /// What it says last.
    pub(crate) async fn wait<T: DeserializeOwned>(mut self) -> Result<T> {
        let said = self.said().await?;
        let status = self.process.wait().await?;
        if !status.success() {
            bail!("a started program failed: {status}");
        }
        Ok(said)
    }
}

/// Tells the bench.
pub(crate) fn say(what: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(what)?);
    Ok(())
}
