//! Actors in this process that do nothing but keep a store open.

use std::time::{Duration, Instant};

use rivetkit_core::{ActorConfig, ActorContext, ActorEvent, ActorFactory, ActorStart};
use sandbox_agent_engine_harness::{PATIENCE, play_within};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{sleep, timeout};

const ACTOR: &str = "store";

/// Plays a scenario with an engine of its own, within this time.
pub(crate) async fn with_actors<F>(patience: Duration, scenario: impl FnOnce(Actors) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (starts, started) = mpsc::unbounded_channel();
    let config = ActorConfig {
        name: Some(ACTOR.to_owned()),
        remote_sqlite: true,
        // It is the scenario that puts them to sleep.
        sleep_timeout: Duration::from_secs(3_600),
        ..ActorConfig::default()
    };
    let factory = ActorFactory::new(config, move |start| Box::pin(run(start, starts.clone())));
    let scenario = |engine| scenario(Actors { engine, started: Mutex::new(started) });
    play_within(patience, [(ACTOR, factory)], scenario).await;
}

/// The actors of a scenario.
pub(crate) struct Actors {
    pub(crate) engine: sandbox_agent_engine_harness::Actors,
    started: Mutex<mpsc::UnboundedReceiver<ActorContext>>,
}

impl Actors {
    /// The actor of this key, made if there is none, and awake.
    pub(crate) async fn awake(&self, key: &str) -> ActorContext {
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
    pub(crate) async fn again(&self, actor: &ActorContext, key: &str) -> ActorContext {
        actor.sleep().unwrap();
        timeout(PATIENCE, actor.actor_abort_signal().cancelled()).await.unwrap();
        self.awake(key).await
    }
}

async fn run(start: ActorStart, starts: mpsc::UnboundedSender<ActorContext>) -> anyhow::Result<()> {
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
