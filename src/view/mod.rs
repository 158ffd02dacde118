//! A session as people see it: folded from its events, one by one.

mod answers;
mod entry;
mod fold;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod model;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod text;
mod updates;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::ops::Deref;

use sandbox_agent_persist::SessionPersistDriver;

use self::answers::Asked;
pub use self::entry::{
    Entry, Message, Permission, PermissionAnswer, Request, Speaker, Tokens, TurnState, TurnView, Usage, What,
};
pub use self::text::PlainText;
pub(crate) use self::updates::says_nothing;
use crate::acp_types::{AvailableCommand, Plan};
use crate::error::Result;
use crate::reading::{Pages, Read};
use crate::session::{Setting, Settings};

const MIB: usize = 1024 * 1024;

/// A session as people see it: messages as they grow, tool calls with their state, plans, permissions, turns with
/// what they cost, and what holds now: title, commands, mode, usage.
///
/// A pure fold: [`add`](Self::add) takes the session's events in their order, stored or live, and what comes out
/// depends on nothing else. It never fails: what this version does not know becomes an entry with the event as it is. An
/// event that it has seen is passed over, so that a reader may begin again where it likes.
///
/// It keeps the newest entries within a number of [bytes](Self::keep_bytes), 64 MiB unless told; the store has the rest.
///
/// ```no_run
/// use futures::StreamExt;
/// use sandbox_agent_sdk::{From, Session, SessionView};
///
/// # async fn example(session: Session) -> Result<(), sandbox_agent_sdk::Error> {
/// let mut view = SessionView::new();
/// let mut events = session.events(From::Start);
/// while let Some(event) = events.next().await {
///     let changed = view.add(event?);
///     if let Some(entry) = changed.and_then(|number| view.entry(number)) {
///         println!("{entry}");
///     }
/// }
/// # Ok(()) }
/// ```
pub struct SessionView {
    entries: VecDeque<Entry>,
    /// How many entries were left out, from the first on.
    left_out: u64,
    bytes: usize,
    keep_bytes: usize,
    turns: VecDeque<TurnView>,
    last_index: u64,
    /// By process and id: which entry a tool call is.
    tools: HashMap<(String, String), u64>,
    /// The message that grows, by whoever says it.
    messages: HashMap<(String, Speaker, String), u64>,
    /// Requests without an answer, of both sides.
    asked: HashMap<Asked, answers::Question>,
    /// The agent's ids of other sessions on the same process.
    forks: HashSet<String>,
    /// The entry of the newest plan, and the turn that it is of.
    planned: Option<(u64, u64)>,
    plan: Option<Plan>,
    title: Option<String>,
    commands: Vec<AvailableCommand>,
    settings: Settings,
    usage: Usage,
}

impl Default for SessionView {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            left_out: 0,
            bytes: 0,
            keep_bytes: 64 * MIB,
            turns: VecDeque::new(),
            last_index: 0,
            tools: HashMap::new(),
            messages: HashMap::new(),
            asked: HashMap::new(),
            forks: HashSet::new(),
            planned: None,
            plan: None,
            title: None,
            commands: Vec::new(),
            settings: Settings::default(),
            usage: Usage::default(),
        }
    }
}

/// Without content.
impl fmt::Debug for SessionView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionView")
            .field("last_index", &self.last_index)
            .field("entries", &self.entries.len())
            .field("left_out", &self.left_out)
            .field("turns", &self.turns.len())
            .finish_non_exhaustive()
    }
}

impl SessionView {
    /// A view that has seen nothing. It begins with the first event that it is given.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes of entries are kept, about; the oldest go first, and [`left_out`](Self::left_out) counts them. One
    /// message that is larger is cut.
    #[must_use]
    pub fn keep_bytes(mut self, bytes: usize) -> Self {
        self.keep_bytes = bytes;
        self
    }

    /// A session of a store, folded from its pages. Needs neither a server nor an SDK.
    ///
    /// Fails as [`Markdown::of`](crate::Markdown::of) does. Each call of the store lasts as long as the store takes;
    /// to go on from there, read the events after [`last_index`](Self::last_index).
    pub async fn of<P>(store: P, session_id: &str) -> Result<Self>
    where
        P: Deref<Target: SessionPersistDriver> + Send + Sync,
    {
        let mut view = Self::new();
        let mut pages = Pages::new(store, session_id);
        while let Some(read) = pages.next().await? {
            view.read(read);
        }
        Ok(view)
    }

    /// What a page of the store says.
    fn read(&mut self, read: Read) {
        match read {
            Read::Record(record) => {
                if self.title.is_none() {
                    self.title.clone_from(&record.title);
                }
            }
            Read::Events(events) => {
                for event in events {
                    self.add(event);
                }
            }
            Read::Missing { from, to } => self.missing(from, to),
        }
    }

    /// The index of the newest event that it has seen.
    pub fn last_index(&self) -> u64 {
        self.last_index
    }

    /// The entries that are kept, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }

    /// The entry with this number: they are counted from 0, those that were left out as well.
    pub fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number.checked_sub(self.left_out)?).ok()?)
    }

    /// How many of the oldest entries were left out: the store has what they were made of.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The turns of the entries that are kept, oldest first.
    pub fn turns(&self) -> impl DoubleEndedIterator<Item = &TurnView> + ExactSizeIterator {
        self.turns.iter()
    }

    /// The turn that runs, or ran last.
    pub fn turn(&self) -> Option<&TurnView> {
        self.turns.back()
    }

    /// What the agent said in its newest turn, without its thoughts.
    pub fn answer(&self) -> String {
        let from = self.turns.back().map_or(0, |turn| turn.first_index);
        let said = self.entries.iter().filter(|entry| entry.first_index >= from);
        let messages = said.filter_map(|entry| match &entry.what {
            What::Message(message) if message.speaker == Speaker::Agent => Some(message.text()),
            _ => None,
        });
        messages.collect::<Vec<_>>().join("\n")
    }

    /// The agent's newest plan: as it tells it, or, of an agent that has a tool for it, as that tool's list of `todos`.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// What the session is about, in the agent's words.
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// The commands that the agent takes at the moment.
    pub fn commands(&self) -> &[AvailableCommand] {
        &self.commands
    }

    /// The modes and the one that is chosen, as [`Session::modes`](crate::Session::modes) has them.
    pub fn modes(&self) -> Option<Setting> {
        self.settings.mode()
    }

    /// The models and the one that is chosen.
    pub fn models(&self) -> Option<Setting> {
        self.settings.model()
    }

    /// The agent's options and what is chosen.
    pub fn config_options(&self) -> Vec<Setting> {
        self.settings.all()
    }

    /// How much the session has used.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }
}
