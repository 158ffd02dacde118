//! A seed on the real server: server, agents and client in processes of their own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_testkit::proxy::Proxy;
use sandbox_agent_testkit::real::{RealServer, RealServerError, RealServerOptions};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;
use crate::faults::{Tally, World, drive};
use crate::history::{History, processes_of_file, recorded};
use crate::log::{self, Log};
use crate::plan::{Offer, Plan, Server};
use crate::store::FaultyStore;

/// More than all calls of a client take together when each takes its whole bound.
const CLIENT_LIMIT: Duration = Duration::from_secs(30 * 60);
/// A port may be somebody's for a moment.
const SERVER_TRIES: u32 = 5;

fn agents_log(folder: &Path) -> PathBuf {
    folder.join("agents.log")
}

fn client_log(folder: &Path) -> PathBuf {
    folder.join("client.log")
}

fn store_file(folder: &Path) -> PathBuf {
    folder.join("sessions.db")
}

/// What the command line of a client says.
#[derive(Debug, clap::Args)]
pub(crate) struct ClientOptions {
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    url: String,
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    life: u32,
    /// When the seed began, in milliseconds since the Unix epoch
    #[arg(long)]
    began_ms: u64,
}

/// The client's process: ends by itself once it was told on stdin that all is well.
pub(crate) async fn run_client(options: ClientOptions) -> Result<()> {
    let ClientOptions { seed, url, folder, life, began_ms } = options;
    let plan = Plan::new(seed, Server::Real);
    let past = log::read(&client_log(&folder))?;
    let log = Log::to_file(&client_log(&folder), life)?;
    let began = Instant::now() - Duration::from_millis(now_ms().saturating_sub(began_ms));
    let store = SqliteSessionPersistDriver::open(store_file(&folder)).await?;
    let (_killed, is_killed) = watch::channel(false);
    let store = FaultyStore::new(Arc::new(store), &plan.store, began, is_killed, log.clone());
    let (heal, healed) = watch::channel(false);
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let _ = lines.next_line().await;
        heal.send_replace(true);
    });
    Client { plan, url, store: Arc::new(store), log, past, healed }.run().await
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

pub(crate) async fn run(plan: &Plan, folder: &Path, tally: &Tally) -> Result<History> {
    let path = |path: PathBuf| path.display().to_string();
    let offers = match plan.offer {
        Offer::Nothing => "",
        Offer::Resume => "resume",
        Offer::Load => "load",
    };
    let options = RealServerOptions::new()
        .env("SCRIPTED_AGENT_LOG", path(agents_log(folder)))
        .env("SCRIPTED_AGENT_OFFERS", offers)
        .env("SCRIPTED_AGENT_SESSIONS", path(folder.join("agent-sessions")));
    let server = RealServer::start(options).await?;
    let proxy = Proxy::start(server.address()).await?;
    let world = Real {
        seed: plan.seed,
        folder,
        proxy,
        server: Mutex::new(server),
        began_ms: now_ms(),
        client: Mutex::default(),
    };
    world.start_client().await?;
    drive(plan, &world, tally).await?;
    world.end_client().await?;
    world.server.lock().await.kill();
    let store = SqliteSessionPersistDriver::open(store_file(folder)).await?;
    let history = History {
        sessions: recorded(&store).await?,
        client: log::read(&client_log(folder))?,
        processes: processes_of_file(&agents_log(folder))?,
    };
    store.close().await?;
    Ok(history)
}

struct Real<'a> {
    seed: u64,
    folder: &'a Path,
    proxy: Proxy,
    server: Mutex<RealServer>,
    began_ms: u64,
    client: Mutex<Option<(u32, Child)>>,
}

impl Real<'_> {
    async fn start_client(&self) -> Result<()> {
        let mut client = self.client.lock().await;
        let life = client.as_ref().map_or(1, |(life, _)| life + 1);
        let stderr =
            std::fs::File::options().create(true).append(true).open(self.folder.join("client.err"))?;
        let process = Command::new(std::env::current_exe()?)
            .arg("client")
            .args(["--seed", &self.seed.to_string(), "--url", self.proxy.url()])
            .arg("--folder")
            .arg(self.folder)
            .args(["--life", &life.to_string(), "--began-ms", &self.began_ms.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .context("can't start the client")?;
        *client = Some((life, process));
        Ok(())
    }

    /// Tells it that all is well, and waits until it ended by itself.
    async fn end_client(&self) -> Result<()> {
        let mut client = self.client.lock().await;
        let (_, process) = client.as_mut().context("no client runs")?;
        if let Some(mut stdin) = process.stdin.take() {
            // One that ended already is found by its exit code.
            let _ = stdin.write_all(b"healed\n").await;
        }
        let status = timeout(CLIENT_LIMIT, process.wait())
            .await
            .map_err(|_| anyhow!("the client did not end within {CLIENT_LIMIT:?}"))??;
        if !status.success() {
            bail!("the client failed: {status}: {}", self.client_errors());
        }
        Ok(())
    }

    fn client_errors(&self) -> String {
        std::fs::read_to_string(self.folder.join("client.err")).unwrap_or_default()
    }
}

impl World for Real<'_> {
    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    async fn kill_server(&self, down: Duration) -> Result<()> {
        let mut server = self.server.lock().await;
        server.kill();
        sleep(down).await;
        let mut tries = 1;
        loop {
            match server.restart().await {
                Err(RealServerError::NotHealthy { .. }) if tries < SERVER_TRIES => tries += 1,
                restarted => return Ok(restarted?),
            }
        }
    }

    async fn kill_client(&self, down: Duration) -> Result<()> {
        if let Some((_, process)) = self.client.lock().await.as_mut() {
            process.kill().await?;
        }
        sleep(down).await;
        self.start_client().await
    }
}
