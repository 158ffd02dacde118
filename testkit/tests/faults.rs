//! Each fault does what it says, and nothing else.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Events as Stream, Http, ids, said};
use sandbox_agent_testkit::{Events, On, Sandbox};
use serde_json::{Value, json};
use tokio::time::timeout;

struct Turns {
    sandbox: Sandbox,
    http: Http,
    session: String,
}

impl Turns {
    async fn start() -> Self {
        let sandbox = Sandbox::start().await;
        let http = Http::new(sandbox.url());
        let session = http.session("a").await;
        Self { sandbox, http, session }
    }

    async fn live(&self) -> Stream {
        self.http.events("a", Some(2)).await
    }

    async fn replayed(&self) -> Vec<u64> {
        let mut stream = self.http.events("a", Some(2)).await;
        ids(&stream.until_response("p").await)
    }

    fn prompt(&self, script: &str) -> reqwest::RequestBuilder {
        self.http.prompt("a", &self.session, "p", script)
    }

    async fn play(&self, script: &str) {
        assert_eq!(self.prompt(script).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn lost_events_are_missing_live_and_are_in_the_ring() {
    let turns = Turns::start().await;
    let mut live = turns.live().await;
    turns.sandbox.faults().lose(Events::ids([4, 5]));
    turns.play("stream 4").await;
    assert_eq!(ids(&live.take(3).await), [3, 6, 7]);
    assert_eq!(turns.replayed().await, [3, 4, 5, 6, 7]);
    assert_eq!(turns.sandbox.faults().unspent(), 0);
}

#[tokio::test]
async fn events_lost_for_good_are_nowhere() {
    let turns = Turns::start().await;
    let mut live = turns.live().await;
    turns.sandbox.faults().lose_for_good(Events::next(2));
    turns.play("stream 4").await;
    assert_eq!(ids(&live.take(3).await), [5, 6, 7]);
    assert_eq!(turns.replayed().await, [5, 6, 7]);
}

#[tokio::test]
async fn a_response_alone_can_be_lost() {
    let turns = Turns::start().await;
    let mut live = turns.live().await;
    turns.sandbox.faults().lose(Events::responses(1));
    turns.play("stream 2; after 50 x").await;
    assert_eq!(ids(&live.take(3).await), [3, 4, 6]);
    assert_eq!(turns.replayed().await, [3, 4, 5]);
}

#[tokio::test]
async fn a_fault_can_be_confined_to_one_server_id() {
    let turns = Turns::start().await;
    let other = turns.http.session("b").await;
    turns.sandbox.faults().on("b").lose_for_good(Events::next(1));
    turns.play("say x").await;
    assert_eq!(turns.replayed().await, [3, 4]);
    turns.http.prompt("b", &other, "p", "say x").send().await.unwrap();
    let mut stream = turns.http.events("b", Some(2)).await;
    assert_eq!(ids(&stream.until_response("p").await), [4]);
}

#[tokio::test]
async fn the_subscribing_race_loses_the_response_of_a_turn() {
    let turns = Turns::start().await;
    turns.sandbox.faults().lose_at_subscribe(Events::responses(1));
    let subscribing = tokio::spawn(turns.http.get("a", Some(2)).send());
    turns.sandbox.wait_for(|sandbox| sandbox.open_streams() == 1).await.unwrap();
    turns.play("say x; after 50 late").await;
    let mut live = Stream::new(subscribing.await.unwrap().unwrap());
    assert_eq!(ids(&live.take(2).await), [3, 5]);
    assert_eq!(turns.replayed().await, [3, 4]);
    assert_eq!(turns.sandbox.faults().unspent(), 0);
}

#[tokio::test]
async fn events_are_repeated_at_a_reconnect() {
    let turns = Turns::start().await;
    turns.play("stream 3").await;
    turns.sandbox.faults().repeat_at_subscribe(2);
    let mut again = turns.http.events("a", Some(5)).await;
    assert_eq!(ids(&again.take(3).await), [4, 5, 6]);
    assert_eq!(ids(&turns.http.events("a", Some(5)).await.take(1).await), [6]);
}

#[tokio::test]
async fn an_exit_can_overtake_the_event_before_it() {
    let turns = Turns::start().await;
    let mut live = turns.live().await;
    turns.sandbox.faults().reorder_at_exit();
    let post = tokio::spawn(turns.prompt("say a; say b; exit 1").send());
    assert_eq!(ids(&live.take(3).await), [3, 5, 4]);
    post.abort();
    let mut again = turns.live().await;
    assert_eq!(ids(&again.take(3).await), [3, 4, 5]);
}

#[tokio::test]
async fn open_streams_are_cut_and_new_ones_work() {
    let turns = Turns::start().await;
    let mut live = turns.live().await;
    turns.sandbox.faults().cut_streams();
    assert!(live.frame().await.unwrap().is_err());
    turns.play("say x").await;
    assert_eq!(turns.replayed().await, [3, 4]);
}

#[tokio::test]
async fn all_connections_are_cut_with_their_posts_in_flight() {
    let turns = Turns::start().await;
    let mut live = turns.live().await;
    let post = tokio::spawn(turns.prompt("say x; think 50").send());
    live.next().await;
    turns.sandbox.faults().cut_connections();
    assert!(post.await.unwrap().is_err());
    assert!(live.frame().await.unwrap().is_err());
    assert_eq!(turns.replayed().await, [3, 4]);
}

#[tokio::test]
async fn a_stream_is_cut_behind_an_event() {
    let turns = Turns::start().await;
    let mut live = turns.live().await;
    turns.sandbox.faults().cut_stream_at(74);
    turns.play("stream 200").await;
    assert_eq!(ids(&live.take(72).await), (3..=74).collect::<Vec<_>>());
    assert!(live.frame().await.unwrap().is_err());
    assert_eq!(turns.http.events("a", Some(74)).await.until_response("p").await.len(), 129);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_has_not_even_heartbeats() {
    let turns = Turns::start().await;
    let mut live = turns.live().await;
    turns.sandbox.faults().stall_streams();
    turns.play("say x").await;
    assert!(live.silent_for(Duration::from_secs(100)).await);
    assert_eq!(turns.replayed().await, [3, 4]);
    turns.sandbox.faults().resume_streams();
    assert_eq!(ids(&live.take(2).await), [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn the_next_stream_can_be_silent_from_the_start() {
    let turns = Turns::start().await;
    turns.play("say x").await;
    turns.sandbox.faults().stall_next_stream();
    assert!(turns.live().await.silent_for(Duration::from_secs(100)).await);
    assert_eq!(turns.replayed().await, [3, 4]);
}

#[tokio::test]
async fn requests_are_answered_with_what_a_test_says() {
    let turns = Turns::start().await;
    let faults = turns.sandbox.faults();
    faults.next(On::rpc("session/prompt")).times(2).answer(503, "text/plain", "busy");
    for _ in 0..2 {
        let refused = turns.prompt("say x").send().await.unwrap();
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.text().await.unwrap(), "busy");
    }
    assert_eq!(turns.sandbox.prompts_received(), [Value::Null; 0]);
    turns.play("say x").await;
    assert_eq!(turns.sandbox.prompts_received().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_can_be_late_or_never_come() {
    let turns = Turns::start().await;
    let faults = turns.sandbox.faults();
    faults.next(On::post()).delay(Duration::from_secs(7));
    let since = tokio::time::Instant::now();
    turns.play("say x").await;
    assert!(since.elapsed() >= Duration::from_secs(7));

    faults.next(On::post()).hang();
    let hung = turns.http.prompt("a", &turns.session, "q", "say y").send();
    assert!(timeout(Duration::from_secs(3600), hung).await.is_err());
    assert_eq!(turns.sandbox.last_event_id("a"), 6);

    faults.next(On::post()).hang_undelivered();
    let hung = turns.http.prompt("a", &turns.session, "r", "say z").send();
    assert!(timeout(Duration::from_secs(3600), hung).await.is_err());
    assert_eq!(turns.sandbox.prompts_received().len(), 2);
}

#[tokio::test]
async fn a_post_is_cut_before_the_agent_has_it() {
    let turns = Turns::start().await;
    turns.sandbox.faults().next(On::post()).cut_before_delivery();
    assert!(turns.prompt("say x").send().await.is_err());
    assert_eq!(turns.sandbox.prompts_received().len(), 0);
}

#[tokio::test]
async fn a_post_is_cut_once_the_agent_has_it() {
    let turns = Turns::start().await;
    turns.sandbox.faults().next(On::post()).cut_after_delivery();
    assert!(turns.prompt("think 50; say x").send().await.is_err());
    assert_eq!(turns.sandbox.prompts_received().len(), 1);
    assert_eq!(turns.replayed().await, [3, 4]);
}

#[tokio::test]
async fn a_post_is_cut_in_place_of_its_answer() {
    let turns = Turns::start().await;
    turns.sandbox.faults().next(On::post()).cut_the_answer();
    assert!(turns.prompt("say x").send().await.is_err());
    assert_eq!(turns.sandbox.last_event_id("a"), 4);
}

#[tokio::test]
async fn other_requests_are_not_cut() {
    let turns = Turns::start().await;
    let faults = turns.sandbox.faults();
    faults.next(On::get().path("/v1/health")).cut_before_delivery();
    turns.play("say x").await;
    let health = || turns.http.client.get(format!("{}/v1/health", turns.sandbox.url())).send();
    assert!(health().await.is_err());
    assert_eq!(health().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_agent_is_killed_and_an_id_forgotten() {
    let turns = Turns::start().await;
    let faults = turns.sandbox.faults();
    let mut live = turns.live().await;
    faults.kill_agent("a", 137).unwrap();
    assert_eq!(live.next().await.data["params"], json!({"success": false, "code": 137}));
    faults.forget("a").unwrap();
    assert!(live.frame().await.is_none());
    assert_eq!(turns.http.get("a", None).send().await.unwrap().status(), 404);
    let error = faults.forget("a").unwrap_err().to_string();
    assert!(error.contains("\"a\""), "{error}");
}

#[tokio::test]
async fn bytes_go_out_as_they_are() {
    let turns = Turns::start().await;
    let faults = turns.sandbox.faults();
    let mut live = turns.live().await;
    faults.send_bytes("a", *b"id: x\ndata: \xff{\n\n").unwrap();
    assert_eq!(live.frame().await.unwrap().unwrap(), "id: x\ndata: \u{fffd}{");
    faults.agent_writes("a", "not json").unwrap();
    assert_eq!(live.next().await.data["params"]["raw"], "not json");
    turns.play("big 3000000").await;
    assert_eq!(said(&live.next().await).len(), 3_000_000);
}

#[tokio::test]
async fn an_outage_spares_the_agents_and_a_restart_does_not() {
    let turns = Turns::start().await;
    let mut live = turns.live().await;
    turns.sandbox.stop_listening().await;
    assert!(live.frame().await.unwrap().is_err());
    assert!(turns.prompt("say x").send().await.unwrap_err().is_connect());
    turns.sandbox.listen_again().await.unwrap();
    turns.play("say x").await;
    assert_eq!(turns.replayed().await, [3, 4]);
    turns.sandbox.restart().await.unwrap();
    assert_eq!(turns.http.get("a", None).send().await.unwrap().status(), 404);
    turns.http.session("a").await;
}

#[tokio::test]
async fn requests_are_on_record() {
    let turns = Turns::start().await;
    turns.live().await;
    let requests = turns.sandbox.requests();
    let told: Vec<_> = requests.iter().map(|r| (r.method.as_str(), r.path.as_str())).collect();
    assert_eq!(
        told,
        [("POST", "/v1/acp/a?agent=mock"), ("POST", "/v1/acp/a?agent=mock"), ("GET", "/v1/acp/a"),]
    );
    assert_eq!(requests[1].body.as_ref().unwrap()["method"], "session/new");
    assert_eq!(requests[2].last_event_id.as_deref(), Some("2"));
    assert_eq!(requests[2].server_id(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn waiting_is_bounded() {
    let turns = Turns::start().await;
    let error = turns.sandbox.wait_for(|_| false).await.unwrap_err().to_string();
    assert!(error.ends_with("POST /v1/acp/a?agent=mock POST /v1/acp/a?agent=mock"), "{error}");
}
