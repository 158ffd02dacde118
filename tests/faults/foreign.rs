//! What other programs, other clocks and agents put into a record is taken as it comes.

use std::time::{SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use sandbox_agent_sdk::{SandboxAgent, Session, SessionPersistDriver};
use sandbox_agent_testkit::Sandbox;
use serde_json::json;
use tokio::time::timeout;

use crate::{MOMENT, PATIENCE, first, limits, sandbox, sdk_on, server};

#[tokio::test]
async fn an_opening_in_the_future_of_this_clock_is_no_hang() {
    let sandbox = sandbox().await;
    let (driver, sdk, _session) = first(&sandbox).await;
    sdk.close().await.unwrap();
    let mut record = driver.get_session("one").await.unwrap().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let ahead = u64::try_from(now).unwrap() + 3_600_000;
    record.last_connection_id = "never-started".into();
    record.extra.insert("_sandboxAgent".into(), json!({ "opening": ahead }));
    driver.update_session(record).await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let opened = timeout(PATIENCE, sdk.resume_session("one")).await;
    opened.expect("resuming lasts as long as the other clock is ahead").unwrap();
}

/// A session whose record says that a long turn runs whose prompt has this index.
async fn with_turn_at(sandbox: &Sandbox, index: u64) -> (SandboxAgent, Session) {
    let (driver, sdk, session) = first(sandbox).await;
    let process = server(&session);
    sdk.detach().await.unwrap();
    let mut record = driver.get_session("one").await.unwrap().unwrap();
    let turn = json!({"serverId": process, "rpcId": "\"x\"", "index": index});
    record.extra.insert("_sandboxAgent".into(), json!({ "turn": turn }));
    driver.update_session(record).await.unwrap();
    let sdk = sdk_on(sandbox, driver, limits().unconfirmed(MOMENT).cancel(MOMENT)).await;
    let session = sdk.resume_session("one").await.unwrap().session;
    (sdk, session)
}

#[tokio::test]
async fn an_index_out_of_reach_in_the_record_is_no_hang() {
    let sandbox = sandbox().await;
    let (_sdk, session) = with_turn_at(&sandbox, u64::MAX).await;
    timeout(PATIENCE, session.prompt("say hello")).await.expect("no prompt ends any more").unwrap();
}

#[tokio::test]
async fn an_index_of_zero_in_the_record_is_no_panic() {
    let sandbox = sandbox().await;
    let (_sdk, session) = with_turn_at(&sandbox, 0).await;
    let mut turn = session.running_turn().unwrap();
    let read = tokio::spawn(async move { turn.next().await.is_some() });
    assert!(timeout(PATIENCE, read).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_gap_that_an_agent_makes_up_is_no_panic() {
    let sandbox = sandbox().await;
    let (_driver, _sdk, session) = first(&sandbox).await;
    let gap = json!({"serverId": "x", "from": 0, "to": u64::MAX, "cause": "too_large"});
    let turn = session.prompt(format!("notify _sandbox_agent/gap {gap}; say over"));
    timeout(PATIENCE, turn).await.unwrap().unwrap();
}
