//! Actors in this process that keep sessions in their state.

use std::time::{Duration, Instant};

use rivetkit_core::{ActorConfig, ActorContext, ActorEvent, ActorFactory, ActorStart};
use sandbox_agent_engine_harness::{PATIENCE, play};
use sandbox_agent_persist_rivet_actor::RivetActorState;
use sandbox_agent_persist_rivet_json::{RivetJsonOptions, RivetJsonSessionPersistDriver};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

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

/// Plays a scenario with an engine of its own, and stops the actors before the engine: they save to it.
pub(crate) async fn with_actors<F>(kind: Kind, scenario: impl FnOnce(Actors) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (starts, started) = mpsc::unbounded_channel();
    let config = ActorConfig {
        name: Some(ACTOR.to_owned()),
        has_state: true,
        remote_sqlite: true,
        ..ActorConfig::default()
    };
    let run = move |start| Box::pin(run(start, kind.clone(), starts.clone())) as _;
    play([(ACTOR, ActorFactory::new(config, run))], |engine| scenario(Actors { engine, started })).await;
}

/// What a scenario has to do with.
pub(crate) struct Actors {
    engine: sandbox_agent_engine_harness::Actors,
    started: mpsc::UnboundedReceiver<Started>,
}

impl Actors {
    /// Makes an actor, and gives its id.
    pub(crate) async fn create(&self) -> String {
        self.engine.create(ACTOR, "one").await
    }

    /// Waits until the actor was started. A call wakes it, if it sleeps.
    pub(crate) async fn awake(&mut self, id: &str) -> Started {
        let since = Instant::now();
        loop {
            let answer = self.engine.call(id, "ping").await;
            if let Ok(started) = self.started.try_recv() {
                return started;
            }
            assert!(since.elapsed() < PATIENCE, "{answer:?}");
            sleep(Duration::from_millis(50)).await;
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
