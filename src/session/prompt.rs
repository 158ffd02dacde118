//! What is said to the agent.

use serde_json::{Map, Value};

use crate::acp_types::{ContentBlock, TextContent};

/// A prompt: text, a content block or several, and how it is to be sent.
///
/// ```
/// use sandbox_agent_sdk::Prompt;
///
/// let prompt = Prompt::new("Summarize this repository").idempotency_key("job-17");
/// # let _ = prompt;
/// ```
#[derive(Clone, Debug)]
pub struct Prompt {
    pub(crate) blocks: Vec<ContentBlock>,
    pub(crate) key: Option<String>,
    pub(crate) meta: Map<String, Value>,
    pub(crate) when_busy: WhenBusy,
}

/// What becomes of a prompt while a turn of its session runs, or others wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenBusy {
    /// It waits for its time, in the order of the calls. The default.
    #[default]
    Queue,
    /// It is refused with [`Busy`](crate::ErrorKind::Busy).
    Reject,
    /// The turn that runs is cancelled, those that wait are taken out of the queue, and this one comes next.
    Interrupt,
}

impl Prompt {
    /// A prompt of text, a block, or blocks.
    pub fn new(content: impl Into<Self>) -> Self {
        content.into()
    }

    /// A key that the store remembers: a second prompt of the session with the same key is
    /// refused with [`DuplicatePrompt`](crate::ErrorKind::DuplicatePrompt), also by another process
    /// and after a restart; the error's [`delivery`](crate::Error::delivery) says what became of the
    /// first. A prompt that was not sent leaves its key free. The key holds as long as the store
    /// keeps the first prompt's event.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The `_meta` that the agent gets with it.
    #[must_use]
    pub fn meta(mut self, meta: Map<String, Value>) -> Self {
        self.meta = meta;
        self
    }

    /// What becomes of it while another turn runs; it [waits](WhenBusy::Queue) unless told.
    #[must_use]
    pub fn when_busy(mut self, policy: WhenBusy) -> Self {
        self.when_busy = policy;
        self
    }
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self::from(ContentBlock::Text(TextContent::new(text)))
    }
}

impl From<&String> for Prompt {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<ContentBlock> for Prompt {
    fn from(block: ContentBlock) -> Self {
        Self::from(vec![block])
    }
}

impl From<Vec<ContentBlock>> for Prompt {
    fn from(blocks: Vec<ContentBlock>) -> Self {
        Self { blocks, key: None, meta: Map::new(), when_busy: WhenBusy::Queue }
    }
}
