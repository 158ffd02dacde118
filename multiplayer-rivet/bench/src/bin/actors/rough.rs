//! A turn with ten clients, and four in trouble: two that come in the middle, two that are cut three times.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use sandbox_agent_multiplayer::NewPrompt;
use sandbox_agent_multiplayer_rivet_bench::report::Measure;
use sandbox_agent_testkit::proxy::Proxy;

use crate::UPDATES;
use crate::crowd::Crowd;
use crate::follower::Follower;
use crate::line::Seen;
use crate::npm::Npm;
use crate::turn::{Place, Room};

/// What came of it.
pub(crate) struct Rough {
    place: Place,
    clients: Vec<InTrouble>,
    /// How many connections were cut, and replaced.
    pub(crate) cuts: u64,
}

pub(crate) struct InTrouble {
    pub(crate) joined: bool,
    pub(crate) cut: bool,
    seen: Seen,
}

impl Room {
    pub(crate) async fn rough(&self, text: &str) -> Result<Rough> {
        let prompt = NewPrompt::new(text);
        let id = prompt.prompt_id.clone();
        let engine: SocketAddr = self.engine.trim_start_matches("http://").parse()?;
        let proxies = [Proxy::start(engine).await?, Proxy::start(engine).await?];
        let mut crowd = Crowd::gather(&self.engine, &id).await?;
        let cut_npm = Npm::start(proxies[0].url(), &["npm-cut".to_owned()], &id, None).await?;
        let cut = Follower::start(proxies[1].url(), "ours-cut".to_owned(), &id, None).await?;
        let accepted = self.prompt(prompt).await?;
        let before = Some(accepted.prompt.sequence - 1);

        let first = crowd.ours.first_mut().context("nobody of ours watches")?;
        let mut cuts = 0;
        let mut joined = None;
        for quarter in 1..=3 {
            first.has(UPDATES * quarter / 4).await?;
            for proxy in &proxies {
                let connections = proxy.connections();
                proxy.cut_all();
                proxy.wait_for_connections(connections + 1).await;
                cuts += 1;
            }
            if joined.is_none() {
                let npm = Npm::start(&self.engine, &["npm-late".to_owned()], &id, before).await?;
                let ours = Follower::start(&self.engine, "ours-late".to_owned(), &id, before).await?;
                joined = Some((npm, ours));
            }
        }
        let (late_npm, late) = joined.context("nobody joined")?;
        crowd.seen().await?;
        let place = self.place(&accepted).await?;
        let mut clients = Vec::new();
        let (from, to) = (place.first(), place.last());
        let mut keep = |joined, seen: Seen| {
            clients.push(InTrouble { joined, cut: !joined, seen: seen.within(from, to) });
        };
        keep(false, cut.seen().await?);
        keep(true, late.seen().await?);
        cut_npm.seen().await?.into_iter().for_each(|seen| keep(false, seen));
        late_npm.seen().await?.into_iter().for_each(|seen| keep(true, seen));
        Ok(Rough { place, clients, cuts })
    }
}

impl Rough {
    /// The fewest frames that one of these clients has just as the store has them, against all.
    pub(crate) fn same(&self, what: &str, who: impl Fn(&InTrouble) -> bool) -> Measure {
        let stored = &self.place.frames;
        let right = |client: &InTrouble| {
            let same = client.seen.is(stored);
            if !same {
                eprintln!(
                    "{} has {} frames, not those of the store",
                    client.seen.name,
                    client.seen.frames.len()
                );
            }
            if same { stored.len() } else { 0 }
        };
        let fewest = self.clients.iter().filter(|client| who(client)).map(right).min();
        Measure::exactly(what, fewest.unwrap_or(0) as f64, stored.len() as f64)
    }
}
