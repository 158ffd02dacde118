//! One test.

use std::time::Duration;

use rivetkit_core::ActorFactory;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::{Actors, Engine, PATIENCE, Runner};

/// Tests take turns, so that no engine runs only to wait for a runner.
static TURN: Mutex<()> = Mutex::const_new(());

/// Plays a scenario with an engine of its own, and with actors of these names. It has
/// [`PATIENCE`] for it.
///
/// # Panics
/// When the scenario does, after all has been stopped.
pub async fn play<F>(
    factories: impl IntoIterator<Item = (&'static str, ActorFactory)>,
    scenario: impl FnOnce(Actors) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    play_within(PATIENCE, factories, scenario).await;
}

/// Plays a scenario as [`play`] does, one that takes longer or should not.
///
/// # Panics
/// When the scenario does, after all has been stopped.
pub async fn play_within<F>(
    patience: Duration,
    factories: impl IntoIterator<Item = (&'static str, ActorFactory)>,
    scenario: impl FnOnce(Actors) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let turn = TURN.lock().await;
    let engine = Engine::start().await;
    let runner = Runner::start(&engine, factories).await;
    let scenario = timeout(patience, scenario(Actors::of(&engine)));
    let played = tokio::spawn(async { scenario.await.expect("the scenario has come to its end") }).await;
    runner.stop().await;
    drop((engine, turn));
    if let Err(failed) = played {
        std::panic::resume_unwind(failed.into_panic());
    }
}
