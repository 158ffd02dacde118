//! Each of these fails because of a defect.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use sandbox_agent_sdk::acp_schema::StopReason;
use sandbox_agent_sdk::persist::{
    Capabilities, Inserted, PersistError, PersistErrorKind, async_trait, envelope,
};
use sandbox_agent_sdk::{
    Delivery, ErrorKind, Limit, ListEventsRequest, ListPage, ListSessionsRequest, MemorySessionPersistDriver,
    PermissionReply, Prompt, ResumeOutcome, SandboxAgent, Session, SessionEvent, SessionPersistDriver,
    SessionRecord, SessionState, WhenBusy,
};
use sandbox_agent_testkit::{AgentOptions, Events, On, Sandbox};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::store::{GatedStore, Moment, Operation};
use crate::support::{begun, notes, recorded, request, said, stored};
use crate::{HEARTBEAT, PATIENCE, limits, sandbox, sdk_on, server};

const SOON: Duration = Duration::from_secs(4);
const MOMENT: Duration = Duration::from_millis(300);

async fn first(sandbox: &Sandbox) -> (MemorySessionPersistDriver, SandboxAgent, Session) {
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    (driver, sdk, session)
}

async fn offering(agent: AgentOptions) -> Sandbox {
    Sandbox::builder().heartbeat(HEARTBEAT).quick_delete().agent(agent).start().await.unwrap()
}

/// One SDK's view of a store that it shares: its inserts of some events stand still, and it may
/// evict, whatever is running.
struct Late {
    store: MemorySessionPersistDriver,
    holds: fn(&SessionEvent) -> bool,
    closed: watch::Sender<bool>,
    reached: watch::Sender<bool>,
    /// How many events of a session it keeps.
    keep: u64,
}

impl Late {
    fn new(store: &MemorySessionPersistDriver, holds: fn(&SessionEvent) -> bool) -> Arc<Self> {
        let (closed, reached) = (watch::Sender::new(false), watch::Sender::new(false));
        Arc::new(Self { store: store.clone(), holds, closed, reached, keep: u64::MAX })
    }

    fn evicting(keep: u64) -> Arc<Self> {
        let (closed, reached) = (watch::Sender::new(false), watch::Sender::new(false));
        let store = MemorySessionPersistDriver::new();
        Arc::new(Self { store, holds: |_| false, closed, reached, keep })
    }

    async fn reached(&self) {
        self.reached.subscribe().wait_for(|reached| *reached).await.unwrap();
    }

    async fn pass(&self, event: &SessionEvent) {
        if (self.holds)(event) && *self.closed.borrow() {
            self.reached.send_replace(true);
            self.closed.subscribe().wait_for(|closed| !closed).await.unwrap();
        }
    }
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Late")
    }
}

#[async_trait]
impl SessionPersistDriver for Late {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        self.store.get_session(id).await
    }
    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.store.list_sessions(request).await
    }
    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        self.store.update_session(record).await
    }
    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        let newest = ListEventsRequest::new(&request.session_id).descending().limit(1);
        let newest = self.store.list_events(newest).await?.items.first().map_or(0, |event| event.event_index);
        let gone = newest.saturating_sub(self.keep);
        if let Some(after) = request.after_index.filter(|after| *after < gone) {
            return Err(PersistError::evicted(&request.session_id, after + 1, gone));
        }
        let mut page = self.store.list_events(request).await?;
        if page.items.iter().any(|event| event.event_index <= gone) {
            page.items.retain(|event| event.event_index > gone);
            page.next_cursor = None;
        }
        Ok(page)
    }
    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.pass(&event).await;
        self.store.insert_event(session_id, event).await
    }
    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        for event in &events {
            self.pass(event).await;
        }
        self.store.insert_events(session_id, events).await
    }
    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.store.delete_session(id).await
    }
}

fn update(update: Value) -> String {
    json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "x", "update": update}})
        .to_string()
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, waited).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn a_transcript_that_was_not_sent_yet_is_still_due_after_a_reattach() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    session.prompt("say plum").await.unwrap();
    sdk.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    assert_eq!(sdk.resume_session("one").await.unwrap().outcome, ResumeOutcome::Transcript);
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let session = sdk.resume_session("one").await.unwrap().session;
    session.prompt("recall").await.unwrap();
    assert!(said(&recorded(&session).await).contains("Agent: plum"), "the agent never learnt of the past");
}

#[tokio::test]
async fn a_load_whose_answer_came_by_post_alone_ends_the_replay() {
    let sandbox = offering(AgentOptions::new().load()).await;
    let (_driver, sdk, session) = first(&sandbox).await;
    session.prompt("say plum").await.unwrap();
    sdk.close_session("one").await.unwrap();
    // Those of `initialize` and `session/load`.
    sandbox.faults().lose_for_good(Events::responses(2));
    let opened = timeout(SOON, sdk.resume_session("one")).await.unwrap().unwrap();
    assert_eq!((opened.outcome, sandbox.faults().unspent()), (ResumeOutcome::Loaded, 0));
    opened.session.prompt("say pear").await.unwrap();
    let events = recorded(&opened.session).await;
    assert!(said(&events).contains("pear"), "what the agent said is gone without a gap: {:?}", said(&events));
}

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
    let opened = timeout(SOON, sdk.resume_session("one")).await;
    assert!(opened.is_ok(), "resuming lasts as long as the other clock is ahead");
}

#[tokio::test]
async fn a_working_turn_is_not_cancelled_because_the_store_evicted_its_beginning() {
    let sandbox = sandbox().await;
    let driver = Late::evicting(200);
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; stream 900 rate=300");
    begun(&mut turn).await;
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits().unconfirmed(Duration::from_millis(1500))).await;
    let session = sdk.resume_session("one").await.unwrap().session;
    let response = timeout(PATIENCE, session.running_turn().unwrap()).await.unwrap().unwrap();
    assert_eq!(response.stop_reason, StopReason::EndTurn);
}

#[tokio::test]
async fn a_working_turn_is_not_cancelled_because_the_store_failed_to_read_once() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; stream 300 rate=100");
    begun(&mut turn).await;
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver.clone(), limits().unconfirmed(MOMENT)).await;
    let session = sdk.resume_session("one").await.unwrap().session;
    driver.fail(Operation::ListEvents, PersistErrorKind::Other);
    let response = timeout(PATIENCE, session.running_turn().unwrap()).await.unwrap().unwrap();
    assert_eq!(response.stop_reason, StopReason::EndTurn);
}

#[tokio::test]
async fn a_permission_that_another_sdk_answered_is_not_listed_afterwards() {
    let sandbox = sandbox().await;
    let (driver, _one, session) = first(&sandbox).await;
    let late = Late::new(&driver, |_| true);
    let two = sdk_on(&sandbox, late.clone(), limits()).await;
    let other = two.resume_session("one").await.unwrap().session;
    late.closed.send_replace(true);
    let turn = session.prompt("ask Push; say over");
    let asked = session.permission_requests().next().await.unwrap();
    late.reached().await;
    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
    turn.await.unwrap();
    late.closed.send_replace(false);
    eventually("the other one catches up", || other.last_index() >= session.last_index()).await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(other.pending_permissions().len(), 0, "it was answered, and its turn is over");
}

#[tokio::test]
async fn a_permission_behind_a_large_event_is_listed_by_every_sdk() {
    let sandbox = sandbox().await;
    let (driver, one, session) = first(&sandbox).await;
    let late = Late::new(&driver, |_| true);
    let two = sdk_on(&sandbox, late.clone(), limits()).await;
    let other = two.resume_session("one").await.unwrap().session;
    late.closed.send_replace(true);
    let _turn = session.prompt("big 5000000; think 300; ask Push");
    session.permission_requests().next().await.unwrap();
    late.reached().await;
    let last = session.last_index();
    one.detach().await.unwrap();
    late.closed.send_replace(false);
    eventually("the other one catches up", || other.last_index() >= last).await;
    eventually("nobody can answer the agent any more", || other.pending_permissions().len() == 1).await;
}

#[tokio::test]
async fn a_turn_that_is_found_while_its_session_is_detached_is_no_hang() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; think 60000");
    begun(&mut turn).await;
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.get_session("one").await.unwrap().unwrap();
    let mut held = driver.hold(Operation::UpdateSession);
    let opening = session.clone();
    let opening = tokio::spawn(async move { opening.raw_notify("x/y", Value::Null).await });
    held.reached().await;
    sdk.detach_session("one").await.unwrap();
    drop(held);
    opening.await.unwrap().unwrap_err();
    if let Some(turn) = session.running_turn() {
        assert!(timeout(SOON, turn).await.is_ok(), "nobody runs the turn that was found");
    }
}

#[tokio::test]
async fn whoever_destroys_a_session_ends_the_process_that_it_is_on_by_now() {
    for destroy in [true, false] {
        let sandbox = sandbox().await;
        let (driver, sdk, _session) = first(&sandbox).await;
        let other = sdk_on(&sandbox, driver.clone(), limits()).await;
        let _dormant = other.get_session("one").await.unwrap().unwrap();
        sdk.close().await.unwrap();
        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        let process = server(&sdk.resume_session("one").await.unwrap().session);
        sdk.detach().await.unwrap();
        if destroy {
            other.destroy_session("one").await.unwrap();
        } else {
            other.close_session("one").await.unwrap();
        }
        let named = driver.get_session("one").await.unwrap().unwrap().last_connection_id;
        assert_eq!((sandbox.servers(), named), (Vec::new(), process), "destroy: {destroy}");
    }
}

#[tokio::test]
async fn a_session_that_another_sdk_destroyed_is_not_opened_by_a_prompt() {
    let sandbox = sandbox().await;
    let (driver, sdk, _session) = first(&sandbox).await;
    let other = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = other.resume_session("one").await.unwrap().session;
    sdk.destroy_session("one").await.unwrap();
    session.state().wait_for(|state| *state == SessionState::Dormant).await.unwrap();
    let ended = session.prompt("say zombie").await;
    assert!(driver.get_session("one").await.unwrap().unwrap().destroyed_at.is_some(), "the mark is gone");
    assert_eq!(*ended.unwrap_err().kind(), ErrorKind::SessionDestroyed);
}

#[tokio::test]
async fn a_prompt_that_must_not_wait_does_not_wait_for_a_turn_that_it_found() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    let mut turn = session.prompt("say begun; think 60000");
    begun(&mut turn).await;
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let dormant = sdk.get_session("one").await.unwrap().unwrap();
    let refused = timeout(SOON, dormant.prompt(Prompt::new("say no").when_busy(WhenBusy::Reject))).await;
    assert_eq!(*refused.expect("it waits").unwrap_err().kind(), ErrorKind::Busy);
}

#[tokio::test]
async fn a_prompt_that_interrupts_interrupts_a_turn_that_it_found() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    let mut turn = session.prompt("say begun; think 60000");
    begun(&mut turn).await;
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let dormant = sdk.get_session("one").await.unwrap().unwrap();
    let urgent = dormant.prompt(Prompt::new("say urgent").when_busy(WhenBusy::Interrupt));
    timeout(SOON, urgent).await.expect("it waits").unwrap();
}

#[tokio::test]
async fn a_process_that_exited_is_no_process_also_where_the_store_is_slow() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let process = server(&session);
    sdk.detach().await.unwrap();
    sandbox.faults().kill_agent(&process, 3).unwrap();
    tokio::time::sleep(MOMENT).await;
    driver.delay(Operation::Insert, Duration::from_millis(150));
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_ne!(opened.outcome, ResumeOutcome::Reattached, "it is dead");
    opened.session.prompt("say hello").await.unwrap();
}

#[test]
fn a_past_that_was_being_told_again_when_the_sdk_was_killed_is_not_stored_twice() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (main, killed) = (runtime(), runtime());
    let (sandbox, driver) = main.block_on(async {
        let sandbox = offering(AgentOptions::new().load()).await;
        let (driver, sdk, session) = first(&sandbox).await;
        session.prompt("say plum").await.unwrap();
        sdk.close().await.unwrap();
        (sandbox, driver)
    });
    let late = Late::new(&driver, |event| event.payload.get().contains(envelope::REPLAYED));
    late.closed.send_replace(true);
    killed.block_on(async {
        let sdk = sdk_on(&sandbox, late.clone(), limits()).await;
        tokio::spawn(async move { sdk.resume_session("one").await });
        late.reached().await;
    });
    killed.shutdown_background();
    main.block_on(async {
        let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
        let opened = timeout(PATIENCE, sdk.resume_session("one")).await.unwrap().unwrap();
        assert_eq!(opened.outcome, ResumeOutcome::Loaded);
        let said = said(&stored(&driver, "one").await);
        assert_eq!(said.matches("plum").count(), 1, "{said}");
    });
}

#[tokio::test]
async fn an_answer_that_only_the_other_sdk_got_ends_the_turn_here_too() {
    let sandbox = sandbox().await;
    let (driver, _one, session) = first(&sandbox).await;
    let mut turn = session.prompt("say begun; think 700; say over");
    begun(&mut turn).await;
    let two = sdk_on(&sandbox, driver.clone(), limits()).await;
    let other = two.resume_session("one").await.unwrap().session;
    let found = other.running_turn().unwrap();
    sandbox.faults().lose_for_good(Events::responses(1));
    timeout(SOON, turn).await.unwrap().unwrap();
    let chunk = json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "later"}});
    sandbox.faults().agent_writes(&server(&session), &update(chunk)).unwrap();
    eventually("later", || other.last_index() >= session.last_index() && sandbox.faults().unspent() == 0)
        .await;
    assert!(timeout(SOON, found).await.is_ok(), "its answer is in the record, and it waits on");
}

#[tokio::test]
async fn a_turn_that_was_given_up_is_not_waited_for_at_every_reattach() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let quick = limits().reconnect(MOMENT).unconfirmed(MOMENT).cancel(MOMENT);
    let sdk = sdk_on(&sandbox, driver.clone(), quick.clone()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    sandbox.faults().next(On::rpc("session/prompt")).hang_undelivered();
    let turn = session.prompt("say never");
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    sandbox.faults().next(On::get().path("/v1/acp")).times(1_000).answer(502, "text/plain", "");
    sandbox.faults().cut_streams();
    let error = timeout(SOON, turn).await.unwrap().unwrap_err();
    assert_eq!(error.delivery(), Some(Delivery::Unknown));
    sandbox.faults().clear();
    sdk.detach().await.unwrap();
    for waited in [true, false] {
        let sdk = sdk_on(&sandbox, driver.clone(), quick.clone()).await;
        let opened = sdk.resume_session("one").await.unwrap();
        assert_eq!(opened.outcome, ResumeOutcome::Reattached);
        let turn = opened.session.running_turn();
        assert_eq!(turn.is_some(), waited, "once it was waited for in vain");
        if let Some(turn) = turn {
            let error = timeout(SOON, turn).await.unwrap().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::TimedOut(Limit::Unconfirmed));
        }
        sdk.detach().await.unwrap();
    }
}

#[tokio::test]
async fn two_settings_that_change_at_once_are_both_kept() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let late = Late::new(&driver, |_| true);
    let sdk = sdk_on(&sandbox, late.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let process = server(&session);
    late.closed.send_replace(true);
    let chunk = json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "x"}});
    sandbox.faults().agent_writes(&process, &update(chunk)).unwrap();
    late.reached().await;
    let mode = json!({"sessionUpdate": "current_mode_update", "currentModeId": "plan"});
    let options = json!({"sessionUpdate": "config_option_update", "configOptions": []});
    for change in [mode, options] {
        sandbox.faults().agent_writes(&process, &update(change)).unwrap();
    }
    tokio::time::sleep(MOMENT).await;
    late.closed.send_replace(false);
    session.prompt("say over").await.unwrap();
    tokio::time::sleep(MOMENT).await;
    let record = driver.get_session("one").await.unwrap().unwrap();
    assert_eq!(record.config_options, Some(json!([])));
    assert_eq!(record.modes.unwrap()["currentModeId"], "plan");
}

#[tokio::test]
async fn an_option_without_a_value_is_no_panic() {
    let sandbox = sandbox().await;
    let (driver, _sdk, session) = first(&sandbox).await;
    let process = server(&session);
    let options = json!([{"id": "odd", "name": "Odd", "type": "select", "options": []}]);
    let change = json!({"sessionUpdate": "config_option_update", "configOptions": options});
    sandbox.faults().agent_writes(&process, &update(change)).unwrap();
    eventually("kept", || session.record().config_options == Some(options.clone())).await;
    sandbox.faults().next(On::rpc("session/set_config_option")).hang_undelivered();
    let asking = session.clone();
    let asking = tokio::spawn(async move {
        asking.raw_send("session/set_config_option", json!({"configId": "odd", "value": "x"})).await
    });
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    let events = stored(&driver, "one").await;
    let asked = events.iter().find(|event| event.payload.get().contains("set_config_option")).unwrap();
    let asked: Value = serde_json::from_str(asked.payload.get()).unwrap();
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {}});
    sandbox.faults().agent_writes(&process, &answer.to_string()).unwrap();
    let answered = timeout(SOON, asking).await.unwrap();
    assert!(answered.is_ok(), "{answered:?}");
}

#[tokio::test]
async fn a_gap_that_an_agent_makes_up_is_no_panic() {
    let sandbox = sandbox().await;
    let (_driver, _sdk, session) = first(&sandbox).await;
    let gap = json!({"serverId": "x", "from": 0, "to": u64::MAX, "cause": "too_large"});
    let turn = session.prompt(format!("notify _sandbox_agent/gap {gap}; say over"));
    timeout(SOON, turn).await.unwrap().unwrap();
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
    assert!(timeout(SOON, session.prompt("say hello")).await.is_ok(), "no prompt ends any more");
}

#[tokio::test]
async fn an_index_of_zero_in_the_record_is_no_panic() {
    let sandbox = sandbox().await;
    let (_sdk, session) = with_turn_at(&sandbox, 0).await;
    let mut turn = session.running_turn().unwrap();
    let read = tokio::spawn(async move { turn.next().await.is_some() });
    assert!(timeout(SOON, read).await.unwrap().unwrap());
}

#[tokio::test]
async fn closing_a_session_whose_process_could_not_be_ended_is_an_error() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    sdk.create_session(request("one")).await.unwrap();
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let reads = Arc::new(AtomicUsize::new(0));
    driver.gate(move |moment, operation| {
        let reads = reads.clone();
        async move {
            // The first one is for the newest index.
            let fails = (moment, operation) == (Moment::Before, Operation::ListEvents)
                && reads.fetch_add(1, Ordering::SeqCst) > 0;
            if fails { Err(PersistError::new(PersistErrorKind::Other, "told to fail")) } else { Ok(()) }
        }
    });
    let closed = sdk.close_session("one").await;
    assert!(
        closed.is_err() || sandbox.servers().is_empty(),
        "{closed:?}, and {:?} runs on",
        sandbox.servers()
    );
}

#[tokio::test]
async fn a_turn_that_was_answered_before_its_process_exited_has_no_other_end() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    let mut turn = session.prompt("say begun; think 200; say done");
    begun(&mut turn).await;
    let process = server(&session);
    sdk.detach().await.unwrap();
    tokio::time::sleep(2 * MOMENT).await;
    sandbox.faults().kill_agent(&process, 0).unwrap();
    tokio::time::sleep(MOMENT).await;
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    sdk.resume_session("one").await.unwrap();
    let events = stored(&driver, "one").await;
    assert!(said(&events).ends_with("done"));
    assert_eq!(notes(&events, envelope::TURN_ENDED), 0, "its response is in the record");
}

#[tokio::test]
async fn a_prompt_that_was_not_sent_because_the_session_ended_leaves_its_key() {
    let sandbox = sandbox().await;
    let driver = Arc::new(GatedStore::default());
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut held = driver.hold(Operation::Insert);
    let turn = session.prompt(Prompt::new("say once").idempotency_key("it"));
    held.reached().await;
    let parting = tokio::spawn(async move { sdk.detach().await });
    assert_eq!(turn.await.unwrap_err().delivery(), Some(Delivery::NotSent));
    drop(held);
    parting.await.unwrap().unwrap();
    let quick = limits().unconfirmed(MOMENT).cancel(MOMENT);
    let sdk = sdk_on(&sandbox, driver, quick).await;
    let session = sdk.resume_session("one").await.unwrap().session;
    let again = timeout(SOON, session.prompt(Prompt::new("say once").idempotency_key("it"))).await.unwrap();
    again.expect("it was said that it was not sent");
}

#[tokio::test]
async fn a_turn_is_found_also_when_its_prompt_was_evicted() {
    let sandbox = sandbox().await;
    let driver = Late::evicting(100);
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let _turn = session.prompt("stream 300; think 60000");
    eventually("streamed", || session.last_index() > 300).await;
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    assert!(opened.session.running_turn().is_some(), "the next prompt is sent into a turn that runs");
}

#[tokio::test]
async fn a_long_turn_that_ended_is_not_found_running() {
    let sandbox = sandbox().await;
    let driver = Late::evicting(100);
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    let turn = session.prompt("stream 5000 rate=2500; ask Push");
    let asked = timeout(PATIENCE, session.permission_requests().next()).await.unwrap().unwrap();
    eventually("noted", || session.record().extra.contains_key("_sandboxAgent")).await;
    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
    turn.await.unwrap();
    session.prompt("stream 200").await.unwrap();
    sdk.detach().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached);
    assert!(opened.session.running_turn().is_none(), "both turns have their answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_turns_nothing_is_busy() {
    let sandbox = sandbox().await;
    let (_driver, _sdk, session) = first(&sandbox).await;
    for round in 0..150 {
        let mut turn =
            IntoFuture::into_future(session.prompt(Prompt::new("say x").when_busy(WhenBusy::Reject)));
        let start = std::time::Instant::now();
        let result = loop {
            if let std::task::Poll::Ready(result) = futures::poll!(tokio::task::unconstrained(&mut turn)) {
                break result;
            }
            assert!(start.elapsed() < SOON);
            std::hint::spin_loop();
        };
        assert!(result.is_ok(), "round {round}: {result:?}");
    }
}

#[tokio::test]
async fn two_sdks_that_open_a_session_at_once_leave_no_process_behind() {
    let sandbox = sandbox().await;
    let (driver, sdk, session) = first(&sandbox).await;
    session.prompt("say plum").await.unwrap();
    sdk.close().await.unwrap();
    let one = sdk_on(&sandbox, driver.clone(), limits()).await;
    let two = sdk_on(&sandbox, driver.clone(), limits()).await;
    let (first, second) = tokio::join!(one.resume_session("one"), two.resume_session("one"));
    let names = (server(&first.unwrap().session), server(&second.unwrap().session));
    one.detach().await.unwrap();
    two.detach().await.unwrap();
    sdk_on(&sandbox, driver, limits()).await.close_session("one").await.unwrap();
    assert_eq!(sandbox.servers(), Vec::<String>::new(), "{names:?}");
}

#[tokio::test]
async fn a_load_that_says_nothing_of_modes_does_not_forget_the_mode() {
    let sandbox = offering(AgentOptions::new().load()).await;
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    let session = sdk.create_session(request("one").mode("plan")).await.unwrap();
    session.prompt("say plum").await.unwrap();
    sdk.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver.clone(), limits()).await;
    sandbox.faults().next(On::rpc("session/load")).hang_undelivered();
    let resuming = tokio::spawn(async move { sdk.resume_session("one").await });
    sandbox.wait_for(|sandbox| sandbox.faults().unspent() == 0).await.unwrap();
    let events = stored(&driver, "one").await;
    let asked = events.iter().find(|event| event.payload.get().contains("session/load")).unwrap();
    let load: Value = serde_json::from_str(asked.payload.get()).unwrap();
    let answer = json!({"jsonrpc": "2.0", "id": load["id"], "result": null});
    sandbox.faults().agent_writes(&asked.connection_id, &answer.to_string()).unwrap();
    let opened = timeout(SOON, resuming).await.unwrap().unwrap().unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Loaded);
    let modes = driver.get_session("one").await.unwrap().unwrap().modes;
    assert_eq!(modes.map(|modes| modes["currentModeId"].clone()), Some(json!("plan")));
}

#[tokio::test]
async fn a_mode_that_could_not_be_had_does_not_haunt_the_session() {
    let sandbox = sandbox().await;
    let (driver, sdk, _session) = first(&sandbox).await;
    sdk.close().await.unwrap();
    let sdk = sdk_on(&sandbox, driver, limits()).await;
    let session = sdk.get_session("one").await.unwrap().unwrap();
    let refused = sdk.resume_or_create(request("one").mode("yolo")).await;
    assert_eq!(*refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    session.prompt("say hello").await.expect("whoever prompts asked for no mode");
}

#[tokio::test]
async fn of_two_answers_to_a_permission_one_counts_and_the_other_is_told() {
    let sandbox = sandbox().await;
    let (driver, _one, session) = first(&sandbox).await;
    let late = Late::new(&driver, |event| event.payload.get().contains("reject-once\"}"));
    let two = sdk_on(&sandbox, late.clone(), limits()).await;
    let other = two.resume_session("one").await.unwrap().session;
    let turn = session.prompt("ask Push; say over");
    let asked = session.permission_requests().next().await.unwrap();
    eventually("listed by both", || other.pending_permissions().len() == 1).await;
    late.closed.send_replace(true);
    let (rejecting, id) = (other.clone(), asked.id.clone());
    let rejecting = tokio::spawn(async move { rejecting.respond(&id, PermissionReply::Reject).await });
    late.reached().await;
    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
    turn.await.unwrap();
    assert!(said(&recorded(&session).await).contains("permission: allow-once"));
    late.closed.send_replace(false);
    let rejected = timeout(SOON, rejecting).await.unwrap().unwrap();
    assert_eq!(*rejected.expect_err("it was allowed").kind(), ErrorKind::PermissionGone);
}
