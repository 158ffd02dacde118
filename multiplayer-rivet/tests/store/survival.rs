//! What returned is there after the engine died.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sandbox_agent_engine_harness::{Engine, IdleActors, PATIENCE};
use sandbox_agent_persist::{Inserted, SessionPersistDriver};
use tokio::time::{Instant, timeout};

use crate::kit::{Store, event, held, insert};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn what_returned_is_there_after_the_engine_was_killed() {
    let mut engine = Engine::start().await;
    let (actors, runner) = IdleActors::start(&engine).await;
    let actor = actors.awake("one").await;
    let store = Store::open(&actor).await.unwrap();
    let returned = Arc::new(AtomicU64::new(0));
    let (writing, counter) = (store.clone(), returned.clone());
    let writer = tokio::spawn(async move {
        for index in (1..).step_by(3) {
            let batch: Vec<_> = (index..index + 3).map(|index| event(index, 400)).collect();
            match writing.insert_events("s", batch).await {
                Ok(Inserted::Stored) => counter.store(index + 2, Ordering::SeqCst),
                // What the engine's end came into.
                Ok(_) | Err(_) => break,
            }
        }
    });
    let since = Instant::now();
    while returned.load(Ordering::SeqCst) < 60 {
        assert!(since.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    engine.crash().await;
    timeout(PATIENCE, writer).await.unwrap().unwrap();

    let actor = actors.answering(actor).await;
    let store = Store::open(&actor).await.unwrap();
    let (returned, held) = (returned.load(Ordering::SeqCst), held(&store).await);
    let last = held.len() as u64;
    assert!((returned..=returned + 3).contains(&last), "{last} are held, and {returned} returned");
    assert!((1..).zip(&held).all(|(index, held)| *held == event(index, 400)));
    assert_eq!(insert(&store, &[event(last + 1, 400)]).await, Inserted::Stored);
    runner.stop().await;
}
