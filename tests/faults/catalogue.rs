//! What a session is found by: what its agent says of it, and what its users do.

use std::sync::Arc;

use futures::StreamExt;
use sandbox_agent_sdk::persist::SessionFilter;
use sandbox_agent_sdk::{
    ErrorKind, From, ListEventsRequest, ListSessionsRequest, MemorySessionPersistDriver, SandboxAgent,
    SessionPersistDriver, SessionState,
};
use tokio::time::timeout;

use crate::support::store::{GatedStore, Operation};
use crate::support::{begun, request};
use crate::{PATIENCE, eventually, first, limits, sandbox, sdk_on};

const TITLED: &str = r#"notify session/update {"update":{"sessionUpdate":"session_info_update","title":"Mend the login"}}; say done"#;

async fn ids(sdk: &SandboxAgent, filter: SessionFilter) -> Vec<String> {
    let page = sdk.list_sessions(ListSessionsRequest::new().filter(filter)).await.unwrap();
    page.items.into_iter().map(|record| record.id).collect()
}

#[tokio::test]
async fn what_an_agent_calls_its_session_is_what_it_is_found_by() {
    let sandbox = sandbox().await;
    let (_driver, sdk, session) = first(&sandbox).await;
    let created = session.record().created_at;
    session.prompt(TITLED).await.unwrap();
    eventually("it is kept", async || session.record().title.as_deref() == Some("Mend the login")).await;
    eventually("it was active", async || session.record().last_activity_at >= Some(created)).await;
    assert_eq!(ids(&sdk, SessionFilter::new().title("LOGIN")).await, ["one"]);
    assert_eq!(ids(&sdk, SessionFilter::new().title("logout")).await, [""; 0]);
    let active = session.record().last_active();
    assert_eq!(ids(&sdk, SessionFilter::new().active_from(active)).await, ["one"]);
    assert_eq!(ids(&sdk, SessionFilter::new().active_before(created)).await, [""; 0]);
}

#[tokio::test]
async fn a_title_of_a_person_stays_whatever_the_agent_says() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    sdk.set_title("one", Some("Mine")).await.unwrap();
    session.prompt(TITLED).await.unwrap();
    let noted = async || session.record().last_activity_at.is_some();
    eventually("the agent's word is through", noted).await;
    assert_eq!(session.record().title.as_deref(), Some("Mine"));
    sdk.close().await.unwrap();
    let record = driver.get_session("one").await.unwrap().unwrap();
    assert_eq!(record.title.as_deref(), Some("Mine"));
}

#[tokio::test]
async fn sessions_are_tagged_and_archived_open_or_not() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    sdk.create_session(request("one")).await.unwrap();
    sdk.create_session(request("two")).await.unwrap();
    sdk.close_session("two").await.unwrap();
    for id in ["one", "two"] {
        sdk.set_tags(id, ["nightly", id]).await.unwrap();
        sdk.archive_session(id).await.unwrap();
    }
    sdk.unarchive_session("one").await.unwrap();
    assert_eq!(ids(&sdk, SessionFilter::new().tag("nightly")).await, ["one", "two"]);
    assert_eq!(ids(&sdk, SessionFilter::new().tag("nightly").tag("two")).await, ["two"]);
    assert_eq!(ids(&sdk, SessionFilter::new().archived(true)).await, ["two"]);
    assert_eq!(ids(&sdk, SessionFilter::new().archived(false).open().agent("mock")).await, ["one"]);
    let missing = sdk.set_tags("three", ["x"]).await.unwrap_err();
    assert_eq!(*missing.kind(), ErrorKind::SessionNotFound);
    // An archived session works as before.
    let session = sdk.resume_session("two").await.unwrap().session;
    session.prompt("say hello").await.unwrap();
    assert_eq!(ids(&sdk, SessionFilter::new().archived(true)).await, ["two"]);
}

#[tokio::test]
async fn a_session_that_is_deleted_is_gone_with_its_events_and_its_process() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    let mut events = session.events(From::Start);
    session.prompt("say hello").await.unwrap();
    sdk.delete_session("one").await.unwrap();
    assert!(driver.get_session("one").await.unwrap().is_none());
    assert_eq!(driver.list_events(ListEventsRequest::new("one")).await.unwrap().items, []);
    assert_eq!(sandbox.servers().len(), 0);
    while events.next().await.is_some() {}
    sdk.delete_session("one").await.unwrap();

    let again = sdk.create_session(request("one")).await.unwrap();
    again.prompt("say again").await.unwrap();
    assert_eq!(
        driver.list_events(ListEventsRequest::new("one").limit(1)).await.unwrap().items[0].event_index,
        1
    );
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    sdk.delete_session("one").await.unwrap();
    assert_eq!(sandbox.servers().len(), 0, "one that was left running is ended too");
}

#[tokio::test]
async fn a_session_that_was_deleted_is_brought_back_by_nobody_who_still_has_it() {
    let sandbox = sandbox().await;
    let (driver, one, _session) = first(&sandbox).await;
    let two = sdk_on(&sandbox, driver.clone(), limits()).await;
    let dormant = two.get_session("one").await.unwrap().unwrap();
    let mut reads = dormant.events(From::Start);
    one.delete_session("one").await.unwrap();

    let not_found = |error: sandbox_agent_sdk::Error| assert_eq!(*error.kind(), ErrorKind::SessionNotFound);
    not_found(dormant.prompt("say no").await.unwrap_err());
    not_found(two.set_tags("one", ["x"]).await.unwrap_err());
    not_found(two.resume_session("one").await.unwrap_err());
    assert!(driver.get_session("one").await.unwrap().is_none());
    // And whoever reads is told, also when another one has the id meanwhile.
    one.create_session(request("one")).await.unwrap().prompt("stream 50").await.unwrap();
    let told = async {
        loop {
            if let Err(error) = reads.next().await.unwrap() {
                return error;
            }
        }
    };
    not_found(timeout(PATIENCE, told).await.unwrap());
    assert!(reads.next().await.is_none());
}

#[tokio::test]
async fn a_session_is_idle_once_its_turn_is_over() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::keeping_all());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; think 20; say over");
    begun(&mut turn).await;
    // However long it takes to note when that was.
    let mut noting = driver.hold(Operation::UpdateSession);
    timeout(PATIENCE, turn).await.unwrap().unwrap();
    timeout(PATIENCE, noting.reached()).await.unwrap();
    assert_eq!(*session.state().borrow(), SessionState::Idle);
    assert!(session.running_turn().is_none());
}
