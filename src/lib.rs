//! Placeholder docs.

mod acp;
mod builder;
mod client;
mod error;
mod http;
mod limits;
mod session;
mod sse;

/// The types of the Agent Client Protocol, version 1.
pub use agent_client_protocol_schema::v1 as acp_schema;

pub(crate) mod acp_types {
    pub(crate) use agent_client_protocol_schema::ProtocolVersion;
    pub(crate) use agent_client_protocol_schema::v1::*;
}

pub use acp::{Gap, GapCause};
pub use builder::SandboxAgentBuilder;
pub use client::SandboxAgent;
pub use error::{Delivery, Error, ErrorKind, Limit, Result};
pub use http::Problem;
pub use limits::Limits;
pub use sandbox_agent_persist as persist;
pub use sandbox_agent_persist::{
    ListEventsRequest, ListPage, ListSessionsRequest, Sender, SessionEvent, SessionPersistDriver,
    SessionRecord,
};
pub use sandbox_agent_persist_memory::MemorySessionPersistDriver;
pub use session::{
    EventView, Events, From, Opened, PermissionPolicy, PermissionReply, PermissionRequest,
    PermissionRequests, PermissionSubscription, Prompt, ResumeOutcome, Session, SessionEventExt,
    SessionRequest, SessionState, Subscription, Turn, TurnEvent,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
