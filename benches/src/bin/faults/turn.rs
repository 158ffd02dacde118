//! One turn, with what may go wrong in it, on either SDK.

use std::fmt;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use sandbox_agent_sdk::{EventView, From, SandboxAgent, Session, SessionEventExt, Turn};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use crate::bench::Bench;
use crate::table::{Row, thousands};

/// What is done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Case {
    pub(crate) prompt: &'static str,
    /// The prompt after it, where there is one.
    pub(crate) next: Option<&'static str>,
    /// All connections are cut when this many updates are stored.
    pub(crate) cut_at: Option<u64>,
    /// How long a listener takes for each event.
    pub(crate) listener: Duration,
    /// How long a prompt may take.
    pub(crate) bound: Duration,
}

/// What came of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) ending: Ending,
    /// Updates that are stored when the prompt is over.
    pub(crate) stored: u64,
    /// Updates that are named as lost by then.
    pub(crate) missing: u64,
    pub(crate) next: Option<Ending>,
    /// Errors that end the program unless it has a handler for all of them: only JavaScript has such.
    #[serde(default)]
    pub(crate) unhandled: u32,
}

/// How a prompt ended.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ending {
    /// With this stop reason.
    Returned(String),
    /// With this error.
    Failed(String),
    /// Not within its bound.
    Never,
}

impl Ending {
    pub(crate) fn returned(&self) -> bool {
        matches!(self, Self::Returned(_))
    }

    async fn of(turn: Turn, bound: Duration) -> Result<Self> {
        Ok(match timeout(bound, async { turn.await }).await {
            Err(_) => Self::Never,
            Ok(Err(error)) => Self::Failed(format!("{:?}", error.kind())),
            Ok(Ok(response)) => {
                let reason = serde_json::to_value(response.stop_reason)?;
                Self::Returned(reason.as_str().context("a stop reason is a word")?.to_owned())
            }
        })
    }

    /// In words; `bound` is the one of the case.
    pub(crate) fn says(&self, bound: Duration) -> String {
        match self {
            Self::Returned(reason) => format!("returns `{reason}`"),
            Self::Failed(error) => format!("fails with `{error}`"),
            Self::Never => format!("no return within {} s", bound.as_secs()),
        }
    }
}

impl Outcome {
    /// Every one of so many updates is stored, or named as lost.
    pub(crate) fn accounts_for(&self, updates: u64) -> bool {
        self.ending.returned() && self.stored + self.missing == updates
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} stored", thousands(self.stored))?;
        match self.missing {
            0 => Ok(()),
            missing => write!(f, " and {} named as lost", thousands(missing)),
        }
    }
}

pub(crate) async fn ours(bench: &Bench, case: Case) -> Result<Outcome> {
    let proxy = bench.proxy().await?;
    let sdk = SandboxAgent::connect(proxy.url()).await?;
    let session = sdk.create_session(bench.request("one")).await?;
    let block = move |_: &_| thread::sleep(case.listener);
    let _listener = (!case.listener.is_zero()).then(|| session.on_event(block));
    let mut turn = session.prompt(case.prompt);
    let mut updates = 0;
    while case.cut_at.is_some_and(|mark| updates < mark) {
        let event = turn.next().await.context("the turn ended before its mark")??;
        updates += u64::from(event.text().is_some());
    }
    if case.cut_at.is_some() {
        proxy.cut_all();
    }
    let ending = Ending::of(turn, case.bound).await?;
    let (stored, missing) = count(&session).await?;
    let next = match case.next {
        Some(next) => Some(Ending::of(session.prompt(next), case.bound).await?),
        None => None,
    };
    Ok(Outcome { ending, stored, missing, next, unhandled: 0 })
}

/// Updates that are stored, and those that gaps name.
async fn count(session: &Session) -> Result<(u64, u64)> {
    let last = usize::try_from(session.last_index())?;
    let mut events = session.events(From::Start).take(last);
    let (mut stored, mut missing) = (0, 0);
    while let Some(event) = events.try_next().await? {
        match event.view() {
            EventView::Gap(gap) => missing += gap.missing(),
            _ => stored += u64::from(event.agent_text().is_some()),
        }
    }
    Ok((stored, missing))
}

pub(crate) async fn typescript(bench: &Bench, case: Case) -> Result<Outcome> {
    let proxy = bench.proxy().await?;
    let parameters = json!({
        "url": proxy.url(),
        "agent": bench.agent,
        "prompt": case.prompt,
        "next": case.next,
        "mark": case.cut_at,
        "listener_ms": case.listener.as_millis(),
        "bound": case.bound.as_secs(),
    });
    bench.peer.watch("turn", &parameters, || proxy.cut_all()).await
}

/// Turns that come faster than somebody takes them.
pub(crate) async fn rows(bench: &Bench) -> Result<[Row; 2]> {
    let slow = Case {
        prompt: "stream 20000 rate=5000",
        listener: Duration::from_millis(2),
        bound: Duration::from_secs(120),
        ..Case::default()
    };
    let burst = Case { prompt: "stream 1000", bound: Duration::from_secs(60), ..Case::default() };
    Ok([
        row(bench, "a listener takes 2 ms; a turn of 20,000 updates at 5,000 a second", slow, 20_000).await?,
        row(bench, "a burst of 1,000 updates", burst, 1_000).await?,
    ])
}

async fn row(bench: &Bench, name: &str, case: Case, updates: u64) -> Result<Row> {
    let (ours, typescript) = (ours(bench, case).await?, typescript(bench, case).await?);
    let says = |outcome: &Outcome| format!("prompt {}; {outcome}", outcome.ending.says(case.bound));
    Ok(Row::new(name, says(&typescript), says(&ours)).kept(ours.accounts_for(updates)))
}
