//! The process's side of the engine: where its actors run.

use rivetkit_core::{ActorFactory, CoreRegistry, EngineSpawnMode, ServeConfig};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{Engine, PATIENCE};

/// The runtime has one registry in a process.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Runs actors in this process. There is one at a time: the next is started when this one has stopped.
#[derive(Debug)]
pub struct Runner {
    stop: CancellationToken,
    registry: JoinHandle<Result<(), String>>,
    _alone: MutexGuard<'static, ()>,
}

impl Runner {
    /// Serves actors of these names to the engine, once no other runner does.
    pub async fn start(
        engine: &Engine,
        factories: impl IntoIterator<Item = (&'static str, ActorFactory)>,
    ) -> Self {
        let alone = ALONE.lock().await;
        let mut registry = CoreRegistry::new();
        for (name, factory) in factories {
            registry.register(name, factory);
        }
        let config = ServeConfig {
            version: 1,
            endpoint: engine.url(),
            namespace: "default".to_owned(),
            pool_name: "default".to_owned(),
            engine_spawn: EngineSpawnMode::Never,
            ..ServeConfig::default()
        };
        let stop = CancellationToken::new();
        let served = registry.serve_with_config(config, stop.clone());
        let registry = tokio::spawn(async { served.await.map_err(|error| format!("{error:#}")) });
        Self { stop, registry, _alone: alone }
    }

    /// Stops the actors as a program does that was asked to end, and waits until they have. They save to
    /// the engine, so that this comes before it is dropped.
    pub async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.registry).await.unwrap().unwrap().unwrap();
    }
}
