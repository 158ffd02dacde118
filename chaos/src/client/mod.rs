//! The program under test: what an embedder's service would do, and a log of what it saw.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::join_all;
use sandbox_agent_sdk::{SandboxAgent, SessionPersistDriver};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::limits;
use crate::log::{Entry, Line, Log};
use crate::plan::Plan;

mod past;
mod readers;
mod session;

use past::Past;
use session::SessionLife;

/// Between two tries of a call that failed.
const AGAIN: Duration = Duration::from_millis(300);

/// One life of a client: it goes on where an earlier one was killed.
pub(crate) struct Client {
    pub(crate) plan: Plan,
    pub(crate) url: String,
    pub(crate) store: Arc<dyn SessionPersistDriver>,
    pub(crate) log: Log,
    /// What earlier lives logged.
    pub(crate) past: Vec<Entry>,
    /// Becomes true when nothing goes wrong any more.
    pub(crate) healed: watch::Receiver<bool>,
}

impl Client {
    /// Returns when each session had its last prompt and the SDK is closed.
    pub(crate) async fn run(self) -> Result<()> {
        let sdk = self.connect().await?;
        let past = Past::read(&self.past);
        let lives = self.plan.sessions.iter().map(|plan| {
            let calls = Calls { session: plan.id.clone(), log: self.log.clone() };
            SessionLife::new(&sdk, plan, &past, calls, self.healed.clone()).live()
        });
        // The readers, which read until the end.
        let readers = join_all(lives).await;
        let calls = Calls { session: String::new(), log: self.log.clone() };
        if let Some(Err(error)) = calls.bounded("close", limits::CLOSING, sdk.close()).await {
            bail!("close failed: {error}");
        }
        drop(readers);
        self.log.write(Line::Finished);
        Ok(())
    }

    async fn connect(&self) -> Result<SandboxAgent> {
        let calls = Calls { session: String::new(), log: self.log.clone() };
        loop {
            let healed = *self.healed.borrow();
            let builder = SandboxAgent::builder(&self.url)
                .persist(self.store.clone())
                .limits(limits::limits(self.plan.server));
            match calls.bounded("connect", limits::CONNECTING, builder.connect()).await {
                Some(Ok(sdk)) => return Ok(sdk),
                Some(Err(error)) if healed => bail!("no connection to a server that is well: {error}"),
                Some(Err(_)) => sleep(AGAIN).await,
                None => bail!("connect hung"),
            }
        }
    }
}

/// Calls of the SDK within their bounds.
#[derive(Clone, Debug)]
struct Calls {
    session: String,
    log: Log,
}

impl Calls {
    /// `None`, and a line in the log, when the call took longer than it may.
    async fn bounded<T>(&self, call: &str, bound: Duration, work: impl IntoFuture<Output = T>) -> Option<T> {
        let done = timeout(bound, work.into_future()).await.ok();
        if done.is_none() {
            let bound_ms = bound.as_millis() as u64;
            let (session, call) = (self.session.clone(), call.to_owned());
            self.log.write(Line::Hung { session, call, bound_ms });
        }
        done
    }
}
