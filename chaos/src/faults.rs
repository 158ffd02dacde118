//! Brings about what a plan says goes wrong, in either world.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use sandbox_agent_testkit::proxy::{Policy, Proxy, Way};
use tokio::time::{Instant, sleep};

use crate::plan::{Fault, Plan, Planned};

/// How often what concerns open connections is done again, for those that were opened since.
const TICK: Duration = Duration::from_millis(100);

/// What a plan can't do through the proxy.
pub(crate) trait World {
    /// Between the client and the server.
    fn proxy(&self) -> &Proxy;

    /// Kills the server, agents too, and starts it again after this time.
    async fn kill_server(&self, down: Duration) -> Result<()>;

    /// Kills the client, and starts it again after this time.
    async fn kill_client(&self, down: Duration) -> Result<()>;
}

/// How often each kind of fault came about.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<String, u64>>);

impl Tally {
    pub(crate) fn count(&self, kind: &str, times: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(kind.to_owned()).or_default() += times;
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns when everything has gone wrong that shall, and all is well again.
pub(crate) async fn drive(plan: &Plan, world: &impl World, tally: &Tally) -> Result<()> {
    let network = async {
        for fault in &plan.network {
            sleep(fault.pause).await;
            bring_about(fault, world, tally).await?;
        }
        Ok(())
    };
    let kills = async {
        for kill in &plan.kills {
            sleep(kill.pause).await;
            world.kill_client(kill.lasts).await?;
            tally.count("client-kill", 1);
        }
        Ok(())
    };
    tokio::try_join!(network, kills).map(drop)
}

async fn bring_about(fault: &Planned<Fault>, world: &impl World, tally: &Tally) -> Result<()> {
    let (proxy, lasts) = (world.proxy(), fault.lasts);
    let kind = match fault.what {
        Fault::Cut(times) => {
            for _ in 0..times {
                proxy.cut_all();
                sleep(lasts).await;
            }
            "cut"
        }
        Fault::Stall => {
            proxy.stall_all();
            sleep(lasts).await;
            proxy.resume_all();
            "stall"
        }
        Fault::HalfOpen => {
            proxy.half_open_all();
            proxy.policy(|_| Policy::stall());
            sleep(lasts).await;
            proxy.policy(|_| Policy::pass());
            "half-open"
        }
        Fault::OneWayLoss(way) => {
            proxy.lose_all(way);
            "one-way-loss"
        }
        Fault::SlowLink(rate) => {
            let end = Instant::now() + lasts;
            while Instant::now() < end {
                proxy.slow_all(rate);
                sleep(TICK).await;
            }
            proxy.resume_all();
            "slow-link"
        }
        Fault::Outage => {
            proxy.stop_listening().await;
            proxy.cut_all();
            sleep(lasts).await;
            proxy.listen_again().await?;
            "outage"
        }
        Fault::ServerKill { refuse } => {
            if refuse {
                proxy.stop_listening().await;
            }
            world.kill_server(lasts).await?;
            proxy.listen_again().await?;
            "server-kill"
        }
        Fault::LostAnswer(count) => {
            let lost = Arc::new(AtomicU32::new(0));
            proxy.policy(lose_answers(count, lost.clone()));
            sleep(lasts).await;
            proxy.policy(|_| Policy::pass());
            tally.count("lost-answer", u64::from(lost.load(Ordering::Relaxed)));
            return Ok(());
        }
    };
    tally.count(kind, 1);
    Ok(())
}

/// The next POSTs get through and are never answered.
fn lose_answers(count: u32, lost: Arc<AtomicU32>) -> impl FnMut(&str) -> Policy + Send + 'static {
    move |line| {
        if !line.starts_with("POST ") || lost.load(Ordering::Relaxed) == count {
            return Policy::pass();
        }
        lost.fetch_add(1, Ordering::Relaxed);
        Policy::pass().lose(Way::Down)
    }
}
