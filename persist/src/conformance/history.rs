//! Random histories, beside a model of the store.

use fastrand::Rng;
use tokio::task::JoinSet;

use super::kit::{Outcome, Subject, events, handles};
use super::player::{OPENED_AGAIN, Player};
use super::{ConformanceError, EVICTS_BY, Harness};
use crate::Inserted;

/// The environment variable with the seed of the random history; a new one each time unless it is set.
pub const SEED_VARIABLE: &str = "CONFORMANCE_SEED";

/// The moves of the player that is alone with the store.
const ALONE: usize = 500;

/// How many players there are at once after that, and the moves of each.
const PLAYERS: usize = 6;
const TOGETHER: usize = 80;

/// Sentences 1 to 24: a random history of calls does to the store what it does to a model of it.
///
/// First one caller is alone, and then there are several at once, each with sessions of its own. A
/// failure names the sentence that it breaks, the last calls and the seed; with that in the
/// environment variable [`SEED_VARIABLE`] the same calls come again.
pub async fn a_random_history_comes_out_as_modelled(harness: &dyn Harness) -> Outcome {
    let seed = match std::env::var(SEED_VARIABLE) {
        Err(_) => fastrand::u64(..),
        Ok(text) => match text.parse() {
            Ok(seed) => seed,
            Err(error) => {
                let detail = format!("{SEED_VARIABLE} is {text:?}, which is no seed: {error}");
                return Err(ConformanceError::new(8, detail));
            }
        },
    };
    println!("{SEED_VARIABLE}={seed}");
    a_history_of_this_seed(harness, seed).await
}

/// The random history of a seed of one's own: see [`a_random_history_comes_out_as_modelled`].
pub async fn a_history_of_this_seed(harness: &dyn Harness, seed: u64) -> Outcome {
    let played = play(harness, seed).await;
    played.map_err(|error| {
        let detail = format!("{}\n{SEED_VARIABLE}={seed} makes the same calls again", error.detail());
        ConformanceError::new(error.sentence(), detail)
    })
}

async fn play(harness: &dyn Harness, seed: u64) -> Outcome {
    let subject = Subject::new(8, harness).await?;
    let names = ["s", "S", "s/1", "s_1", "ü'%\"", "never written to, mostly"].map(str::to_owned).to_vec();
    let mut rng = Rng::with_seed(seed);
    let mut alone =
        Player::new(rng.fork(), handles(&subject, harness).await?, names, vec!["codex", "claude", ""]);
    if subject.promised.evicts {
        fill(&subject, &mut alone).await?;
        let compared = alone.compares_all().await;
        compared.map_err(|error| alone.told(error))?;
    }
    for part in 1..=3 {
        for _ in 0..ALONE / 3 {
            alone.play().await?;
        }
        if part < 3 && subject.promised.durable {
            open_again(&mut alone, harness).await?;
        }
    }
    let compared = alone.compares_all().await;
    compared.map_err(|error| alone.told(error))?;

    let mut players = JoinSet::new();
    for number in 0..PLAYERS {
        let names = vec![format!("player {number}"), format!("player {number}, too")];
        let agents = vec![["a", "b", "c", "d", "e", "f"][number % 6]];
        let mut player = Player::new(rng.fork(), alone.handles.clone(), names, agents);
        players.spawn(async move {
            for _ in 0..TOGETHER {
                player.play().await?;
            }
            let compared = player.compares_all().await;
            compared.map_err(|error| player.told(error))
        });
    }
    while let Some(player) = players.join_next().await {
        match player {
            Ok(outcome) => outcome?,
            Err(_) => return subject.broken("a call panicked in a random history"),
        }
    }
    let compared = alone.compares_all().await;
    compared.map_err(|error| alone.told(error))
}

/// So many events of one session that the store has evicted some.
async fn fill(subject: &Subject, player: &mut Player) -> Outcome {
    let s = player.names[0].clone();
    for first in (1..=EVICTS_BY).step_by(100) {
        let batch = events(&s, first..=(first + 99).min(EVICTS_BY));
        subject.insert_all(batch.clone(), Inserted::Stored, "to fill the store").await?;
        player.kept(&s).events.extend(batch);
    }
    Ok(())
}

/// Another opening takes the place of the handles so far, which stay open as those of a process that died would.
async fn open_again(player: &mut Player, harness: &dyn Harness) -> Outcome {
    let Some(store) = harness.reopen().await else { return Ok(()) };
    player.note_of_all(OPENED_AGAIN.to_owned());
    let reopened = player.handles[0].on(store)?;
    match reopened.promised.multi_process {
        true => player.handles.push(reopened),
        false => player.left.extend(std::mem::replace(&mut player.handles, vec![reopened])),
    }
    Ok(())
}
