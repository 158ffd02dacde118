//! One trait for each thing that an agent may ask for.

use async_trait::async_trait;
use serde_json::Value;

use crate::acp_types::{
    CreateElicitationRequest, CreateElicitationResponse, CreateTerminalRequest, CreateTerminalResponse,
    ElicitationCapabilities, ElicitationFormCapabilities, Error, KillTerminalRequest, ReadTextFileRequest,
    ReadTextFileResponse, ReleaseTerminalRequest, TerminalOutputRequest, TerminalOutputResponse,
    WaitForTerminalExitRequest, WaitForTerminalExitResponse, WriteTextFileRequest,
};

/// A handler's answer. The error goes to the agent as it is: code, message and data.
pub type Handled<T> = Result<T, Error>;

/// Who asks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Asked {
    /// The session, by the caller's id. The request has the agent's own.
    pub session_id: String,
    /// The index of the event that asks: when a handler runs, it is in the store.
    pub event_index: u64,
}

impl Asked {
    pub(crate) fn new(session_id: &str, event_index: u64) -> Self {
        Self { session_id: session_id.to_owned(), event_index }
    }
}

/// Reads text files for agents. Any future may be dropped at any point: see [`ClientHandlers`](super::ClientHandlers).
#[async_trait]
pub trait TextFileReader: Send + Sync + 'static {
    /// The text of a file, or of some lines of it. Bounded by [`Limits::handler`](crate::Limits::handler); the answer
    /// has to fit into [`Limits::message_bytes`](crate::Limits::message_bytes).
    async fn read_text_file(
        &self,
        asked: &Asked,
        request: ReadTextFileRequest,
    ) -> Handled<ReadTextFileResponse>;
}

/// Writes text files for agents.
#[async_trait]
pub trait TextFileWriter: Send + Sync + 'static {
    /// Writes a file whole. Bounded by [`Limits::handler`](crate::Limits::handler).
    async fn write_text_file(&self, asked: &Asked, request: WriteTextFileRequest) -> Handled<()>;
}

/// Runs commands for agents.
///
/// Terminals are the handler's own: one that the agent never releases is for the handler to end.
#[async_trait]
pub trait Terminals: Send + Sync + 'static {
    /// Starts a command and gives its terminal an id. Bounded, as all but the wait are, by
    /// [`Limits::handler`](crate::Limits::handler).
    async fn create(&self, asked: &Asked, request: CreateTerminalRequest) -> Handled<CreateTerminalResponse>;

    /// What it has printed so far.
    async fn output(&self, asked: &Asked, request: TerminalOutputRequest) -> Handled<TerminalOutputResponse>;

    /// Waits for its end. Bounded by [`Limits::handler_wait`](crate::Limits::handler_wait).
    async fn wait_for_exit(
        &self,
        asked: &Asked,
        request: WaitForTerminalExitRequest,
    ) -> Handled<WaitForTerminalExitResponse>;

    /// Ends the command; the terminal stays.
    async fn kill(&self, asked: &Asked, request: KillTerminalRequest) -> Handled<()>;

    /// Ends the command, and the terminal.
    async fn release(&self, asked: &Asked, request: ReleaseTerminalRequest) -> Handled<()>;
}

/// Asks people what an agent wants to know.
#[async_trait]
pub trait Elicitation: Send + Sync + 'static {
    /// The kinds of questions that it can put: forms, unless told otherwise. What an agent asks in another way is refused.
    fn capabilities(&self) -> ElicitationCapabilities {
        ElicitationCapabilities::new().form(ElicitationFormCapabilities::new())
    }

    /// The person's answer. Bounded by [`Limits::handler_wait`](crate::Limits::handler_wait); the turn's limit on silence
    /// stands still meanwhile. When the turn is cancelled this is dropped, and the agent gets the answer "cancel".
    async fn elicit(
        &self,
        asked: &Asked,
        request: CreateElicitationRequest,
    ) -> Handled<CreateElicitationResponse>;
}

/// Answers requests that are no part of the protocol.
///
/// An extension's notifications need no handler: [events](crate::Session::events) have all of them, in order, and
/// [`view`](crate::SessionEventExt::view) reads them. The other way there are
/// [`raw_send`](crate::Session::raw_send) and [`raw_notify`](crate::Session::raw_notify).
#[async_trait]
pub trait ExtensionHandler: Send + Sync + 'static {
    /// The result of a method, which may be any that the SDK doesn't know; [`Error::method_not_found`] for one that
    /// this one doesn't know either. Bounded by [`Limits::handler`](crate::Limits::handler).
    async fn request(&self, asked: &Asked, method: &str, params: Value) -> Handled<Value>;
}
