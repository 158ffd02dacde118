//! All who watch a turn.

use anyhow::{Result, bail};

use crate::follower::Follower;
use crate::line::Seen;
use crate::npm::Npm;
use crate::{CLIENTS, NPM, OURS};

pub(crate) struct Crowd {
    pub(crate) ours: Vec<Follower>,
    npm: Npm,
}

impl Crowd {
    /// All of them, connected.
    pub(crate) async fn gather(engine: &str, prompt: &str) -> Result<Self> {
        let names: Vec<_> = (1..=NPM).map(|n| format!("npm-{n}")).collect();
        let npm = Npm::start(engine, &names, prompt, None).await?;
        let mut ours = Vec::new();
        for n in 1..=OURS {
            ours.push(Follower::start(engine, format!("ours-{n}"), prompt, None).await?);
        }
        Ok(Self { ours, npm })
    }

    /// What each was told, once all have the whole turn.
    pub(crate) async fn seen(self) -> Result<Vec<Seen>> {
        let mut all = self.npm.seen().await?;
        for follower in self.ours {
            all.push(follower.seen().await?);
        }
        if all.len() != CLIENTS {
            bail!("{} of {CLIENTS} clients came to the end", all.len());
        }
        Ok(all)
    }
}
