//! Serves [workspaces](Workspace) over WebSocket and SSE, in a router of your own axum server.
//!
//! ```no_run
//! use sandbox_agent_multiplayer::{ConnectionRequest, Error, Participant, Person, Rights, Workspace};
//! use sandbox_agent_multiplayer_axum::{Workspaces, workspace_router};
//! use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sdk = SandboxAgent::connect("http://127.0.0.1:2468").await?;
//! let workspace = Workspace::builder("workspace-42", sdk)
//!     .session(SessionRequest::new("default", "claude").cwd("/repo"))
//!     .authorize_with(|request: ConnectionRequest| async move {
//!         match request.token.as_deref() {
//!             Some("secret") => Ok(Participant::new(Person::new("ada").named("Ada"), Rights::OWNER)),
//!             _ => Err(Error::refused("log in first")),
//!         }
//!     })
//!     .open()
//!     .await?;
//!
//! let workspaces = Workspaces::new();
//! workspaces.insert(workspace);
//! let app = axum::Router::new().nest("/workspaces", workspace_router(workspaces.clone()));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! // `workspaces.shutdown()` ends it: open connections would keep the server up for as long as somebody looks on.
//! tokio::select! {
//!     ended = axum::serve(listener, app).with_graceful_shutdown(workspaces.stopped()) => ended?,
//!     // Some client that reads nothing would keep the server up for as long as it likes.
//!     () = workspaces.overdue() => {}
//! }
//! # Ok(()) }
//! ```
//!
//! # Routes
//!
//! | route | does |
//! | --- | --- |
//! | `GET /{workspace}/ws` | a WebSocket: frames, calls and answers. Whoever is on it is shown as here |
//! | `GET /{workspace}/events` | the frames as SSE, `id:` is the sequence. Goes on after `Last-Event-ID`, or `?after=17`, of `?line=…` where that is given. Whoever reads it is shown as here |
//! | `POST /{workspace}/calls/{action}` | one [call](sandbox_agent_multiplayer::Call): JSON arguments, JSON answer |
//! | `GET /{workspace}/snapshot` | what the workspace is like: the call `getSessionInfo` |
//!
//! Every error is a [`Failure`](sandbox_agent_multiplayer::Failure) as JSON, with a status that fits.
//!
//! # The WebSocket
//!
//! All messages are texts of JSON. The client speaks first:
//!
//! ```json
//! {"type": "hello", "token": "…", "params": {"name": "Ada"}, "after": 17, "line": "1730000000000"}
//! ```
//!
//! `line` is what the snapshot said when frame 17 was read. Where the store has lost that line since, and
//! begun another one, the hello is refused with `other_line` rather than answered with frames of the other one.
//! Without `after` the frames begin behind the snapshot; with `"recent": 500` that many before it. What
//! comes back is a `welcome`, then each frame as [`Frame::json`](sandbox_agent_multiplayer::Frame::json) has it:
//!
//! ```json
//! {"type": "welcome", "snapshot": {}, "you": {"person": {"id": "ada"}, "rights": ["see", "prompt"]}, "after": 17}
//! {"sequence": 18, "at": 1730000000000, "type": "presence", "data": {"here": []}}
//! ```
//!
//! Calls carry a number, which their answer repeats. Calls that change something happen in the order in
//! which they were sent; those that read or open go on beside them:
//!
//! ```json
//! {"id": 1, "action": "prompt", "args": {"promptId": "6b9d…", "text": "Hello"}}
//! {"id": 1, "ok": {"promptId": "6b9d…", "phase": "queued"}}
//! {"id": 2, "error": {"code": "not_driving", "message": "ada drives; ask for control", "data": {"drivers": ["ada"]}}}
//! ```
//!
//! `{"type": "ping"}` is answered by `{"type": "pong", "sequence": 18}`, for clients that can't see the
//! WebSocket's own pings. Before the server closes a connection for a reason, it sends
//! `{"type": "error", "error": {…}}`, and the close frame has the error's code as its text.
//!
//! A frame above [`HostOptions::frame_bytes`] comes as `{"sequence": 18, "type": "large", "data": {"bytes":
//! 9000000}}`; the call `getFramePart` fetches what it says, with this `sequence`, and with the `from` that is
//! there where the frame stands for several places.
//!
//! # Who is let in
//!
//! The workspace's [hook](sandbox_agent_multiplayer::Authorize) decides, for every connection and every call
//! that is made apart. The token comes from the header `Authorization: Bearer …`, or from the hello, because
//! browsers can't set headers on a WebSocket. It never comes from the URL, unless
//! [told](HostOptions::token_parameter): URLs end up in the logs of every proxy, in histories and in
//! `Referer` headers, and a token that is read there opens the workspace. Browsers can read SSE with a
//! header by `fetch`. Where a workspace does not exist, whoever asks is told so without being let in.
//!
//! A browser also tells which page it acts for. Pages of other hosts than the server's own are refused
//! unless they are [named](HostOptions::allow_origin): otherwise any page that somebody opens could reach
//! a server on their own machine in their place.
//!
//! # Bounds
//!
//! A frame is serialised once for all, and a connection holds no queue of frames: a client that reads
//! slowly is read for from the store, at its speed. [`HostOptions`] has every figure.

mod answer;
mod calls;
mod events;
mod failure;
mod host;
mod options;
mod outgoing;
mod protocol;
mod request;
mod socket;
mod workspaces;

/// The axum that the router is of.
pub use axum;
pub use host::{workspace_router, workspace_router_with};
pub use options::HostOptions;
pub use workspaces::Workspaces;

#[cfg(doc)]
use sandbox_agent_multiplayer::Workspace;
