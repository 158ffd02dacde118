//! Connections that are cut at each kind of request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sandbox_agent_testkit::proxy::{Policy, Proxy};

/// How often requests of each kind came, such as `PUT /v1/fs/file`.
#[derive(Clone, Default)]
pub(super) struct Cuts(Arc<Mutex<BTreeMap<String, u32>>>);

impl Cuts {
    /// From now on the first request of each kind is cut before it arrives, the second when it was done and before it is
    /// answered. Of those with content some are cut in the middle of it, and of programs that are run some more.
    pub(super) fn through(proxy: &Proxy) -> Self {
        let cuts = Self::default();
        let counts = cuts.0.clone();
        proxy.policy(move |line| {
            let kind = line.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
            let mut counts = counts.lock().unwrap();
            let count = counts.entry(kind.clone()).or_default();
            *count += 1;
            match (*count, kind.as_str()) {
                (1, _) => Policy::refuse(),
                (2, _) => Policy::pass().cut_after(1),
                (count, "PUT /v1/fs/file") if count % 40 == 3 => Policy::pass().cut_after_sent(500_000),
                (count, "GET /v1/fs/file") if count % 15 == 3 => Policy::pass().cut_after(2_000_000),
                (3, "POST /v1/fs/upload-batch") => Policy::pass().cut_after_sent(500_000),
                (count, "POST /v1/processes/run") if count % 50 == 3 => Policy::pass().cut_after(1),
                _ => Policy::pass(),
            }
        });
        cuts
    }

    /// Each of these kinds was cut both ways at least.
    pub(super) fn assert_all_of(&self, kinds: &[&str]) {
        let counts = self.0.lock().unwrap();
        for kind in kinds {
            assert!(counts.get(*kind).is_some_and(|count| *count >= 2), "{kind} of {counts:?}");
        }
    }
}
