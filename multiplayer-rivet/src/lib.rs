//! Hosts the sessions of `sandbox-agent-sdk` in actors of Rivet's engine, for many people at once.
//!
//! A [`WorkspaceActor`] is a [workspace](sandbox_agent_multiplayer::Workspace) in an actor: found by a key, run
//! by one of many [hosts](WorkspaceHost), asleep while nobody needs it, and taken up by another host when its
//! own dies. [`RivetWorkspaces`] is the way of Rust programs to it, the engine's own client that of pages.
//!
//! ```no_run
//! use sandbox_agent_multiplayer::{ConnectionRequest, Error, Participant, Person, Rights};
//! use sandbox_agent_multiplayer_rivet::{WorkspaceActor, WorkspaceHost, WorkspaceKey, asked_to_end};
//! use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let workspaces = WorkspaceActor::new(|_: WorkspaceKey| async {
//!         // Look up, or start, the sandbox of this workspace.
//!         Ok(SandboxAgent::builder("http://127.0.0.1:2468"))
//!     })
//!     .session(SessionRequest::new("default", "codex").cwd("/repo"))
//!     .authorize_with(|request: ConnectionRequest| async move {
//!         match request.token.as_deref() {
//!             Some("ada's token") => Ok(Participant::new(Person::new("ada"), Rights::OWNER)),
//!             _ => Err(Error::refused("log in first")),
//!         }
//!     });
//!     WorkspaceHost::new("http://127.0.0.1:6420").actor("workspace", workspaces).serve(asked_to_end()).await
//! }
//! ```
//!
//! # What holds
//!
//! Beside what holds for every workspace:
//!
//! 1. **One line, whatever dies.** History, prompts, control and frames are in the actor's own database. A host
//!    that is asked to end, killed or frozen, an engine that is killed and comes back, lose nothing that anybody
//!    was told. A turn that ran goes on in the sandbox and is taken up; its prompt is sent once.
//! 2. **No sleep during a turn.** The actor stays awake while a prompt is on its way, an agent is being started,
//!    or a permission waits. It sleeps when nothing of that is, nobody is connected, and
//!    [`ActorLimits::sleep`] has passed; its agents live on.
//! 3. **Nobody, unless told.** The hook is asked for each connection, and each call over HTTP is one. Who it says
//!    that this is, is kept in the host's memory; nothing that a client sends names it again.
//! 4. **No call without an answer.** Each is answered within [`ActorLimits::call`], also while the sandbox is
//!    away: then by the reason, and the next call tries again.
//! 5. **Within what the engine carries.** Messages to those who look on are as few and as small as it takes
//!    ([`ActorLimits::messages`], [`ActorLimits::message_bytes`]); the state is never above what is saved.
//!
//! Here is, who looks on: a connection takes a seat when it subscribes to `frames`, and gives it up when it
//! closes.
//!
//! # From JavaScript
//!
//! The npm package `rivetkit` (2.3) has a client for the same actors:
//!
//! ```js
//! import { createClient } from "rivetkit/client";
//!
//! const client = createClient({ endpoint: "http://127.0.0.1:6420" });
//! const room = client.workspace.getOrCreate(["team", "workspace-42"], { params: { token } }).connect();
//! room.on("frames", (text) => {
//!   const { frames, last } = JSON.parse(text);
//!   // Show the frames; where their numbers have a hole, or end before `last`, ask for the rest:
//!   // const page = await room.getSequencedEvents(since, 500);
//! });
//! await room.prompt({ promptId: crypto.randomUUID(), text: "Summarize this repository" });
//! ```
//!
//! - The actions are the [calls](sandbox_agent_multiplayer::Call), by their names, each with one object;
//!   `getSequencedEvents` also takes two numbers, `since` and a limit. With a second argument `{ as: "text" }`
//!   the answer is JSON text, in which payloads are as the agent wrote them.
//! - The event `frames` has one argument, the text `{"last": 17, "frames": […]}`. The engine may drop messages,
//!   so `last` is told again after 1, 5 and then each 15 s of silence. A frame that is too large for a message
//!   is there as `{"sequence": 17, "type": "large", "data": {"bytes": 3000000}}`, and comes by `getFramePart`,
//!   with this `sequence`, and with the `from` that is there where the frame stands for several places.
//! - A page says which `line` it is of, as the snapshot does. Another one than before means that the history was
//!   lost and begun anew: forget what you have, and begin with `getSessionInfo`.
//! - Errors have the group `user`, the [kind's word](sandbox_agent_multiplayer::ErrorKind::code) as code, a
//!   sentence, and all that is known as metadata.
//!
//! # The parts
//!
//! [`RivetSqlSessionPersistDriver`] keeps the sessions of an actor in the actor's own database, and can be used
//! without the rest, as can [`MirroredSessionPersistDriver`], which copies their records into the actor's state,
//! where the engine's inspector and TypeScript programs look for them.

mod actor;
mod cbor;
mod client;
mod json;
mod mirror;
mod serve;
mod store;

pub use actor::{ActorLimits, WorkspaceActor, WorkspaceKey, WorkspaceSandbox};
pub use client::{Credentials, IntoKey, RivetTransport, RivetWorkspaces, RivetWorkspacesBuilder};
pub use mirror::{MirroredSessionPersistDriver, RecordMirror};
pub use serve::{WorkspaceHost, asked_to_end};
pub use store::RivetSqlSessionPersistDriver;
