//! Runs many seeds at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use sandbox_agent_sdk::serde_json;
use tempfile::TempDir;

use crate::faults::Tally;
use crate::history::History;
use crate::log::Line;
use crate::oracle::{self, Verdict};
use crate::plan::{Plan, Server};
use crate::report::{Failure, Report};
use crate::{world_real, world_testkit};

/// When no seed of the testkit, whose time is paused, comes to an end for so long, one hangs.
const STANDSTILL: Duration = Duration::from_secs(120);

pub(crate) struct Options {
    pub(crate) server: Server,
    pub(crate) start: u64,
    pub(crate) seeds: u64,
    pub(crate) jobs: usize,
    /// Where the logs of seeds that fail are kept.
    pub(crate) folder: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<(Report, BTreeMap<String, u64>)> {
    std::fs::create_dir_all(&options.folder)?;
    let tally = Tally::default();
    let (next, end) = (AtomicU64::new(options.start), options.start + options.seeds);
    let running = Mutex::new(Vec::new());
    let (done, results) = mpsc::channel();
    let mut report = Report::default();
    thread::scope(|scope| {
        for _ in 0..jobs(options) {
            let (tally, next, running, done) = (&tally, &next, &running, done.clone());
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    running.lock().unwrap_or_else(PoisonError::into_inner).push(seed);
                    let result = one(seed, options, tally);
                    running.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != seed);
                    if done.send(result).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        loop {
            let result = match options.server {
                Server::Real => results.recv().map_err(Into::into),
                Server::Testkit => results.recv_timeout(STANDSTILL),
            };
            match result {
                Ok(Ok((verdict, failure))) => {
                    report.add(&verdict);
                    failure.into_iter().for_each(|failure| report.fail(failure));
                }
                Ok(Err(error)) => return Err(error),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    // Threads can't be ended: the process is.
                    let running = running.lock().unwrap_or_else(PoisonError::into_inner);
                    eprintln!("hung: none of the seeds {running:?} came to an end within {STANDSTILL:?}");
                    std::process::exit(1);
                }
            }
        }
    })?;
    Ok((report, tally.counts()))
}

fn jobs(options: &Options) -> usize {
    match options.server {
        Server::Real => options.jobs.max(1),
        // They never wait: more threads than cores bring nothing.
        Server::Testkit => options.jobs.clamp(1, thread::available_parallelism().map_or(1, usize::from)),
    }
}

fn one(seed: u64, options: &Options, tally: &Tally) -> Result<(Verdict, Option<Failure>)> {
    let plan = Plan::new(seed, options.server);
    let folder = tempfile::Builder::new().prefix(&format!("seed-{seed}-")).tempdir_in(&options.folder)?;
    let history = match options.server {
        Server::Real => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(world_real::run(&plan, folder.path(), tally))
        }
        Server::Testkit => {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world_testkit::run(&plan, tally)))
                .unwrap_or_else(|_| Err(anyhow!("panicked")))
        }
    };
    let history = match history {
        Ok(history) => history,
        Err(error) => {
            let failure = Failure::broken(seed, keep(folder, &plan), &error);
            return Ok((Verdict::default(), Some(failure)));
        }
    };
    let verdict = oracle::judge(&history);
    tally.count("agent-exit", verdict.agent_exits);
    for entry in &history.client {
        if let Line::Trouble { kind } = &entry.line {
            tally.count(kind, 1);
        }
    }
    if verdict.findings.is_empty() {
        return Ok((verdict, None));
    }
    dump(&history, folder.path())?;
    let failure = Failure::of_verdict(seed, keep(folder, &plan), &verdict);
    Ok((verdict, Some(failure)))
}

fn keep(folder: TempDir, plan: &Plan) -> PathBuf {
    let folder = folder.keep();
    // Only a help for whoever looks at it.
    let _ = std::fs::write(folder.join("plan.txt"), format!("{plan:#?}\n"));
    folder
}

/// Writes down what the oracle judged.
fn dump(history: &History, folder: &Path) -> Result<()> {
    for session in &history.sessions {
        let events = session.events.iter().map(serde_json::to_string);
        let events: Result<Vec<_>, _> = events.collect();
        std::fs::write(folder.join(format!("store-{}.jsonl", session.id)), events?.join("\n"))?;
    }
    let client: Result<Vec<_>, _> = history.client.iter().map(serde_json::to_string).collect();
    std::fs::write(folder.join("client.jsonl"), client?.join("\n"))?;
    for (number, process) in history.processes.iter().enumerate() {
        let received = process.received.iter().map(|line| format!("<   {line}"));
        let sent =
            process.sent.iter().zip(1..).map(|(sent, id)| format!("> {id} {} {}", sent.at_ms, sent.line));
        let lines: Vec<_> = received.chain(sent).collect();
        std::fs::write(folder.join(format!("agent-{number}.txt")), lines.join("\n"))?;
    }
    Ok(())
}
