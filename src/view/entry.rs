//! What a session is made of, for whoever shows it.

use std::sync::Arc;

use sandbox_agent_persist::SessionEvent;

use crate::acp::Gap;
use crate::acp_types::{ContentBlock, Cost, PermissionOption, Plan, ToolCall};

/// One thing that happened in a session: it may still grow or change while its turn runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The index of the first event that it is made of: by it the raw event is found in the store.
    pub first_index: u64,
    /// And of the newest. Events between the two may belong to other entries.
    pub last_index: u64,
    /// What it is.
    pub what: What,
    pub(super) bytes: usize,
}

/// What an [`Entry`] is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum What {
    /// Somebody says something.
    Message(Message),
    /// The agent uses a tool; what became of it so far is folded in.
    Tool(Box<ToolCall>),
    /// The agent's plan, as of the end of its turn so far.
    Plan(Plan),
    /// The agent asks for a permission.
    Permission(Permission),
    /// The agent asks its client for something else.
    Request(Request),
    /// A turn ended in another way than well; how, is in its [`TurnView`].
    TurnEnded(TurnState),
    /// The agent's process ended.
    ProcessEnded,
    /// Events of the agent were lost.
    Gap(Gap),
    /// Events are not in the store any more.
    Missing {
        /// The first that is missing.
        from: u64,
        /// The last.
        to: u64,
    },
    /// What this version does not know, or can't read: the event as it is.
    Unknown(Arc<SessionEvent>),
}

/// Something that is said, put together from its chunks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Message {
    /// Who says it.
    pub speaker: Speaker,
    /// What is said; text that comes in a row is one block.
    pub content: Vec<ContentBlock>,
    /// The agent's id of the message, where it gives one.
    pub message_id: Option<String>,
    /// The message became larger than what a view keeps, and the rest was left out.
    pub cut: bool,
}

impl Message {
    /// All text of it.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|block| match block {
            ContentBlock::Text(text) => Some(text.text.as_str()),
            _ => None,
        });
        texts.collect()
    }
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Speaker {
    /// The user.
    User,
    /// The agent.
    Agent,
    /// The agent, to itself.
    Thought,
}

/// A permission that an agent asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Permission {
    /// What it wants to do, as far as it says so.
    pub title: String,
    /// The tool call that it is for.
    pub tool_call_id: String,
    /// The answers that the agent takes.
    pub options: Vec<PermissionOption>,
    /// What came of it.
    pub answer: PermissionAnswer,
}

/// What came of a permission request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PermissionAnswer {
    /// It waits.
    Open,
    /// The option with this id was chosen.
    Option(String),
    /// It was cancelled, or ended with its turn.
    Cancelled,
}

/// Something else that an agent asked its client for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// What it asks for.
    pub method: String,
    /// The event that asks.
    pub event: Arc<SessionEvent>,
    /// The event that answers, if there is one yet.
    pub answer: Option<Arc<SessionEvent>>,
}

/// A turn: what it came to, and what it cost.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TurnView {
    /// The index of its prompt.
    pub first_index: u64,
    /// The index of its newest event.
    pub last_index: u64,
    /// How far it is.
    pub state: TurnState,
    /// The tokens that the agent's response names. Agents differ in what they count: this turn, or all turns so far.
    pub tokens: Option<Tokens>,
    /// By how much the session's cost rose during the turn, where the agent tells the cost before and after.
    pub cost: Option<Cost>,
    pub(super) cost_before: CostBefore,
}

/// What a session had cost when a turn began.
#[derive(Clone, Debug)]
pub(super) enum CostBefore {
    Nothing,
    Known(Cost),
    Unknown,
}

/// How far a turn is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnState {
    /// It has no response yet.
    Running,
    /// The agent ended it, for this reason of the protocol: `end_turn`, `cancelled`, `max_tokens`, …
    Ended(String),
    /// The agent answered with an error.
    Failed {
        /// The JSON-RPC error code.
        code: i64,
        /// What the agent says.
        message: String,
    },
    /// There is no response, for this reason of the record: `process_ended`, `not_sent`, `timed_out`, …
    Lost(String),
}

/// Tokens that an agent counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tokens {
    /// All of them.
    pub total: u64,
    /// What the model read.
    pub input: u64,
    /// What it wrote.
    pub output: u64,
    /// What it thought, where that is counted.
    pub thought: Option<u64>,
    /// What came out of a cache.
    pub cached_read: Option<u64>,
    /// What went into it.
    pub cached_write: Option<u64>,
}

/// How much a session has used, as its agent told last.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens in the model's context.
    pub context: Option<u64>,
    /// How many fit into it.
    pub context_size: Option<u64>,
    /// What the session has cost so far.
    pub cost: Option<Cost>,
    /// The tokens that the newest response names.
    pub tokens: Option<Tokens>,
}
