//! A store that stands still under a fast agent: memory is bounded, and what is lost is named.

use std::sync::Arc;

use sandbox_agent_sdk::{Gap, GapCause, Limits, SandboxAgent, Session};

use crate::support::store::{GatedStore, Operation};
use crate::support::{assert_sound, begun, gaps, request, stored, updates};
use crate::{child, server};

const URL: &str = "STALLED_STORE_URL";
const MIB: usize = 1024 * 1024;
const QUEUE: usize = 16 * MIB;
/// What the bound allows beside the queue.
const BESIDE: usize = 32 * MIB;
/// 200 MB in all, far more than may be held.
const UPDATES: u64 = 200_000;

/// What this process holds in memory, and the most that it ever did.
fn memory(line: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    line.trim().split(' ').next().unwrap().parse::<usize>().unwrap() * 1024
}

/// Reads the process's events beside the SDK until the turn's response: the agent has written all of it.
async fn read_to_the_end(session: &Session) {
    let url = child::variable(URL).unwrap();
    let server_id = session.record().last_connection_id;
    let mut response = reqwest::get(format!("{url}/v1/acp/{server_id}")).await.unwrap();
    let mut end = Vec::new();
    while !String::from_utf8_lossy(&end).contains("\"stopReason\"") {
        let chunk = response.chunk().await.unwrap().unwrap();
        end.drain(..end.len().saturating_sub(64));
        end.extend_from_slice(&chunk);
    }
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn memory_is_bounded_and_the_loss_has_its_cause() {
    let server = server().await;
    // In a process of its own, whose memory is nobody else's.
    let output = child::run("stalled_store::a_process_whose_store_stands_still", &[(URL, server.url())]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_process_whose_store_stands_still() {
    let Some(url) = child::variable(URL) else { return };
    let driver = Arc::new(GatedStore::default());
    let limits = Limits::default().queue_bytes(QUEUE).store(std::time::Duration::from_secs(300));
    let sdk = SandboxAgent::builder(url).persist(driver.clone()).limits(limits).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt(format!("say begun; think 200; stream {UPDATES} size=1000"));
    begun(&mut turn).await;
    let before = memory("VmRSS:");
    let still = driver.hold(Operation::Insert);
    read_to_the_end(&session).await;
    let peak = memory("VmHWM:").saturating_sub(before);
    drop(still);
    assert!(peak <= QUEUE + BESIDE, "{} MiB above its start", peak / MIB);
    turn.await.unwrap();
    let events = stored(&driver, "one").await;
    assert_sound(&events);
    let gaps = gaps(&events);
    assert!(gaps.iter().any(|gap| gap.cause == GapCause::StoreTooSlow), "{gaps:?}");
    let missing: u64 = gaps.iter().map(Gap::missing).sum();
    assert_eq!(updates(&events).len() as u64 + missing, UPDATES);
}
