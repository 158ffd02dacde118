//! What a client can cost.

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_multiplayer::{Authorize, Call, ConnectionRequest, Error, Limits, Participant, Result};
use sandbox_agent_multiplayer_axum::HostOptions;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Host, said, team, within};

#[tokio::test]
async fn a_message_above_the_limit_is_named_before_the_connection_is_closed() {
    let limit = 4096;
    let host = Host::with_options(HostOptions::default().message_bytes(limit)).await;
    // Just above, and so far above that it is still being sent when it is refused.
    for bytes in [limit + 1, 8 * 1024 * 1024] {
        let (ada, _) = host.enter("ada").await;
        let message = Message::text(" ".repeat(bytes));
        // A client reads while it writes, as browsers do.
        let (mut sink, mut stream) = ada.split();
        let sending = tokio::spawn(async move { drop(futures::SinkExt::send(&mut sink, message).await) });
        let (error, close) = Client::farewell_of(&mut stream).await;
        assert_eq!((&error["code"], &error["data"]["limit"]), (&json!("too_large"), &json!(limit)));
        assert_eq!(u16::from(close.code), 1009);
        sending.abort();
    }
    let (mut ada, _) = host.enter("ada").await;
    ada.send(Message::text(" ".repeat(limit))).await;
    assert_eq!(ada.hear().await["error"]["code"], "protocol", "the limit itself is taken");
}

/// Lets the team in, and lets no call go on before there is room for it here.
struct Gate(Arc<Semaphore>);

#[async_trait::async_trait]
impl Authorize for Gate {
    async fn connect(&self, request: &ConnectionRequest) -> Result<Participant> {
        team(request.token.as_deref())
    }

    async fn allow(&self, _: &Participant, _: &Call) -> Result<()> {
        self.0.acquire().await.map_err(|_| Error::refused("the test is over"))?.forget();
        Ok(())
    }
}

#[tokio::test]
async fn one_call_more_than_may_be_unanswered_is_full_and_room_comes_back() {
    let gate = Arc::new(Semaphore::new(0));
    let hook = Gate(gate.clone());
    let host = Host::with(HostOptions::default().calls(2), |workspace| workspace.authorize(hook)).await;
    let (mut ada, _) = host.enter("ada").await;
    for _ in 0..2 {
        ada.ask("getSessionInfo", json!({})).await;
    }
    let third = ada.call("getSessionInfo", json!({})).await.unwrap_err();
    assert_eq!(third["code"], "full");
    gate.add_permits(3);
    for _ in 0..2 {
        ada.hear_until(|message| message["ok"]["workspace"] == "w").await;
    }
    ada.call("getSessionInfo", json!({})).await.unwrap();
}

#[tokio::test]
async fn one_connection_more_than_may_be_is_full() {
    let host = Host::with_options(HostOptions::default().connections(1)).await;
    let (ada, _) = host.enter("ada").await;
    let answer = reqwest::Client::new().get(host.http("snapshot")).bearer_auth("ada").send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "full");
    drop(ada);
    within(async {
        loop {
            let answer =
                reqwest::Client::new().get(host.http("snapshot")).bearer_auth("ada").send().await.unwrap();
            if answer.status() == 200 {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_no_frames_and_loses_none() {
    const TAIL: usize = 64 * 1024;
    let (count, size) = (12_000, 1_000);
    let host =
        Host::with(HostOptions::default(), |workspace| workspace.limits(Limits::default().tail_bytes(TAIL)))
            .await;
    let (mut slow, welcome) = host.enter("eve").await;
    let (mut ada, _) = host.enter("ada").await;
    let mut frames = host.workspace.host().frames().unwrap();
    ada.ask("prompt", json!({ "promptId": "p", "text": format!("stream {count} size={size}") })).await;
    let last = ada.hear_turn("p").await.last().unwrap()["sequence"].as_u64().unwrap();

    let mut seen = Vec::new();
    while frames.position() < last {
        let frame = within(frames.recv()).await.unwrap().unwrap();
        seen.push(Arc::downgrade(&frame));
    }
    drop(frames);
    // Those in memory for everybody, a batch on its way to each client, and little else.
    let held = seen.iter().filter(|frame| frame.strong_count() > 0).count();
    let most = TAIL / size + 3 * 64;
    assert!(held <= most, "{held} of {} frames are held, more than {most}", seen.len());

    let heard = slow.hear_turn("p").await;
    let mut next = welcome["after"].as_u64().unwrap() + 1;
    for frame in &heard {
        assert_eq!(frame["from"].as_u64().or(frame["sequence"].as_u64()), Some(next), "a hole or a double");
        next = frame["sequence"].as_u64().unwrap() + 1;
    }
    assert_eq!(next, last + 1);
    assert!(seen.len() > 1000, "too few to show anything: {}", seen.len());
}

#[tokio::test]
async fn a_frame_above_the_limit_is_named_and_fetched_in_parts() {
    let options = HostOptions::default().frame_bytes(10_000).answer_bytes(6_000);
    let host = Host::with_options(options).await;
    let (mut ada, _) = host.enter("ada").await;
    ada.ask("prompt", json!({ "promptId": "p", "text": "big 20000" })).await;
    let large = ada.hear_until(|message| message["type"] == "large").await;
    let total = large["data"]["bytes"].as_u64().unwrap() as usize;
    let mut json = String::new();
    while json.len() < total {
        let args = json!({ "sequence": large["sequence"], "offset": json.len() });
        let part = ada.call("getFramePart", args).await.unwrap();
        assert_eq!(part["total"], total);
        json.push_str(part["text"].as_str().unwrap());
    }
    let frame: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(frame["sequence"], large["sequence"]);
    assert_eq!(said(&[frame]).len(), 20_000);
}

#[tokio::test]
async fn a_client_that_floods_and_reads_nothing_is_cut_off() {
    let silence = Duration::from_millis(300);
    let host = Host::with_options(HostOptions::default().silence(silence)).await;
    let (ada, _) = host.enter("ada").await;
    let (mut bob, _) = host.enter("bob").await;
    let (mut sink, stream) = ada.split();
    let flood = tokio::spawn(async move {
        let message = Message::text(r#"{"id":1,"action":"getSequencedEvents","args":{"since":0}}"#);
        while futures::SinkExt::send(&mut sink, message.clone()).await.is_ok() {}
        drop(stream);
    });
    // Bob reads, and so answers pings; his own come as often as they must.
    let gone = within(async {
        loop {
            bob.say(&json!({ "type": "ping" })).await;
            let message = bob.hear().await;
            if message["type"] == "presence" && message["data"]["here"].as_array().unwrap().len() == 1 {
                break message;
            }
        }
    })
    .await;
    assert_eq!(gone["data"]["here"][0]["id"], "bob");
    within(flood).await.unwrap();
}
