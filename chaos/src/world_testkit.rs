//! A seed in this process: the testkit's server, and time that is paused.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use sandbox_agent_sdk::MemorySessionPersistDriver;
use sandbox_agent_testkit::proxy::Proxy;
use sandbox_agent_testkit::{AgentOptions, Sandbox};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::faults::{Tally, World, drive};
use crate::history::{History, processes_of_lines, recorded};
use crate::limits::TESTKIT_HEARTBEAT;
use crate::log::{Entries, Log};
use crate::plan::{Offer, Plan};
use crate::store::FaultyStore;

/// Runs on a runtime of its own, on the thread of the caller.
pub(crate) fn run(plan: &Plan, tally: &Tally) -> Result<History> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build()?;
    let history = runtime.block_on(live(plan, tally));
    runtime.shutdown_background();
    history
}

async fn live(plan: &Plan, tally: &Tally) -> Result<History> {
    let agent = match plan.offer {
        Offer::Nothing => AgentOptions::new(),
        Offer::Resume => AgentOptions::new().resume(),
        Offer::Load => AgentOptions::new().load(),
    };
    let sandbox = Sandbox::builder().heartbeat(TESTKIT_HEARTBEAT).agent(agent).start().await?;
    let proxy = Proxy::start(sandbox.address()).await?;
    let world = Testkit {
        plan,
        proxy,
        sandbox,
        store: Arc::new(MemorySessionPersistDriver::new()),
        entries: Entries::default(),
        began: Instant::now(),
        healed: watch::Sender::new(false),
        client: RefCell::default(),
    };
    world.start_client();
    drive(plan, &world, tally).await?;
    world.healed.send_replace(true);
    let client = world.client.take().context("no client runs")?;
    client.task.await.map_err(|error| anyhow!("the client failed: {error}"))??;
    let history = History {
        sessions: recorded(&world.store).await?,
        client: world.entries.all(),
        processes: processes_of_lines(world.sandbox.agent_lines()),
    };
    Ok(history)
}

struct Testkit<'a> {
    plan: &'a Plan,
    proxy: Proxy,
    sandbox: Sandbox,
    store: Arc<MemorySessionPersistDriver>,
    entries: Entries,
    began: Instant,
    healed: watch::Sender<bool>,
    client: RefCell<Option<Life>>,
}

struct Life {
    task: JoinHandle<Result<()>>,
    killed: watch::Sender<bool>,
    number: u32,
}

impl Testkit<'_> {
    fn start_client(&self) {
        let number = self.client.borrow().as_ref().map_or(1, |life| life.number + 1);
        let log = Log::to_memory(&self.entries, number);
        let (killed, is_killed) = watch::channel(false);
        let store =
            FaultyStore::new(self.store.clone(), &self.plan.store, self.began, is_killed, log.clone());
        let client = Client {
            plan: self.plan.clone(),
            url: self.proxy.url().to_owned(),
            store: Arc::new(store),
            log,
            past: self.entries.all(),
            healed: self.healed.subscribe(),
        };
        let task = tokio::spawn(client.run());
        self.client.replace(Some(Life { task, killed, number }));
    }
}

impl World for Testkit<'_> {
    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    async fn kill_server(&self, down: Duration) -> Result<()> {
        // The agents end with it, not when it is started again.
        self.sandbox.restart().await?;
        self.sandbox.stop_listening().await;
        sleep(down).await;
        Ok(self.sandbox.listen_again().await?)
    }

    /// Nothing of it gets to the store any more, and its connections end.
    async fn kill_client(&self, down: Duration) -> Result<()> {
        if let Some(life) = self.client.borrow().as_ref() {
            life.killed.send_replace(true);
            life.task.abort();
        }
        sleep(down).await;
        self.start_client();
        Ok(())
    }
}
