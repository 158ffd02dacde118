//! Actors that do nothing, for tests of what an actor's context gives.

use std::time::{Duration, Instant};

use rivetkit_core::{ActorConfig, ActorContext, ActorEvent, ActorFactory, ActorStart};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{sleep, timeout};

use crate::{Actors, Engine, PATIENCE, Runner, play_within};

const ACTOR: &str = "idle";

/// Plays a scenario with an engine of its own and with idle actors, within this time.
///
/// # Panics
/// When the scenario does, after all has been stopped.
pub async fn with_idle_actors<F>(patience: Duration, scenario: impl FnOnce(IdleActors) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (factory, started) = factory();
    let scenario = |engine| scenario(IdleActors { engine, started: Mutex::new(started) });
    play_within(patience, [(ACTOR, factory)], scenario).await;
}

fn factory() -> (ActorFactory, mpsc::UnboundedReceiver<ActorContext>) {
    let (starts, started) = mpsc::unbounded_channel();
    let config = ActorConfig {
        name: Some(ACTOR.to_owned()),
        remote_sqlite: true,
        // It is the scenario that puts them to sleep.
        sleep_timeout: Duration::from_secs(3_600),
        ..ActorConfig::default()
    };
    (ActorFactory::new(config, move |start| Box::pin(run(start, starts.clone()))), started)
}

/// Actors that do nothing by themselves, and stay awake until they are told to sleep.
#[derive(Debug)]
pub struct IdleActors {
    engine: Actors,
    started: Mutex<mpsc::UnboundedReceiver<ActorContext>>,
}

impl IdleActors {
    /// Runs them for an engine that the scenario does something to.
    pub async fn start(engine: &Engine) -> (Self, Runner) {
        let (factory, started) = factory();
        let runner = Runner::start(engine, [(ACTOR, factory)]).await;
        (Self { engine: Actors::of(engine), started: Mutex::new(started) }, runner)
    }

    /// This actor as it runs now, once it answers: the same context, or that of its next start.
    pub async fn answering(&self, actor: ActorContext) -> ActorContext {
        let since = Instant::now();
        loop {
            let answer = self.engine.call(actor.actor_id(), "ping").await;
            if answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
                break;
            }
            assert!(since.elapsed() < PATIENCE, "{answer:?}");
            sleep(Duration::from_millis(100)).await;
        }
        let mut started = self.started.lock().await;
        let mut last = actor;
        while let Ok(again) = started.try_recv() {
            last = again;
        }
        last
    }

    /// The actor of this key, made if there is none, and awake.
    pub async fn awake(&self, key: &str) -> ActorContext {
        // One at a time, so that the next that starts is this one.
        let mut started = self.started.lock().await;
        let id = self.engine.create(ACTOR, key).await;
        let since = Instant::now();
        loop {
            let answer = self.engine.call(&id, "ping").await;
            if let Ok(actor) = started.try_recv() {
                assert_eq!(actor.actor_id(), id);
                return actor;
            }
            assert!(since.elapsed() < PATIENCE, "{answer:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The same actor, after it has slept.
    pub async fn again(&self, actor: &ActorContext, key: &str) -> ActorContext {
        actor.sleep().unwrap();
        timeout(PATIENCE, actor.actor_abort_signal().cancelled()).await.unwrap();
        self.awake(key).await
    }
}

async fn run(start: ActorStart, starts: mpsc::UnboundedSender<ActorContext>) -> Result<(), anyhow::Error> {
    let ActorStart { ctx, mut events, .. } = start;
    // The test may be over.
    let _ = starts.send(ctx);
    while let Some(event) = events.recv().await {
        match event {
            ActorEvent::SerializeState { reply, .. } => reply.send(Ok(Vec::new())),
            ActorEvent::Action { reply, .. } => reply.send(Ok(vec![0xf6])),
            ActorEvent::ConnectionPreflight { reply, .. }
            | ActorEvent::ConnectionOpen { reply, .. }
            | ActorEvent::RunGracefulCleanup { reply, .. } => reply.send(Ok(())),
            _ => {}
        }
    }
    Ok(())
}
