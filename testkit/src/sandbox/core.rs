//! What the parts of a sandbox share.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::builder::Options;
use super::journal::Journal;
use super::plan::Plan;
use super::process::Process;
use super::stream::Streams;
use super::wire::Lines;
use crate::agent::Archive;

pub(super) struct Core {
    pub(super) options: Options,
    pub(super) lines: Arc<Lines>,
    pub(super) streams: Streams,
    /// What the agents' sessions leave to later processes.
    pub(super) archive: Arc<Archive>,
    processes: Mutex<HashMap<String, Arc<Process>>>,
    last_pid: AtomicU32,
    plan: Mutex<Plan>,
    journal: Mutex<Journal>,
    panics: Mutex<Vec<String>>,
    changes: watch::Sender<u64>,
}

impl Core {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            lines: Arc::default(),
            streams: Streams::default(),
            archive: Arc::new(Archive::in_memory()),
            processes: Mutex::default(),
            last_pid: AtomicU32::new(1000),
            plan: Mutex::default(),
            journal: Mutex::default(),
            panics: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    pub(super) fn processes(&self) -> MutexGuard<'_, HashMap<String, Arc<Process>>> {
        lock(&self.processes)
    }

    pub(super) fn process(&self, server: &str) -> Option<Arc<Process>> {
        self.processes().get(server).cloned()
    }

    pub(super) fn next_pid(&self) -> u32 {
        self.last_pid.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn plan(&self) -> MutexGuard<'_, Plan> {
        lock(&self.plan)
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    /// Wakes those who wait for a condition.
    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn panicked(&self, who: &str, panic: &(dyn Any + Send)) {
        let said = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        let said = said.unwrap_or_else(|| "no message".to_owned());
        lock(&self.panics).push(format!("{who} panicked: {said}"));
    }

    pub(super) fn panics(&self) -> Vec<String> {
        lock(&self.panics).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
