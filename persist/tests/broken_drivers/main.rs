//! The conformance suite finds each way to break the contract, in the case that it belongs to.
#![allow(clippy::unwrap_used)]

mod catalogue;
mod driver;
mod faults;
mod follow;
mod leases;
mod state;
mod upkeep;

use std::collections::BTreeSet;
use std::sync::Arc;

use sandbox_agent_persist::conformance::{
    CASES, ConformanceError, Harness, SENTENCES, a_history_of_this_seed, run_all,
};
use sandbox_agent_persist::{Capabilities, SessionPersistDriver, async_trait};
use tokio::task::JoinSet;

use driver::Driver;
use faults::FAULTS;
use faults::Fault::{self, *};

struct Broken(Driver);

impl Broken {
    fn new(fault: Fault) -> Self {
        Self(Driver::new(fault))
    }
}

#[async_trait]
impl Harness for Broken {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn fresh(&self) -> Arc<dyn SessionPersistDriver> {
        Arc::new(self.0.clone())
    }

    async fn reopen(&self) -> Option<Arc<dyn SessionPersistDriver>> {
        Some(Arc::new(match self.0.fault {
            PromisesToBeDurable => Driver::new(PromisesToBeDurable),
            _ => self.0.reopened(),
        }))
    }
}

/// The case that may find anything.
const RANDOM: &str = "a_random_history_comes_out_as_modelled";

/// What the cases of a sentence find, but for the random one.
async fn found(fault: Fault, sentence: usize) -> Vec<ConformanceError> {
    let mut found = Vec::new();
    for case in CASES.iter().filter(|case| case.sentence == sentence && case.name != RANDOM) {
        found.extend((case.run)(&Broken::new(fault)).await.err());
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_driver_without_a_fault_passes() {
    let report = run_all(|| Broken::new(Healthy)).await;
    assert!(report.failures.is_empty(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_fault_is_found() {
    let mut runs = JoinSet::new();
    for (fault, sentence) in FAULTS {
        runs.spawn(async { (*fault, *sentence, found(*fault, *sentence).await) });
    }
    let mut proven = BTreeSet::new();
    let mut unseen = Vec::new();
    for (fault, sentence, found) in runs.join_all().await {
        match found.iter().all(|error| error.sentence() == sentence) && !found.is_empty() {
            true => drop(proven.insert(sentence)),
            false => unseen.push((fault, sentence, found)),
        }
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
    assert_eq!(proven, (1..=SENTENCES.len()).collect(), "each sentence has a fault");
}

#[tokio::test]
async fn every_case_asks_for_just_the_parts_that_are_promised() {
    for (fault, part) in [(PromisesMoreThanItGives, "leases()"), (GivesMoreThanItPromises, "upkeep()")] {
        for case in CASES {
            let error = (case.run)(&Broken::new(fault)).await.unwrap_err();
            assert!(error.detail().contains(part), "{fault:?} in {}: {error}", case.name);
        }
    }
}

#[tokio::test]
async fn a_failure_names_the_sentence() {
    let report = run_all(|| Broken::new(AcceptsHoles)).await;
    let shown = report.to_string();
    let sentence = format!("sentence 4 of the contract is broken: {}", SENTENCES[3]);
    assert!(shown.contains(&sentence), "{shown}");
    assert!(shown.contains("insert_event at index"), "{shown}");
}

/// Some that a random history finds by itself, whatever its seed.
const FOUND_BY_CHANCE: [Fault; 16] = [
    MergesRecords,
    ListsSessionsById,
    AcceptsHoles,
    StoresDuplicates,
    PrintsPayloadsAnew,
    LosesEvents,
    GoesOnAfterARefusal,
    HasInclusiveBounds,
    KeepsDeletedEvents,
    EvictsTheNewest,
    FiltersAfterTheLimit,
    CountsRunsAsOne,
    SeeksRunsByTheirLast,
    HasCursorsInsideRuns,
    FoldsPartsOfRuns,
    CountsWhatWasFolded,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_random_history_finds_faults_by_itself() {
    for (fault, seed) in FOUND_BY_CHANCE.into_iter().flat_map(|fault| (1..=3).map(move |seed| (fault, seed)))
    {
        let played = a_history_of_this_seed(&Broken::new(fault), seed).await;
        assert!(played.is_err(), "{fault:?} with the seed {seed}");
    }
    for seed in 1..=10 {
        let played = a_history_of_this_seed(&Broken::new(Healthy), seed).await;
        assert_eq!(played, Ok(()), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_seed_makes_the_same_history_again() {
    let failure =
        async |seed| a_history_of_this_seed(&Broken::new(FoldsPartsOfRuns), seed).await.unwrap_err();
    let first = failure(7).await;
    assert_eq!(first, failure(7).await);
    assert_ne!(first, failure(8).await);
    let shown = first.to_string();
    assert!(shown.contains("CONFORMANCE_SEED=7"), "{shown}");
    assert!(shown.contains("fold("), "{shown}");
}
