//! Calls: bounded, sent once, and never twice where that matters.

use std::time::Duration;

use futures::future::join_all;
use sandbox_agent_sdk::Delivery;
use tokio::time::{Instant, sleep, timeout};

use super::host::Host;
use super::{EVER, becomes, connected, is_connected};
use crate::call::Call;
use crate::client::{ClientLimits, Status, WhileAway, WorkspaceClient};
use crate::error::{Error, ErrorKind};
use crate::prompt::NewPrompt;

fn prompt(id: &str) -> Call {
    Call::Prompt(NewPrompt::with_id(id, "plum"))
}

/// What was sent that changes something.
fn sent(host: &Host) -> Vec<Call> {
    let reads = ["getSessionInfo", "getSequencedEvents", "getFramePart"];
    let calls = host.state().calls.clone();
    calls.into_iter().filter(|call| !reads.contains(&call.action())).collect()
}

async fn away(host: &Host, client: &WorkspaceClient) {
    host.state().refuse = Some(Error::new(ErrorKind::Disconnected, "the host is away"));
    host.cut();
    becomes(client, |status| matches!(status, Status::Reconnecting { .. })).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gets_no_answer_ends_and_says_that_it_may_have_arrived() {
    let host = Host::with(1);
    let limits = ClientLimits::default().answer(EVER);
    let client = WorkspaceClient::builder(host.clone()).limits(limits).connect().await.unwrap();
    host.mute(true);
    let start = Instant::now();
    let error = client.take_control().await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::TimedOut, Some(Delivery::Unknown)));
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_left_ends_and_says_so_and_is_not_sent_later() {
    let host = Host::with(1);
    let client = connected(&host).await;
    away(&host, &client).await;
    let error = client.take_control().await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::TimedOut, Some(Delivery::NotSent)));
    let dropped = timeout(Duration::from_secs(1), client.take_control()).await;
    assert!(dropped.is_err());
    host.state().refuse = None;
    becomes(&client, is_connected).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(sent(&host), []);
}

#[tokio::test(start_paused = true)]
async fn calls_made_while_away_are_sent_once_and_in_order() {
    let host = Host::with(1);
    let client = connected(&host).await;
    away(&host, &client).await;
    let wanted: Vec<_> = (0..20).map(|at| prompt(&at.to_string())).collect();
    let calls = wanted.iter().map(|call| client.call(call.clone()));
    let coming_back = async {
        sleep(Duration::from_secs(3)).await;
        host.state().refuse = None;
    };
    let (answers, ()) = tokio::join!(join_all(calls), coming_back);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(sent(&host), wanted);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_calls_wait_and_none_where_the_policy_says_so() {
    let host = Host::with(1);
    let limits = ClientLimits::default().waiting(2).calls(4);
    let client = WorkspaceClient::builder(host.clone()).limits(limits).connect().await.unwrap();
    away(&host, &client).await;
    let answers = join_all((0..6).map(|_| client.take_control())).await;
    let kinds: Vec<_> = answers.into_iter().map(|answer| answer.unwrap_err().kind().clone()).collect();
    use ErrorKind::{Full, TimedOut};
    assert_eq!(kinds, [TimedOut, TimedOut, Full, Full, Full, Full]);

    let builder = WorkspaceClient::builder(host.clone()).while_away(WhileAway::Fail);
    host.state().refuse = None;
    let client = builder.connect().await.unwrap();
    away(&host, &client).await;
    let error = client.prompt(NewPrompt::new("plum")).await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::Disconnected, Some(Delivery::NotSent)));
}

#[tokio::test(start_paused = true)]
async fn what_is_safe_is_sent_again_after_a_loss_and_nothing_else() {
    let host = Host::with(1);
    let client = connected(&host).await;
    host.mute(true);
    let losing = async {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(sent(&host).len(), 2);
        host.cut();
        becomes(&client, |status| matches!(status, Status::Reconnecting { .. })).await;
        host.mute(false);
    };
    let taking = client.take_control();
    let prompting = client.call(prompt("a"));
    let reading = client.page(0, 1);
    let (taken, prompted, read, ()) = tokio::join!(taking, prompting, reading, losing);
    let error = taken.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::Disconnected, Some(Delivery::Unknown)));
    prompted.unwrap();
    read.unwrap();
    assert_eq!(sent(&host), [Call::TakeControl {}, prompt("a"), prompt("a")]);
}

#[tokio::test(start_paused = true)]
async fn the_hosts_errors_come_as_they_are() {
    let host = Host::with(1);
    let client = connected(&host).await;
    host.state().fail = Some(Error::new(ErrorKind::StaleControl { term: 4 }, "stale"));
    let error = client.prompt(NewPrompt::new("plum")).await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::StaleControl { term: 4 }, None));
    assert_eq!(host.state().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_finds_the_connection_gone_ends_it() {
    let host = Host::with(1);
    let client = connected(&host).await;
    let gone = Error::new(ErrorKind::Disconnected, "gone").with_delivery(Delivery::NotSent);
    host.state().fail = Some(gone);
    let coming_back = async {
        becomes(&client, |status| matches!(status, Status::Reconnecting { .. })).await;
        host.state().fail = None;
        becomes(&client, is_connected).await;
    };
    let (taken, ()) = tokio::join!(client.call(Call::TakeControl {}), coming_back);
    taken.unwrap();
}

#[tokio::test(start_paused = true)]
async fn at_the_end_calls_fail_at_once() {
    let host = Host::with(1);
    let client = connected(&host).await;
    host.mute(true);
    let start = Instant::now();
    let disposing = async {
        sleep(Duration::from_secs(1)).await;
        client.dispose();
    };
    let (taken, ()) = tokio::join!(client.take_control(), disposing);
    let error = taken.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::Closed, Some(Delivery::Unknown)));
    let error = client.take_control().await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::Closed, Some(Delivery::NotSent)));
    assert_eq!(start.elapsed().as_secs(), 1);
}
