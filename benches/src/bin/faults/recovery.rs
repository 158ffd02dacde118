//! How long our stream of events stands still when the connection to the server breaks.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use futures::future::try_join_all;
use sandbox_agent_sdk::{From, SandboxAgent, SessionEventExt};
use sandbox_agent_testkit::proxy::Proxy;
use tokio::time::{sleep, timeout};

use crate::bench::Bench;
use crate::table::Row;

/// An update that is no older than this when it comes shows that the stream is whole again.
const FRESH: Duration = Duration::from_millis(250);
/// How long the stream runs before the fault, and on after the latest recovery.
const AROUND: Duration = Duration::from_secs(2);
/// The longest silence of a connection that is taken for alive: three heartbeats.
const SILENCE: Duration = Duration::from_secs(45);

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Connections are reset, and refused for so long.
    Cut(Duration),
    /// Connections stay open, and nothing comes any more; new ones are fine.
    HalfOpen,
}

impl Fault {
    fn name(self) -> String {
        match self {
            Self::Cut(outage) => format!("stream whole again after a cut, server away for {outage:?}"),
            Self::HalfOpen => "stream whole again after a half-open connection".to_owned(),
        }
    }

    /// The longest that it may take, from the fault on.
    fn bar(self) -> Duration {
        match self {
            Self::Cut(outage) => outage.mul_f64(1.5) + Duration::from_secs(1),
            Self::HalfOpen => SILENCE + Duration::from_secs(5),
        }
    }

    /// Updates a second: so few that the server still has those of the whole time.
    fn rate(self) -> f64 {
        match self {
            Self::Cut(_) => 50.0,
            Self::HalfOpen => 15.0,
        }
    }

    async fn strike(self, proxy: &Proxy) -> Result<()> {
        match self {
            Self::Cut(outage) => {
                proxy.stop_listening().await;
                proxy.cut_all();
                sleep(outage).await;
                proxy.listen_again().await?;
            }
            Self::HalfOpen => proxy.stall_all(),
        }
        Ok(())
    }
}

pub(crate) async fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let outages = [500, 2_000, 5_000].map(|outage| Fault::Cut(Duration::from_millis(outage)));
    try_join_all(outages.into_iter().chain([Fault::HalfOpen]).map(|fault| row(bench, fault))).await
}

async fn row(bench: &Bench, fault: Fault) -> Result<Row> {
    let (took, bar) = (recover(bench, fault).await?, fault.bar());
    let ours = format!("{:.2} s (promised: {:.2} s)", took.as_secs_f64(), bar.as_secs_f64());
    Ok(Row::new(fault.name(), "not measured", ours).kept(took <= bar))
}

/// From the fault to the first update that is fresh again. Fails when any is missing then.
async fn recover(bench: &Bench, fault: Fault) -> Result<Duration> {
    let proxy = bench.proxy().await?;
    let sdk = SandboxAgent::connect(proxy.url()).await?;
    let session = sdk.create_session(bench.request("one")).await?;
    let events = session.events(From::Now);
    let count = (fault.rate() * (fault.bar() + 2 * AROUND).as_secs_f64()).ceil();
    let turn = session.prompt(format!("stream {count} rate={}", fault.rate()));
    let mut updates = Box::pin(events.filter_map(async |event| match event {
        Ok(event) => event.agent_text().map(|text| (Ok(text), Instant::now())),
        Err(error) => Some((Err(error), Instant::now())),
    }));
    let mut pace = Pace { rate: fault.rate(), start: None, last: 0 };
    loop {
        let (text, now) = updates.next().await.context("the stream ended")?;
        pace.see(&text?, now)?;
        if f64::from(pace.last) >= pace.rate * AROUND.as_secs_f64() {
            break;
        }
    }

    let struck = Instant::now();
    let whole = async {
        loop {
            let (text, now) = updates.next().await.context("the stream ended")?;
            let due = pace.see(&text?, now)?;
            if due > struck + FRESH && now < due + FRESH {
                return Ok::<_, anyhow::Error>(now - struck);
            }
        }
    };
    let (took, ()) = futures::try_join!(whole, fault.strike(&proxy))?;
    timeout(fault.bar() + 2 * AROUND, async { turn.await }).await.context("the turn did not end")??;
    sdk.close().await?;
    Ok(took)
}

/// The agent's even pace, by which the age of each update is known.
#[derive(Debug)]
struct Pace {
    rate: f64,
    start: Option<Instant>,
    last: u32,
}

impl Pace {
    /// When the update was written, at the earliest known. Fails when it isn't the next one.
    fn see(&mut self, text: &str, now: Instant) -> Result<Instant> {
        let number: u32 = text.trim().trim_start_matches('u').parse().with_context(|| format!("{text:?}"))?;
        ensure!(number == self.last + 1, "update {number} came after {}", self.last);
        self.last = number;
        let offset = Duration::from_secs_f64(f64::from(number) / self.rate);
        let start = now.checked_sub(offset).context("the clock began during the bench")?;
        let start = self.start.map_or(start, |earlier| earlier.min(start));
        self.start = Some(start);
        Ok(start + offset)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_update_that_is_missing_or_comes_again_is_an_error() {
        let now = Instant::now() + AROUND;
        for second in ["u1 ", "u3 "] {
            let mut pace = Pace { rate: 50.0, start: None, last: 0 };
            pace.see("u1 ", now).unwrap();
            assert!(pace.see(second, now).is_err());
        }
    }

    #[test]
    fn an_updates_age_is_told_by_the_earliest() {
        let now = Instant::now() + AROUND;
        let mut pace = Pace { rate: 10.0, start: None, last: 0 };
        assert_eq!(pace.see("u1 ", now).unwrap(), now, "nothing came before it");
        let late = now + Duration::from_secs(1);
        assert_eq!(late - pace.see("u2 ", late).unwrap(), Duration::from_millis(900));
    }

    #[test]
    fn a_recovery_has_its_bar() {
        assert_eq!(Fault::Cut(Duration::from_secs(2)).bar(), Duration::from_secs(4));
        assert_eq!(Fault::HalfOpen.bar(), Duration::from_secs(50));
    }
}
