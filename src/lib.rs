//! Sessions with coding agents, from a Rust service: nothing lost in silence, nothing hung,
//! nothing sent twice.
//!
//! A [sandbox-agent](https://github.com/rivet-dev/sandbox-agent) server runs agents (Claude Code, Codex, OpenCode,
//! …) inside a sandbox and speaks the Agent Client Protocol to them. This crate connects to such a
//! server, opens or resumes sessions, sends prompts, and keeps every message of both sides in a
//! store of the caller's choice before it shows it to anybody.
//!
//! ```no_run
//! use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), sandbox_agent_sdk::Error> {
//! let sdk = SandboxAgent::connect("http://127.0.0.1:2468").await?;
//! let request = SessionRequest::new("default", "claude").cwd("/repo");
//! let session = sdk.resume_or_create_session(request).await?;
//! let response = session.prompt("Summarize this repository").await?;
//! println!("{:?}", response.stop_reason);
//! sdk.close().await?;
//! # Ok(()) }
//! ```
//!
//! # The parts
//!
//! - [`SandboxAgent`]: one server and one store. It opens sessions, and has the three ways to part.
//! - [`SandboxProvider`]: makes the sandbox that an SDK is [started](SandboxAgent::start) in, where none runs yet.
//! - [`Session`]: takes prompts, answers permissions, gives events. A cheap clone.
//! - [`Turn`]: one prompt on its way. Await it for the response, or read it as a stream:
//!
//! ```no_run
//! use futures::StreamExt;
//! use sandbox_agent_sdk::{PermissionReply, Session, TurnEvent};
//!
//! # async fn example(session: Session) -> Result<(), sandbox_agent_sdk::Error> {
//! let mut turn = session.prompt("Fix the failing test");
//! while let Some(event) = turn.next().await {
//!     match event? {
//!         TurnEvent::Permission(request) => session.respond(&request.id, PermissionReply::Once).await?,
//!         TurnEvent::Gap(gap) => eprintln!("{} events are missing", gap.missing()),
//!         TurnEvent::Finished(response) => println!("\n{:?}", response.stop_reason),
//!         event => print!("{}", event.text().unwrap_or_default()),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! - [`Session::events`] and [`Session::on_event`]: everything that happens, from any point of the
//!   past on, for anybody who wants to see it. [`SessionEventExt`] reads an event's JSON.
//! - [`SessionView`]: the same as people see it, folded from the events; [`PlainText`] and [`Markdown`] print it.
//! - [`ClientHandlers`]: what agents may ask of their client, beside permissions. Off unless handled.
//! - [`SessionPersistDriver`]: where it is kept. [`MemorySessionPersistDriver`] is the default; the
//!   crate `sandbox-agent-persist-sqlite` keeps it in a file; whoever wants it elsewhere implements
//!   the trait and proves it with the suite in [`persist`].
//!
//! - [`api`]: the rest of the sandbox, typed: [`processes`](SandboxAgent::processes), [`fs`](SandboxAgent::fs),
//!   [`ports`](SandboxAgent::ports), [`agents`](SandboxAgent::agents), [`config`](SandboxAgent::config), [`desktop`](SandboxAgent::desktop).
//!
//! # What holds
//!
//! 1. **Once, in order.** Each message is stored once, an agent's in the order in which the server
//!    sent them; [`event_index`](SessionEvent::event_index) is 1, 2, 3, … without a hole.
//! 2. **Stored before told.** Nobody sees an event that is not in the store, and a prompt is stored
//!    before it is sent. When a [`Turn`] is done, all of it is in the store.
//! 3. **Never lost in silence.** The server drops events of fast agents. They are fetched again;
//!    what can't be had is a [`Gap`] in the record, with its ids and its cause.
//! 4. **Never hung.** Each call says what bounds it, and [`Limits`] has every figure. A broken
//!    connection is replaced; a dead process is an error, and the next prompt starts another.
//! 5. **Never twice.** A prompt is sent once; an error's [`delivery`](Error::delivery) says whether
//!    it arrived, and [`Session::delivery`] what the record says of it later.
//! 6. **Slow readers hurt nobody.** They read on from the store; callbacks have threads of their own.
//! 7. **Resume is honest.** The best rung is taken: the living process, the agent's own records, a
//!    transcript. [`ResumeOutcome`] says which; the cost has a bound at any length of the history.
//! 8. **Permissions wait for people.** Silence never allows anything.
//! 9. **Kill -9 loses nothing stored,** with a durable store.
//! 10. **Secrets stay inside,** also those of a [`TokenProvider`]. Neither token nor header values are in errors, logs or `Debug`.
//!
//! # The runtime
//!
//! Tokio, of either flavour, with time and IO enabled. The SDK's tasks run on the runtime that
//! [`SandboxAgent::connect`] was called in. Every other `async` call has to be awaited in a tokio
//! runtime as well, and panics outside of one, as tokio's own timers do. Calls that are not `async`
//! ([`Session::prompt`], [`Session::on_event`], …) can be made from anywhere.
//!
//! # Features
//!
//! `rustls` (default): `https://` by rustls with the platform's certificates.
//!
//! `native-tls`: `https://` by the platform's own TLS, which on Linux is OpenSSL, and has to be there with what it
//! is built with (`libssl-dev`, `pkg-config`). Where both are on, rustls is used. WebSockets go over the same
//! connections. With neither, `http://` only, or a client given to [`SandboxAgentBuilder::client`].
//!
//! `websocket`: terminals of processes, and the signalling of the desktop's stream.
//!
//! `files`: files and folders of any size, to and from the sandbox, checked by their SHA-256.
//!
//! `local`: `LocalSandbox`, a server of this machine that ends with the program. On Unix; it adds tokio's `process`.

mod acp;
pub mod api;
mod builder;
mod client;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod handlers;
mod http;
mod limits;
#[cfg(all(feature = "local", unix))]
mod local;
mod markdown;
mod metrics;
mod reading;
mod sandbox;
mod session;
mod sse;
mod time;
mod view;

/// The types of the Agent Client Protocol, version 1.
pub use agent_client_protocol_schema::v1 as acp_schema;

pub(crate) mod acp_types {
    pub(crate) use agent_client_protocol_schema::ProtocolVersion;
    pub(crate) use agent_client_protocol_schema::v1::*;
}

pub use acp::{Gap, GapCause};
pub use async_trait::async_trait;
pub use builder::SandboxAgentBuilder;
pub use client::{SandboxAgent, SecretUrl};
pub use error::{Delivery, Error, ErrorKind, Limit, Result};
pub use handlers::{
    Asked, ClientHandlers, Elicitation, ExtensionHandler, Handled, Terminals, TextFileReader, TextFileWriter,
};
pub use http::{Problem, Token, TokenProvider};
pub use limits::{Area, Limits};
#[cfg(all(feature = "local", unix))]
pub use local::{LocalProvider, LocalSandbox, LocalSandboxBuilder};
pub use markdown::Markdown;
pub use metrics::Metrics;
pub use sandbox::{SandboxEndpoint, SandboxError, SandboxErrorKind, SandboxProvider};
pub use sandbox_agent_persist as persist;
pub use sandbox_agent_persist::{
    ListEventsRequest, ListPage, ListSessionsRequest, Sender, SessionEvent, SessionFilter,
    SessionPersistDriver, SessionPersistDriverExt, SessionRecord,
};
pub use sandbox_agent_persist_memory::MemorySessionPersistDriver;
pub use serde_json;
pub use session::{
    Authentication, Choice, Compaction, EventView, Events, ForkedFrom, From, NotRestored, Opened,
    PermissionPolicy, PermissionReply, PermissionRequest, PermissionRequests, PermissionSubscription, Prompt,
    ResumeOutcome, Session, SessionEventExt, SessionRequest, SessionState, Setting, Subscription, Turn,
    TurnEvent, TurnStats, WhenBusy,
};
pub use view::{
    Entry, Message, Permission, PermissionAnswer, PlainText, Request, SessionView, Speaker, Tokens,
    TurnState, TurnView, Usage, What,
};

// With all that it shows.
#[cfg(all(doctest, feature = "local", unix))]
#[doc = include_str!("../README.md")]
struct Readme;
