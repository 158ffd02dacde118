//! A host with one workspace, and a client of it.

use std::net::SocketAddr;
use std::time::Duration;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, Stream, StreamExt};
use sandbox_agent_multiplayer::{
    ConnectionRequest, Error, Limits, Participant, Person, Rights, Workspace, WorkspaceBuilder,
};
use sandbox_agent_multiplayer_axum::{HostOptions, Workspaces, workspace_router_with};
use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
use sandbox_agent_testkit::Sandbox;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Far above what anything takes: passing it means that it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it hangs")
}

/// Who the tests' tokens belong to.
pub(crate) fn team(token: Option<&str>) -> Result<Participant, Error> {
    match token {
        Some("ada") => Ok(Participant::new(Person::new("ada").named("Ada"), Rights::OWNER)),
        Some("bob") => Ok(Participant::new(Person::new("bob").named("Bob"), Rights::MEMBER)),
        Some("eve") => Ok(Participant::new(Person::new("eve"), Rights::OBSERVER)),
        _ => Err(Error::refused("this token is nobody's; log in again")),
    }
}

pub(crate) struct Host {
    pub(crate) workspace: Workspace,
    pub(crate) workspaces: Workspaces,
    pub(crate) address: SocketAddr,
    pub(crate) serving: JoinHandle<()>,
    // Dropped last: it fails the test when something in it panicked.
    _sandbox: Sandbox,
}

impl Host {
    pub(crate) async fn start() -> Self {
        Self::with(HostOptions::default(), |workspace| workspace).await
    }

    pub(crate) async fn with_options(options: HostOptions) -> Self {
        Self::with(options, |workspace| workspace).await
    }

    pub(crate) async fn with(
        options: HostOptions,
        set_up: impl FnOnce(WorkspaceBuilder) -> WorkspaceBuilder,
    ) -> Self {
        let sandbox = Sandbox::builder().quick_delete().start().await.unwrap();
        let sdk = SandboxAgent::connect(sandbox.url()).await.unwrap();
        let builder = Workspace::builder("w", sdk)
            .session(SessionRequest::new("default", "mock"))
            .limits(Limits::default().grace(Duration::from_secs(60)))
            .authorize_with(|request: ConnectionRequest| async move { team(request.token.as_deref()) });
        let workspace = set_up(builder).open().await.unwrap();
        let workspaces = Workspaces::new();
        workspaces.insert(workspace.clone());
        let (address, serving) = serve(workspaces.clone(), options).await;
        Self { workspace, workspaces, address, serving, _sandbox: sandbox }
    }

    pub(crate) fn http(&self, rest: &str) -> String {
        format!("http://{}/at/w/{rest}", self.address)
    }

    pub(crate) fn ws(&self) -> String {
        format!("ws://{}/at/w/ws", self.address)
    }

    /// Somebody who has said hello, and what they were welcomed with.
    pub(crate) async fn enter(&self, token: &str) -> (Client, Value) {
        let mut client = Client::connect(&self.ws()).await;
        client.say(&json!({ "type": "hello", "token": token })).await;
        let welcome = client.hear().await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        (client, welcome)
    }

    /// The same with everything that has happened.
    pub(crate) async fn enter_after(&self, token: &str, after: u64) -> Client {
        let mut client = Client::connect(&self.ws()).await;
        client.say(&json!({ "type": "hello", "token": token, "after": after })).await;
        assert_eq!(client.hear().await["type"], "welcome");
        client
    }
}

pub(crate) async fn serve(workspaces: Workspaces, options: HostOptions) -> (SocketAddr, JoinHandle<()>) {
    let socket = TcpSocket::new_v4().unwrap();
    // Small, so that little has to be said before it shows that somebody reads nothing.
    socket.set_send_buffer_size(32 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1024).unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().nest("/at", workspace_router_with(workspaces.clone(), options));
    let serving = tokio::spawn(async move {
        tokio::select! {
            ended = axum::serve(listener, router).with_graceful_shutdown(workspaces.stopped()) => ended.unwrap(),
            () = workspaces.overdue() => {}
        }
    });
    (address, serving)
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) struct Client {
    socket: Socket,
    next_call: u64,
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Self {
        Self::try_connect(url, &[]).await.unwrap()
    }

    pub(crate) async fn try_connect(
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = within(tokio_tungstenite::connect_async(request)).await?;
        Ok(Self { socket, next_call: 0 })
    }

    /// To write and read at once.
    pub(crate) fn split(self) -> (SplitSink<Socket, Message>, SplitStream<Socket>) {
        self.socket.split()
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        self.send(Message::text(message.to_string())).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        within(self.socket.send(message)).await.unwrap();
    }

    /// The next text as it travelled, or how the connection was closed.
    pub(crate) async fn raw(&mut self) -> Result<String, Option<CloseFrame>> {
        raw(&mut self.socket).await
    }

    pub(crate) async fn hear(&mut self) -> Value {
        match self.raw().await {
            Ok(text) => serde_json::from_str(&text).unwrap(),
            Err(close) => panic!("closed: {close:?}"),
        }
    }

    pub(crate) async fn hear_until(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let message = self.hear().await;
            if wanted(&message) {
                return message;
            }
        }
    }

    /// The error that ends the connection, and the close frame behind it.
    pub(crate) async fn farewell(&mut self) -> (Value, CloseFrame) {
        Self::farewell_of(&mut self.socket).await
    }

    pub(crate) async fn farewell_of(
        stream: &mut (impl Stream<Item = tungstenite::Result<Message>> + Unpin),
    ) -> (Value, CloseFrame) {
        loop {
            let text = raw(stream).await.expect("an error comes before the end");
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["type"] == "error" {
                let close = raw(stream).await.expect_err("nothing follows a farewell").expect("it says why");
                return (message["error"].clone(), close);
            }
        }
    }

    /// Sends a call; gives its number.
    pub(crate) async fn ask(&mut self, action: &str, args: Value) -> u64 {
        self.next_call += 1;
        self.say(&json!({ "id": self.next_call, "action": action, "args": args })).await;
        self.next_call
    }

    /// Makes a call; gives its answer, and drops the frames before it.
    pub(crate) async fn call(&mut self, action: &str, args: Value) -> Result<Value, Value> {
        let id = self.ask(action, args).await;
        let answer = self.hear_until(|message| message["id"] == id).await;
        match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["ok"].clone()),
        }
    }

    pub(crate) async fn prompt(&mut self, id: &str, text: &str) -> Result<Value, Value> {
        self.call("prompt", json!({ "promptId": id, "text": text })).await
    }

    /// Hears until the prompt is over; gives what was heard on the way.
    pub(crate) async fn hear_turn(&mut self, prompt_id: &str) -> Vec<Value> {
        let mut heard = Vec::new();
        loop {
            let message = self.hear().await;
            let prompt = &message["data"]["prompt"];
            let over = prompt["promptId"] == prompt_id && prompt["phase"] == "done";
            heard.push(message);
            if over {
                return heard;
            }
        }
    }
}

async fn raw(
    stream: &mut (impl Stream<Item = tungstenite::Result<Message>> + Unpin),
) -> Result<String, Option<CloseFrame>> {
    within(async {
        loop {
            match stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    })
    .await
}

/// The text that agents said in these frames.
pub(crate) fn said(frames: &[Value]) -> String {
    let update = |frame: &Value| frame["data"]["payload"]["params"]["update"].clone();
    let updates = frames.iter().filter(|frame| frame["type"] == "session.event").map(update);
    let texts = updates.filter(|update| update["sessionUpdate"] == "agent_message_chunk");
    texts.filter_map(|update| Some(update["content"]["text"].as_str()?.to_owned())).collect()
}
