//! Clients that take nothing of what they are told.

use std::time::{Duration, Instant};

use sandbox_agent_multiplayer::{ConnectionRequest, Participant, Person, Rights};
use sandbox_agent_multiplayer_axum::HostOptions;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Host, team, within};

/// Much more than all buffers between hold.
const MUCH: &str = "stream 3000 size=1000";

async fn connect(host: &Host) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    within(socket.connect(host.address)).await.unwrap()
}

/// Asks for SSE, and reads nothing.
async fn stalled(host: &Host) -> TcpStream {
    let mut eve = connect(host).await;
    let request = format!(
        "GET /at/w/events?after=0 HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer eve\r\n\r\n",
        host.address
    );
    within(eve.write_all(request.as_bytes())).await.unwrap();
    eve
}

async fn hear_here(client: &mut Client, wanted: &[&str]) {
    client
        .hear_until(|message| {
            let here = message["data"]["here"].as_array().into_iter().flatten();
            message["type"] == "presence" && here.map(|person| &person["id"]).eq(wanted)
        })
        .await;
}

#[tokio::test]
async fn who_reads_no_events_is_no_longer_here_and_gives_their_place_back() {
    let options = HostOptions::default().silence(Duration::from_millis(500)).ping(Duration::from_millis(50));
    let host = Host::with_options(options.connections(2)).await;
    let (mut ada, _) = host.enter("ada").await;
    let eve = stalled(&host).await;
    hear_here(&mut ada, &["ada", "eve"]).await;
    ada.ask("prompt", json!({ "promptId": "p", "text": MUCH })).await;
    hear_here(&mut ada, &["ada"]).await;
    within(async {
        let come = async || {
            let request = reqwest::Client::new().get(host.http("snapshot")).bearer_auth("eve");
            request.send().await.unwrap().status()
        };
        while come().await != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(eve);
}

#[tokio::test]
async fn who_reads_no_events_holds_no_end_up() {
    let host = Host::with_options(HostOptions::default().farewell(Duration::from_millis(200))).await;
    let (mut ada, _) = host.enter("ada").await;
    let eve = stalled(&host).await;
    hear_here(&mut ada, &["ada", "eve"]).await;
    ada.ask("prompt", json!({ "promptId": "p", "text": MUCH })).await;
    ada.hear_turn("p").await;
    drop(ada);
    let start = Instant::now();
    within(host.workspaces.shutdown()).await;
    assert!(start.elapsed() < Duration::from_secs(3), "it was not waited for in vain: {:?}", start.elapsed());
    within(async {
        while !host.workspace.snapshot().here.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(host.serving).await.unwrap();
    drop(eve);
}

#[tokio::test]
async fn who_reads_no_welcome_is_no_longer_here() {
    let options = HostOptions::default().silence(Duration::from_millis(500)).ping(Duration::from_millis(50));
    let host = Host::with(options, |workspace| {
        workspace.authorize_with(|request: ConnectionRequest| async move {
            match request.token.as_deref() {
                Some("long") => {
                    let person = Person::new("long").named("x".repeat(300_000));
                    Ok(Participant::new(person, Rights::OBSERVER))
                }
                token => team(token),
            }
        })
    })
    .await;
    let (mut ada, _) = host.enter("ada").await;
    let (mut long, _) = within(client_async(host.ws(), connect(&host).await)).await.unwrap();
    let hello: Value = json!({ "type": "hello", "token": "long" });
    within(futures::SinkExt::send(&mut long, Message::text(hello.to_string()))).await.unwrap();
    hear_here(&mut ada, &["ada", "long"]).await;
    hear_here(&mut ada, &["ada"]).await;
    drop(long);
}
