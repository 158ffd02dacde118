//! Writer after writer is started and killed, and the store is looked at.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::check::{Acknowledged, Wrong};
use crate::stores::{Driver, Store};
use crate::writer::{Told, Writer};

/// The store is looked at after one kill in so many: a writer may also be the first to open it then.
const LOOK: u64 = 2;
/// A writer is killed when it was told at most so often that something is stored.
const MOST: u64 = 60;
/// And at most so many microseconds after that: within its next writes.
const LATER: u64 = 3_000;

#[derive(Debug)]
pub(crate) struct Drill {
    driver: Driver,
    random: Rng,
    folder: TempDir,
    kills: u64,
    acknowledged: u64,
    wrong: Wrong,
}

impl Drill {
    pub(crate) fn new(driver: Driver, seed: u64, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            driver,
            random: Rng::with_seed(seed),
            folder: tempfile::tempdir_in(folder).context("can't make a folder for the stores")?,
            kills: 0,
            acknowledged: 0,
            wrong: Wrong::default(),
        })
    }

    pub(crate) async fn run(&mut self, kills: u64) -> Result<()> {
        while self.kills < kills && self.is_clean() {
            let store = self.driver.store(self.folder.path(), self.kills);
            self.store(&store, self.driver.kills().min(kills - self.kills)).await?;
            eprintln!("{}", self.line());
        }
        if !self.is_clean() {
            self.folder.disable_cleanup(true);
            eprintln!("the stores are kept in {}", self.folder.path().display());
        }
        Ok(())
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.wrong == Wrong::default()
    }

    pub(crate) fn line(&self) -> String {
        let Self { kills, acknowledged, wrong: Wrong { missing, torn }, .. } = self;
        let name = self.driver.name();
        format!("driver {name} kills {kills} acknowledged {acknowledged} missing {missing} torn {torn}")
    }

    /// Kills so many writers at one store.
    async fn store(&mut self, store: &Store, kills: u64) -> Result<()> {
        let (mut all, mut unseen) = (Acknowledged::default(), Acknowledged::default());
        for _ in 0..kills {
            let writer = Writer { store: store.clone(), prefix: format!("{}", self.kills) };
            let told = self.kill(&writer).await?;
            self.kills += 1;
            for told in told {
                self.acknowledged += all.add(told.clone());
                unseen.add(told);
            }
            if self.random.u64(..LOOK) == 0 {
                self.look(store, &std::mem::take(&mut unseen)).await?;
            }
        }
        self.look(store, &all).await
    }

    async fn look(&mut self, store: &Store, acknowledged: &Acknowledged) -> Result<()> {
        let driver = store.open().await?;
        let Wrong { missing, torn } = acknowledged.check(&*driver).await?;
        self.wrong.missing += missing;
        self.wrong.torn += torn;
        Ok(())
    }

    /// Starts the writer, kills it at some moment, and gives what it was told up to then.
    async fn kill(&mut self, writer: &Writer) -> Result<Vec<Told>> {
        let mut process = writer.start()?;
        let mut lines = BufReader::new(process.stdout.take().context("a writer has no stdout")?).lines();
        let mut told = Vec::new();
        let mut left = self.random.u64(..=MOST);
        while left > 0 {
            let line = lines.next_line().await?.context("a writer ended by itself")?;
            told.push(serde_json::from_str(&line)?);
            left -= 1;
        }
        tokio::time::sleep(Duration::from_micros(self.random.u64(..LATER))).await;
        ensure!(process.try_wait()?.is_none(), "a writer ended by itself");
        process.kill().await?;
        // What it said and nobody has read yet.
        while let Some(line) = lines.next_line().await? {
            // The last line may be cut off: it was not told whole.
            told.extend(serde_json::from_str::<Told>(&line));
        }
        Ok(told)
    }
}
