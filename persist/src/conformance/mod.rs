//! The suite that proves a driver: one case for each sentence of the
//! [contract](crate::SessionPersistDriver#the-contract).
//!
//! Say how a store is made, and let [`conformance_tests!`](crate::conformance_tests) write
//! one test a case:
//!
//! ```
//! # /*
//! #[cfg(test)]
//! mod conformance {
//! # */
//! use std::sync::Arc;
//! use sandbox_agent_persist::conformance::Harness;
//! use sandbox_agent_persist::{Capabilities, SessionPersistDriver, async_trait};
//! # use sandbox_agent_persist_memory::{MemoryOptions, MemorySessionPersistDriver as MyDriver};
//!
//! struct Mine(MyDriver);
//!
//! #[async_trait]
//! impl Harness for Mine {
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::new().evicts().leases().follows().upkeep()
//!     }
//!     async fn fresh(&self) -> Arc<dyn SessionPersistDriver> {
//!         Arc::new(self.0.clone())
//!     }
//! }
//!
//! sandbox_agent_persist::conformance_tests!(Mine(MyDriver::with_options(
//!     MemoryOptions::new().max_events_per_session(1000)
//! )));
//! # /*
//! }
//! # */
//! ```
//!
//! The crate needs `sandbox-agent-persist` with the feature `conformance` among its
//! dev-dependencies and nothing else: the tests bring their runtime. A runner of one's own
//! goes through [`CASES`] or calls [`run_all`].
//!
//! # What is asked of whom
//! What [`Harness::capabilities`] promises decides what the cases ask. A driver has to promise just that,
//! and to give just the parts that it promises.
//!
//! | promised | then |
//! | --- | --- |
//! | `durable` | what returned is looked for through [`Harness::reopen`] (18, 20), which must give a store |
//! | `multi_process` | `reopen` gives a second handle, and cases use both at once (8, 10, 24 to 31) |
//! | `evicts` | 2,000 small events of a session must evict some, and 500 must not: see [`HOLDS`] and [`EVICTS_BY`] (16, 17); otherwise all must stay |
//! | `upkeep` | 22 and 23 |
//! | `follows` | 24 |
//! | `leases` | 25 to 31; a lease must also be able to end within some ten milliseconds |
//!
//! Of what is not promised a case asks nothing, and passes.
//!
//! A case has a store of its own, its calls are bounded by [`PATIENCE`] in all, and a failure tells the
//! sentence, what was done, what came of it and what should have.
//!
//! # The random history
//! [`a_random_history_comes_out_as_modelled`] makes random calls of a random seed, compares the store with a model
//! of it, and prints the seed. With the seed in the environment variable [`CONFORMANCE_SEED`](SEED_VARIABLE) it
//! makes the same calls again. [`a_history_of_this_seed`] is for a loop over many seeds.

mod catalogue;
mod concurrency;
mod deletion;
mod dice;
mod durability;
mod events;
mod fences;
mod folds;
mod follow;
mod history;
mod kit;
mod leases;
mod lists;
mod model;
mod moves;
mod pages;
mod player;
mod records;
mod report;
mod runs;
mod tenure;
mod upkeep;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use catalogue::*;
pub use concurrency::*;
pub use deletion::*;
pub use durability::*;
pub use events::*;
pub use fences::*;
pub use folds::*;
pub use follow::*;
pub use history::*;
pub use leases::*;
pub use lists::*;
pub use records::*;
pub use report::{ConformanceError, Report, SENTENCES};
pub use runs::*;
pub use upkeep::*;

use crate::{Capabilities, SessionPersistDriver};

/// How many events of a session a store that evicts must hold, at the least, for the suite.
pub const HOLDS: u64 = 500;

/// By how many small events of a session a store that evicts must have evicted one.
pub const EVICTS_BY: u64 = 2_000;

/// How long a case may take before it counts as hanging; a minute, for slow disks.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the stores that are tested. Each case has a harness of its own.
#[async_trait]
pub trait Harness: Send + Sync {
    /// What the driver is meant to promise; each case compares it with what it does promise.
    fn capabilities(&self) -> Capabilities;

    /// An empty store; asked for once in a case. If it evicts, then within [`HOLDS`] and [`EVICTS_BY`].
    async fn fresh(&self) -> Arc<dyn SessionPersistDriver>;

    /// Another handle of the store, as another process would open it, while the handles before stay open.
    /// `None` if it can't be had, which a durable store may not say. Of a store that is not `multi_process` the
    /// handles before are not used any more, so that a copy of what is on the disk will do.
    async fn reopen(&self) -> Option<Arc<dyn SessionPersistDriver>> {
        None
    }
}

/// A case that is running.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<(), ConformanceError>> + Send + 'a>>;

/// One case of the suite.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Case {
    /// The sentence of the contract that it tests, from 1. The random history may break any of 1 to 24,
    /// and goes under 8, that what returned is seen.
    pub sentence: usize,
    /// The name of its function and of its test.
    pub name: &'static str,
    /// Runs it. Needs a tokio runtime with time.
    pub run: for<'a> fn(&'a dyn Harness) -> Running<'a>,
}

/// Runs every case, each with a harness of its own, and tells which failed.
pub async fn run_all<H: Harness>(harness: impl Fn() -> H) -> Report {
    let mut report = Report::default();
    for case in CASES {
        report.failures.extend(run_case(case, &harness()).await.err());
    }
    report
}

async fn run_case(case: &Case, harness: &dyn Harness) -> Result<(), ConformanceError> {
    let run = tokio::time::timeout(PATIENCE, (case.run)(harness));
    run.await.unwrap_or_else(|_| {
        let detail = format!("the case did not end within {PATIENCE:?}");
        Err(ConformanceError::new(case.sentence, detail))
    })
}

/// Runs one case as a test does.
#[doc(hidden)]
#[track_caller]
pub fn run_test(name: &str, harness: &dyn Harness) {
    let case = CASES.iter().find(|case| case.name == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    match (case, runtime) {
        (Some(case), Ok(runtime)) => {
            if let Err(broken) = runtime.block_on(run_case(case, harness)) {
                panic!("{broken}");
            }
        }
        (None, _) => panic!("no case {name:?}"),
        (_, Err(error)) => panic!("no runtime: {error}"),
    }
}

/// The list of cases, handed to a macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __with_conformance_cases {
    ($then:ident $($argument:tt)*) => {
        $crate::$then! {
            [$($argument)*]
            1 update_replaces_the_whole_record
            2 get_gives_what_was_last_stored
            3 sessions_are_listed_once_and_in_order
            4 only_the_next_index_is_stored
            5 a_known_id_is_a_duplicate
            6 events_come_back_byte_for_byte_and_in_order
            7 each_session_counts_for_itself
            8 an_insert_that_returned_is_seen
            9 a_batch_stops_at_the_first_refusal
            10 of_many_at_once_exactly_one_is_stored
            11 a_dropped_call_leaves_nothing_torn
            12 cursors_give_every_item_once
            13 bounds_are_exclusive_and_pages_limited
            14 a_foreign_cursor_is_refused
            15 deletion_takes_one_session_whole
            16 eviction_takes_only_the_oldest
            17 an_evicted_position_is_an_error
            18 what_returned_survives_reopening
            19 a_filter_picks_what_it_matches
            20 a_run_takes_all_its_indexes
            21 a_run_is_listed_once_if_any_index_is_within
            22 a_fold_takes_the_place_of_its_run
            23 usage_counts_what_lists_give
            24 whoever_waits_is_told
            25 one_holder_at_a_time_is_granted
            26 each_grant_has_a_larger_token
            27 a_lease_in_force_fences_others
            28 a_lease_that_is_over_writes_nothing
            29 a_take_over_is_granted_at_once
            30 a_lease_is_renewed_and_released
            31 the_holder_is_whoever_has_the_lease
            8 a_random_history_comes_out_as_modelled
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_list {
    ([] $($sentence:literal $name:ident)*) => {
        /// Every case, in the order of the contract's sentences.
        pub const CASES: &[Case] = &[$(Case {
            sentence: $sentence,
            name: stringify!($name),
            run: |harness| Box::pin($name(harness)),
        }),*];
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_functions {
    ([() $harness:expr] $($sentence:literal $name:ident)*) => {
        $(#[test]
        fn $name() {
            $crate::conformance::run_test(stringify!($name), &$harness);
        })*
    };
    ([(#[$attribute:meta]) $harness:expr] $($sentence:literal $name:ident)*) => {
        $(#[test]
        #[$attribute]
        fn $name() {
            $crate::conformance::run_test(stringify!($name), &$harness);
        })*
    };
}

/// Writes one `#[test]` for each case of the suite, with a new [`Harness`](crate::conformance::Harness) from the
/// expression.
///
/// The tests have the cases' names: two drivers, or two harnesses of one, go into modules of their own. One
/// attribute may go before the expression, for instance of a store that `cargo test` can't assume:
///
/// ```
/// # use sandbox_agent_persist::{Capabilities, SessionPersistDriver, async_trait};
/// # struct Remote;
/// # #[async_trait]
/// # impl sandbox_agent_persist::conformance::Harness for Remote {
/// #     fn capabilities(&self) -> Capabilities { Capabilities::new() }
/// #     async fn fresh(&self) -> std::sync::Arc<dyn SessionPersistDriver> { unimplemented!() }
/// # }
/// sandbox_agent_persist::conformance_tests!(#[ignore = "needs the server at REMOTE_URL"] Remote);
/// ```
#[macro_export]
macro_rules! conformance_tests {
    (#[$attribute:meta] $harness:expr $(,)?) => {
        $crate::__with_conformance_cases! { __conformance_functions (#[$attribute]) $harness }
    };
    ($harness:expr $(,)?) => {
        $crate::__with_conformance_cases! { __conformance_functions () $harness }
    };
}

crate::__with_conformance_cases! { __conformance_list }
