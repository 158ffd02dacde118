//! Turns, watched by all, by none, and by clients in trouble.

use std::time::Duration;

use anyhow::{Context, Result};
use rivetkit_client::{Client, ClientConfig, EncodingKind, GetOrCreateOptions};
use sandbox_agent_multiplayer::{Accepted, NewPrompt};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::crowd::Crowd;
use crate::follower::{connect, is_end};
use crate::line::{Arrived, Seen, Told};

/// The workspace.
pub(crate) const KEY: [&str; 2] = ["bench", "one"];
/// Far above what a turn takes: passing it means that something hangs.
const LIMIT: Duration = Duration::from_secs(180);
/// How often the host is asked about a turn that nobody watches.
const ASK: Duration = Duration::from_millis(500);

/// The workspace, from the outside.
pub(crate) struct Room {
    pub(crate) engine: String,
    http: Client,
}

/// What the clients of a turn were told.
pub(crate) struct Watched {
    /// From when the prompt was accepted until all had its end.
    pub(crate) seconds: f64,
    seen: Vec<Seen>,
}

/// Where a turn is in the line.
pub(crate) struct Place {
    pub(crate) frames: Vec<Told>,
}

impl Place {
    pub(crate) fn first(&self) -> u64 {
        self.frames.first().map_or(0, |frame| frame.0)
    }

    pub(crate) fn last(&self) -> u64 {
        self.frames.last().map_or(0, |frame| frame.1)
    }

    fn began(&self) -> f64 {
        self.frames.first().map_or(0.0, |frame| frame.2 as f64)
    }

    fn ended(&self) -> f64 {
        self.frames.last().map_or(0.0, |frame| frame.2 as f64)
    }
}

impl Room {
    /// Waits until the host has come to the engine.
    pub(crate) async fn open(engine: &str) -> Result<Self> {
        let config = ClientConfig::new(engine).namespace("default").pool_name("default");
        let http = Client::new(config.encoding(EncodingKind::Bare).disable_metadata_lookup(true));
        let room = Self { engine: engine.to_owned(), http };
        let come = async { while room.info().await.is_err() {} };
        timeout(LIMIT, come).await.context("the host does not come to the engine")?;
        Ok(room)
    }

    /// A turn while nobody is connected: the seconds until its end is stored.
    pub(crate) async fn unwatched(&self, text: &str) -> Result<f64> {
        let accepted = self.prompt(NewPrompt::new(text)).await?;
        let over = timeout(LIMIT, self.over(&accepted.prompt.prompt_id)).await;
        over.context("a turn without clients does not end")??;
        let place = self.place(&accepted).await?;
        Ok((place.ended() - place.began()) / 1e3)
    }

    /// A turn that ten clients watch.
    pub(crate) async fn watched(&self, text: &str) -> Result<Watched> {
        let prompt = NewPrompt::new(text);
        let crowd = Crowd::gather(&self.engine, &prompt.prompt_id).await?;
        let accepted = self.prompt(prompt).await?;
        let seen = timeout(LIMIT, crowd.seen()).await.context("not all clients have all of a turn")??;
        let place = self.place(&accepted).await?;
        let (first, last) = (place.first(), place.last());
        let seen: Vec<_> = seen.into_iter().map(|seen| seen.within(first, last)).collect();
        let ends = seen.iter().filter_map(|seen| Some(seen.frames.last()?.arrived()));
        let seconds = (ends.fold(0.0, f64::max) - place.began()) / 1e3;
        Ok(Watched { seconds, seen })
    }

    /// Calls that are no connections that last.
    async fn call(&self, name: &str, args: Value) -> Result<Value> {
        let params = Some(json!({ "token": "bench", "name": "conductor" }));
        let options = GetOrCreateOptions { params, ..GetOrCreateOptions::default() };
        let key = KEY.map(str::to_owned).into();
        let handle = self.http.get_or_create("workspace", key, options)?;
        handle.action(name, vec![args]).await
    }

    async fn info(&self) -> Result<Value> {
        self.call("getSessionInfo", json!({})).await
    }

    pub(crate) async fn prompt(&self, prompt: NewPrompt) -> Result<Accepted> {
        let accepted = self.call("prompt", serde_json::to_value(&prompt)?).await?;
        Ok(serde_json::from_value(accepted)?)
    }

    async fn over(&self, prompt: &str) -> Result<()> {
        loop {
            sleep(ASK).await;
            let info = self.info().await?;
            let recent = info["recent"].as_array().context("the host says nothing of recent prompts")?;
            if recent.iter().any(|told| told["promptId"] == prompt) {
                return Ok(());
            }
        }
    }

    /// The frames of a turn as the store has them, from the one that says the prompt to the one that says its end.
    pub(crate) async fn place(&self, accepted: &Accepted) -> Result<Place> {
        let reader = connect(&self.engine, "reader").await?;
        let mut frames = Vec::new();
        let mut after = accepted.prompt.sequence - 1;
        loop {
            let page = reader.page(after, 1_000).await?;
            for frame in &page.frames {
                after = frame.sequence;
                frames.push(Told::of(frame));
                if is_end(frame, &accepted.prompt.prompt_id) {
                    reader.dispose();
                    return Ok(Place { frames });
                }
            }
        }
    }
}

impl Watched {
    pub(crate) fn updates_in_order(&self) -> usize {
        self.seen.iter().map(Seen::updates_in_order).sum()
    }

    /// The lag in ms that one of a hundred deliveries has or passes.
    pub(crate) fn lag_p99(&self) -> Option<f64> {
        p99(self.seen.iter().flat_map(|seen| &seen.frames))
    }

    /// The same for each client, and where in the turn it was farthest behind.
    pub(crate) fn tell_lags(&self) {
        for Seen { name, frames } in &self.seen {
            let worst = frames.iter().enumerate().max_by(|one, other| one.1.lag().total_cmp(&other.1.lag()));
            if let (Some(lag), Some((at, worst))) = (p99(frames), worst) {
                let (most, all) = (worst.lag(), frames.len());
                eprintln!("  {name}: {lag:.0} ms, at most {most:.0} ms, at frame {at} of {all}");
            }
        }
    }
}

fn p99<'a>(frames: impl IntoIterator<Item = &'a Arrived>) -> Option<f64> {
    let mut lags: Vec<_> = frames.into_iter().map(Arrived::lag).collect();
    lags.sort_by(f64::total_cmp);
    lags.get(lags.len().checked_sub(1)? * 99 / 100).copied()
}
