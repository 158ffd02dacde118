//! Many people and programs on one session of a coding agent.
//!
//! A [`Workspace`] owns a [`SandboxAgent`](sandbox_agent_sdk::SandboxAgent) and its sessions. Everything that
//! happens in it is a [`Frame`] of one numbered line: what agents do, what people say to them, who is here,
//! who drives. Whoever looks on gets a [`Snapshot`] and every frame behind it, without a hole, without a
//! double, at their own speed, and again from where they were when they come back.
//!
//! ```no_run
//! use sandbox_agent_multiplayer::{ConnectionRequest, Error, FrameBody, NewPrompt, Participant, Person, Rights, Workspace};
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
//! let ada = workspace.join(&ConnectionRequest::new("workspace-42").token("secret")).await?;
//! let (snapshot, mut frames) = ada.subscribe()?;
//! println!("{} are here", snapshot.here.len());
//! ada.prompt(NewPrompt::new("Propose a refactor plan for the auth middleware")).await?;
//! while let Some(frame) = frames.recv().await {
//!     match &frame?.body {
//!         FrameBody::ChatUser(chat) => println!("{}: {}", chat.user_id, chat.text),
//!         FrameBody::SessionEvent(event) => println!("{}", event.payload),
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # What holds
//!
//! 1. **Stored before told.** A frame is in the store before anybody sees it; a prompt is accepted when the
//!    frame that says it is stored.
//! 2. **Without a hole or a double,** from any frame on. What the store dropped is a frame that says so.
//! 3. **Slow readers hurt nobody.** They read on from the store; no payload is copied for them.
//! 4. **Never twice.** A [prompt's id](NewPrompt::prompt_id) is sent to the agent once, also across a restart.
//! 5. **Nobody, unless told.** The [hook](Authorize) that says who may come refuses by default.
//! 6. **Control is a lease.** It ends when its holder has been gone for [`Limits::grace`], and who acts on an
//!    older [term](Control::term) is refused.
//!
//! # Hosts
//!
//! In this process, [`Workspace::join`] is all. `sandbox-agent-multiplayer-axum` serves workspaces over
//! WebSocket and SSE; `sandbox-agent-multiplayer-rivet` runs each in an actor, which the engine keeps on one
//! of many nodes. All take the same [calls](Call), and give the same [frames](Frame::json).

mod authorize;
mod call;
mod client;
mod control;
mod dispatch;
mod error;
mod frame;
mod limits;
mod line;
mod member;
mod participant;
mod prompt;
mod sandbox;
mod snapshot;
mod workspace;

pub use authorize::{Authorize, ConnectionRequest, RefuseAll};
pub use call::{Call, Page};
pub use client::{
    Caller, ClientFrames, ClientLimits, Connection, InProcess, Pushed, Resume, Status, Subscription,
    Transport, WhileAway, Why, WorkspaceClient, WorkspaceClientBuilder,
};
pub use control::{Control, ControlPolicy, ObserverPrompts};
pub use error::{Error, ErrorKind, Result};
pub use frame::{
    Activity, ChatUser, Frame, FrameBody, Output, PermissionRequested, PermissionResolved, Presence,
    ProcessState, State,
};
pub use limits::Limits;
pub use line::Frames;
pub use member::Member;
pub use participant::{Participant, Person, Rights};
pub use prompt::{Accepted, Failure, NewPrompt, Phase, PromptState};
pub use sandbox::{Command, CommandOutput, Content};
pub use snapshot::{SessionSummary, Snapshot};
pub use workspace::{Hook, Workspace, WorkspaceBuilder};
