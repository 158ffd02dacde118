//! What an agent may ask of its client, beside permissions: off until somebody handles it.

mod answer;
mod traits;

use std::fmt;
use std::sync::Arc;

pub(crate) use self::answer::{Call, Patience};
pub use self::traits::{
    Asked, Elicitation, ExtensionHandler, Handled, Terminals, TextFileReader, TextFileWriter,
};
use crate::acp_types::{ClientCapabilities, ElicitationCapabilities};

/// Answers to what agents ask of their client: files, terminals, questions, extensions.
///
/// Each is off until it has a handler. What is off is refused at once with "method not found", so that no agent
/// waits for it, and `initialize` declares only what is on. A handler runs as a task of its own: it slows neither
/// the session nor its neighbours, and several may run at once. It is bounded by
/// [`Limits::handler`](crate::Limits::handler), or by [`Limits::handler_wait`](crate::Limits::handler_wait) where it
/// waits for people or for a command's end; what takes longer, panics or fails is an error to the agent. When its
/// turn is cancelled, or the agent takes its request back, it is dropped. Request and answer are in the record.
///
/// Where two SDKs read one agent process without a [holder](crate::SandboxAgentBuilder::holder), the handlers of both
/// run, and the first answer counts.
///
/// ```
/// use sandbox_agent_sdk::acp_schema::{Error, ReadTextFileRequest, ReadTextFileResponse};
/// use sandbox_agent_sdk::{Asked, ClientHandlers, Handled, TextFileReader, async_trait};
///
/// struct Notes;
///
/// #[async_trait]
/// impl TextFileReader for Notes {
///     async fn read_text_file(&self, _: &Asked, request: ReadTextFileRequest) -> Handled<ReadTextFileResponse> {
///         if request.path.ends_with("notes.md") {
///             return Ok(ReadTextFileResponse::new("Buy plums."));
///         }
///         Err(Error::resource_not_found(Some(request.path.display().to_string())))
///     }
/// }
///
/// let handlers = ClientHandlers::new().read_text_files(Notes);
/// # let _ = handlers;
/// ```
#[derive(Clone, Default)]
pub struct ClientHandlers {
    reader: Option<Arc<dyn TextFileReader>>,
    writer: Option<Arc<dyn TextFileWriter>>,
    terminals: Option<Arc<dyn Terminals>>,
    elicitation: Option<Arc<dyn Elicitation>>,
    extensions: Option<Arc<dyn ExtensionHandler>>,
}

impl ClientHandlers {
    /// None: everything is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers `fs/read_text_file`.
    #[must_use]
    pub fn read_text_files(mut self, handler: impl TextFileReader) -> Self {
        self.reader = Some(Arc::new(handler));
        self
    }

    /// Answers `fs/write_text_file`.
    #[must_use]
    pub fn write_text_files(mut self, handler: impl TextFileWriter) -> Self {
        self.writer = Some(Arc::new(handler));
        self
    }

    /// Answers `terminal/create` and all else of terminals.
    #[must_use]
    pub fn terminals(mut self, handler: impl Terminals) -> Self {
        self.terminals = Some(Arc::new(handler));
        self
    }

    /// Answers `elicitation/create`: the agent's questions to the person whom it works for.
    #[must_use]
    pub fn elicitation(mut self, handler: impl Elicitation) -> Self {
        self.elicitation = Some(Arc::new(handler));
        self
    }

    /// Answers requests of methods that the SDK does not know.
    #[must_use]
    pub fn extensions(mut self, handler: impl ExtensionHandler) -> Self {
        self.extensions = Some(Arc::new(handler));
        self
    }

    /// What is handled, and nothing else of what is handled here, whatever these capabilities say.
    pub(crate) fn declare(&self, mut capabilities: ClientCapabilities) -> ClientCapabilities {
        capabilities.fs.read_text_file = self.reader.is_some();
        capabilities.fs.write_text_file = self.writer.is_some();
        capabilities.terminal = self.terminals.is_some();
        let asked = self.elicitation.as_ref().map(|handler| handler.capabilities());
        capabilities.elicitation = asked.filter(|asked| *asked != ElicitationCapabilities::new());
        capabilities
    }
}

impl fmt::Debug for ClientHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandlers")
            .field("read_text_files", &self.reader.is_some())
            .field("write_text_files", &self.writer.is_some())
            .field("terminals", &self.terminals.is_some())
            .field("elicitation", &self.elicitation.is_some())
            .field("extensions", &self.extensions.is_some())
            .finish()
    }
}
