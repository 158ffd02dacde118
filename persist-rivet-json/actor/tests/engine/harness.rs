//! An engine of its own for each test, and actors in this process.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rivetkit_core::{
    ActorConfig, ActorContext, ActorEvent, ActorFactory, ActorStart, CoreRegistry, EngineSpawnMode,
    ServeConfig,
};
use sandbox_agent_persist_rivet_actor::RivetActorState;
use sandbox_agent_persist_rivet_json::{RivetJsonOptions, RivetJsonSessionPersistDriver};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The engine's program, such as npm brings in `@rivetkit/engine-cli`.
const ENGINE: &str = "RIVET_ENGINE_BIN";
/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const ACTOR: &str = "sessions";

/// An actor that was started, as its own code sees it.
pub(crate) struct Started {
    pub(crate) actor: ActorContext,
    pub(crate) snapshot: Option<Vec<u8>>,
    pub(crate) state: RivetActorState,
    pub(crate) store: RivetJsonSessionPersistDriver,
    ended: watch::Receiver<bool>,
}

impl Started {
    /// Puts the actor to sleep and waits until its code came to its end.
    pub(crate) async fn sleep(mut self) {
        self.actor.sleep().unwrap();
        timeout(PATIENCE, self.ended.wait_for(|ended| *ended)).await.unwrap().unwrap();
    }
}

/// How the actors of a test are.
#[derive(Clone)]
pub(crate) struct Kind {
    pub(crate) options: RivetJsonOptions,
    pub(crate) durable: Option<Duration>,
}

/// The runtime has one registry in a process.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Plays a scenario with an engine of its own, and stops the actors before the engine: they save to it.
pub(crate) async fn with_actors<F>(kind: Kind, scenario: impl FnOnce(Actors) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let alone = ALONE.lock().await;
    let mut engine = Engine::start();
    let http = reqwest::Client::new();
    engine.wait_until_healthy(&http).await;

    let (starts, started) = mpsc::unbounded_channel();
    let config = ActorConfig {
        name: Some(ACTOR.to_owned()),
        has_state: true,
        remote_sqlite: true,
        ..ActorConfig::default()
    };
    let mut registry = CoreRegistry::new();
    let run = move |start| Box::pin(run(start, kind.clone(), starts.clone())) as _;
    registry.register(ACTOR, ActorFactory::new(config, run));
    let config = ServeConfig {
        version: 1,
        endpoint: engine.url.clone(),
        namespace: "default".to_owned(),
        pool_name: "default".to_owned(),
        engine_spawn: EngineSpawnMode::Never,
        ..ServeConfig::default()
    };
    let stop = CancellationToken::new();
    let registry = tokio::spawn(registry.serve_with_config(config, stop.clone()));

    let actors = Actors { url: engine.url.clone(), http, started };
    let played = tokio::spawn(scenario(actors)).await;
    stop.cancel();
    timeout(PATIENCE, registry).await.unwrap().unwrap().unwrap();
    drop((engine, alone));
    if let Err(failed) = played {
        std::panic::resume_unwind(failed.into_panic());
    }
}

struct Engine {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Engine {
    fn start() -> Self {
        let program =
            std::env::var_os(ENGINE).unwrap_or_else(|| panic!("set {ENGINE} to the engine's program"));
        let folder = tempfile::tempdir().unwrap();
        let port = free_ports();
        let process = Command::new(&program)
            .arg("start")
            .envs(settings(port))
            .env("RIVET__FILE_SYSTEM__PATH", folder.path().join("db"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program:?} does not start: {error}"));
        Self { process, url: format!("http://127.0.0.1:{port}"), _folder: folder }
    }

    async fn wait_until_healthy(&mut self, http: &reqwest::Client) {
        let since = Instant::now();
        loop {
            let health = http.get(format!("{}/health", self.url)).send().await;
            if health.is_ok_and(|health| health.status().is_success()) {
                return;
            }
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the engine ended: {status}");
            }
            assert!(since.elapsed() < PATIENCE, "the engine says nothing");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Both fail only for one that is gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a scenario has to do with.
pub(crate) struct Actors {
    url: String,
    http: reqwest::Client,
    started: mpsc::UnboundedReceiver<Started>,
}

impl Actors {
    /// Makes an actor, and gives its id.
    pub(crate) async fn create(&self) -> String {
        let wanted = json!({ "name": ACTOR, "key": "one", "runner_name_selector": "default",
            "crash_policy": "sleep" });
        let since = Instant::now();
        loop {
            let request = self.http.put(format!("{}/actors?namespace=default", self.url)).json(&wanted);
            let answer = request.send().await.unwrap().text().await.unwrap();
            let made: Value = serde_json::from_str(&answer).unwrap_or_default();
            if let Some(id) = made["actor"]["actor_id"].as_str() {
                return id.to_owned();
            }
            // The registry may not have come to the engine yet.
            assert!(since.elapsed() < PATIENCE, "{answer}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the actor was started. A call wakes it, if it sleeps.
    pub(crate) async fn awake(&mut self, id: &str) -> Started {
        let since = Instant::now();
        loop {
            let call = self
                .http
                .post(format!("{}/gateway/{id}/action/ping", self.url))
                .header("x-rivet-target", "actor")
                .header("x-rivet-actor", id)
                .header("x-rivet-encoding", "json")
                .json(&json!({ "args": [] }));
            let answer = timeout(PATIENCE, call.send()).await.unwrap();
            if let Ok(started) = self.started.try_recv() {
                return started;
            }
            assert!(since.elapsed() < PATIENCE, "{answer:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn settings(port: u16) -> Vec<(&'static str, String)> {
    let host = || Ipv4Addr::LOCALHOST.to_string();
    vec![
        ("RIVET__GUARD__HOST", host()),
        ("RIVET__GUARD__PORT", port.to_string()),
        ("RIVET__API_PEER__HOST", host()),
        ("RIVET__API_PEER__PORT", (port + 1).to_string()),
        ("RIVET__METRICS__HOST", host()),
        ("RIVET__METRICS__PORT", (port + 10).to_string()),
        ("RIVET__TELEMETRY__ENABLED", "false".to_owned()),
        // Without it a busy machine is refused new actors.
        ("RIVET__RUNTIME__WORKER_CPU_MAX", "1000000".to_owned()),
        ("RIVET__RUNTIME__WORKER_SHUTDOWN_DURATION", "1".to_owned()),
        ("RIVET__RUNTIME__GUARD_SHUTDOWN_DURATION", "1".to_owned()),
        ("RIVET__RUNTIME__FORCE_SHUTDOWN_DURATION", "2".to_owned()),
    ]
}

/// A port that is free, as its neighbours are that the engine takes.
fn free_ports() -> u16 {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    loop {
        let first = bind(0).unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX - 10 && bind(port + 1).is_ok() && bind(port + 10).is_ok() {
            return port;
        }
    }
}

async fn run(start: ActorStart, kind: Kind, starts: mpsc::UnboundedSender<Started>) -> anyhow::Result<()> {
    let ActorStart { ctx, snapshot, mut events, .. } = start;
    let mut state = RivetActorState::new(ctx.clone(), snapshot.as_deref())?;
    if let Some(limit) = kind.durable {
        state = state.durable(limit);
    }
    let store = RivetJsonSessionPersistDriver::open_with_options(state.clone(), kind.options).await?;
    let (end, ended) = watch::channel(false);
    let started = Started { actor: ctx, snapshot, state: state.clone(), store, ended };
    // The test may be over.
    let _ = starts.send(started);
    while let Some(event) = events.recv().await {
        match event {
            ActorEvent::SerializeState { reply, .. } => reply.send(Ok(state.deltas())),
            ActorEvent::Action { reply, .. } => reply.send(Ok(vec![0xf6])),
            ActorEvent::ConnectionPreflight { reply, .. } | ActorEvent::ConnectionOpen { reply, .. } => {
                reply.send(Ok(()));
            }
            ActorEvent::RunGracefulCleanup { reply, .. } => {
                let saved = state.flush().await;
                reply.send(saved.map_err(Into::into));
            }
            _ => {}
        }
    }
    end.send_replace(true);
    Ok(())
}
