//! It keeps the contract.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rivetkit_core::ActorContext;
use sandbox_agent_engine_harness::{IdleActors, with_idle_actors};
use sandbox_agent_multiplayer_rivet::RivetSqlSessionPersistDriver;
use sandbox_agent_persist::conformance::{Harness, run_all};
use sandbox_agent_persist::{Capabilities, SessionPersistDriver, async_trait};
use tokio::sync::Mutex;

/// An actor for each case.
struct Fresh {
    actors: Arc<IdleActors>,
    key: String,
    actor: Mutex<Option<ActorContext>>,
}

#[async_trait]
impl Harness for Fresh {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().durable().follows().upkeep()
    }

    async fn fresh(&self) -> Arc<dyn SessionPersistDriver> {
        let actor = self.actors.awake(&self.key).await;
        let store = RivetSqlSessionPersistDriver::open(&actor).await.unwrap();
        *self.actor.lock().await = Some(actor);
        Arc::new(store)
    }

    /// In the actor that wakes after this one slept.
    async fn reopen(&self) -> Option<Arc<dyn SessionPersistDriver>> {
        let mut actor = self.actor.lock().await;
        let again = self.actors.again(actor.as_ref()?, &self.key).await;
        let store = RivetSqlSessionPersistDriver::open(&again).await.unwrap();
        *actor = Some(again);
        Some(Arc::new(store))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn it_keeps_the_contract() {
    with_idle_actors(Duration::from_secs(300), |actors| async move {
        let actors = Arc::new(actors);
        let cases = AtomicUsize::new(0);
        let report = run_all(|| Fresh {
            actors: actors.clone(),
            key: format!("case {}", cases.fetch_add(1, Ordering::Relaxed)),
            actor: Mutex::default(),
        })
        .await;
        assert!(report.failures.is_empty(), "{report}");
    })
    .await;
}
