//! What a session is found by: what its agent says of it, and what its users do.

use std::sync::Arc;

use futures::StreamExt;
use sandbox_agent_sdk::persist::SessionFilter;
use sandbox_agent_sdk::{
    ErrorKind, From, ListEventsRequest, ListSessionsRequest, MemorySessionPersistDriver, SandboxAgent,
    SessionPersistDriver, SessionState,
};
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::store::{GatedStore, Moment, Operation};
use crate::support::{begun, request, session_update};
use crate::{MOMENT, PATIENCE, eventually, first, limits, sandbox, sdk_on, server};

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

#[tokio::test]
async fn a_record_that_is_being_stored_does_not_outlive_its_session() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let gated = Arc::new(GatedStore::over(&driver));
    let sdk = sdk_on(&sandbox, gated.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let heard = CancellationToken::new();
    let (reached, deleted) = (heard.clone(), CancellationToken::new());
    gated.gate(move |moment, operation| {
        let (reached, deleted) = (reached.clone(), deleted.clone());
        async move {
            match (moment, operation) {
                // Until the deletion waits for what was heard.
                (Moment::Before, Operation::Insert) => {
                    reached.cancel();
                    tokio::time::sleep(MOMENT).await;
                }
                (Moment::Before, Operation::UpdateSession) => {
                    let _ = timeout(4 * MOMENT, deleted.cancelled()).await;
                }
                (Moment::After, Operation::DeleteSession) => deleted.cancel(),
                _ => {}
            }
            Ok(())
        }
    });
    let titled = session_update(json!({"sessionUpdate": "session_info_update", "title": "Mend the login"}));
    sandbox.faults().agent_writes(&server(&session), &titled).unwrap();
    heard.cancelled().await;
    sdk.delete_session("one").await.unwrap();
    assert!(driver.get_session("one").await.unwrap().is_none());
    // The other one has been through, whatever came first.
    tokio::time::sleep(4 * MOMENT).await;
    assert!(driver.get_session("one").await.unwrap().is_none());
}

#[tokio::test]
async fn a_session_that_was_deleted_elsewhere_can_be_made_anew_and_deleted_again() {
    let sandbox = sandbox().await;
    let (driver, one, _session) = first(&sandbox).await;
    let two = sdk_on(&sandbox, driver.clone(), limits()).await;
    two.resume_session("one").await.unwrap();
    one.delete_session("one").await.unwrap();
    two.resume_or_create_session(request("one")).await.unwrap().prompt("say hello").await.unwrap();
    two.detach_session("one").await.unwrap();
    let _dormant = two.get_session("one").await.unwrap().unwrap();
    one.delete_session("one").await.unwrap();
    let session = two.create_session(request("one")).await.unwrap();
    session.prompt("say hello").await.unwrap();

    // And where it is another one by now.
    one.delete_session("one").await.unwrap();
    let again = one.create_session(request("one")).await.unwrap();
    let opened = two.resume_session("one").await.unwrap();
    opened.session.prompt("say again").await.unwrap();
    eventually("both have it", async || again.last_index() == opened.session.last_index()).await;

    one.delete_session("one").await.unwrap();
    two.delete_session("one").await.unwrap();
    assert_eq!(sandbox.servers().len(), 0);
}
