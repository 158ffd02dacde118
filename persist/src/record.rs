//! What a store keeps: one record a session, and its events.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::{PersistError, PersistErrorKind, SessionStatus};

/// A session as the store knows it.
///
/// Its JSON is camelCase and shared with TypeScript programs; members that this
/// version does not know are kept in [`extra`](Self::extra) and written back.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SessionRecord {
    /// The caller's name for the session, unique within a store.
    pub id: String,
    /// The agent that runs it, such as `claude` or `codex`.
    pub agent: String,
    /// The agent's own id of the session; changes when it is recreated.
    pub agent_session_id: String,
    /// The server id of the last agent process that ran it.
    pub last_connection_id: String,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_at: i64,
    /// When it was destroyed, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed_at: Option<i64>,
    /// The sandbox that it ran in, where the caller keeps several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<String>,
    /// What the session was opened with (`cwd`, `mcpServers`, …), to open it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_init: Option<Value>,
    /// The agent's configuration options as last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_options: Option<Value>,
    /// The agent's modes as last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modes: Option<Value>,
    /// What it is about, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// When something last happened in it, in milliseconds since the Unix epoch, as far as that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_activity_at: Option<i64>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// When it was put aside, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<i64>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Without what may hold secrets or content: `session_init` has the environment of MCP servers.
impl fmt::Debug for SessionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRecord")
            .field("id", &self.id)
            .field("agent", &self.agent)
            .field("agent_session_id", &self.agent_session_id)
            .field("last_connection_id", &self.last_connection_id)
            .field("created_at", &self.created_at)
            .field("destroyed_at", &self.destroyed_at)
            .field("sandbox_id", &self.sandbox_id)
            .field("last_activity_at", &self.last_activity_at)
            .field("tags", &self.tags)
            .field("archived_at", &self.archived_at)
            .finish_non_exhaustive()
    }
}

impl SessionRecord {
    /// A record with what every session has; the optional members are set on it.
    pub fn new(id: impl Into<String>, agent: impl Into<String>, created_at: i64) -> Self {
        Self {
            id: id.into(),
            agent: agent.into(),
            agent_session_id: String::new(),
            last_connection_id: String::new(),
            created_at,
            destroyed_at: None,
            sandbox_id: None,
            session_init: None,
            config_options: None,
            modes: None,
            title: None,
            last_activity_at: None,
            tags: BTreeSet::new(),
            archived_at: None,
            extra: Map::new(),
        }
    }

    /// Whether it was destroyed.
    pub fn status(&self) -> SessionStatus {
        match self.destroyed_at {
            None => SessionStatus::Open,
            Some(_) => SessionStatus::Destroyed,
        }
    }

    /// When something last happened in it: when it was created, where nothing was noted since.
    pub fn last_active(&self) -> i64 {
        self.last_activity_at.unwrap_or(self.created_at)
    }
}

/// Who wrote an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// The SDK, for its caller.
    Client,
    /// The agent, or the server that runs it.
    Agent,
}

impl Sender {
    /// The word that stands for it in stored JSON and columns.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Agent => "agent",
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One stored envelope of a session.
///
/// The payload is the JSON-RPC message exactly as it travelled: it is never parsed
/// and printed again, so a message that this version does not know passes through whole.
///
/// An event may stand for a run of events that were folded into it. It then has the index of the last
/// one, and [`folded_from`](Self::folded_from) is that of the first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SessionEvent {
    /// Unique within the store, and the same however often the envelope arrives.
    pub id: String,
    /// The place in the session: 1, 2, 3, … without a hole.
    pub event_index: u64,
    /// The first index of the run that it stands for; `None` for an event that stands for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folded_from: Option<u64>,
    /// The session that it belongs to.
    pub session_id: String,
    /// When the SDK saw it, in milliseconds since the Unix epoch.
    pub created_at: i64,
    /// The server id of the agent process that it went to or came from.
    pub connection_id: String,
    /// Who wrote it.
    pub sender: Sender,
    /// The JSON-RPC envelope.
    pub payload: Box<RawValue>,
}

impl SessionEvent {
    /// An event with all that it has.
    pub fn new(
        id: impl Into<String>,
        event_index: u64,
        session_id: impl Into<String>,
        created_at: i64,
        connection_id: impl Into<String>,
        sender: Sender,
        payload: Box<RawValue>,
    ) -> Self {
        Self {
            id: id.into(),
            event_index,
            folded_from: None,
            session_id: session_id.into(),
            created_at,
            connection_id: connection_id.into(),
            sender,
            payload,
        }
    }

    /// The same event, standing for a run of indexes that begins here and ends at its own.
    #[must_use]
    pub fn standing_from(mut self, first_index: u64) -> Self {
        self.folded_from = (first_index < self.event_index).then_some(first_index);
        self
    }

    /// The first index that it stands for.
    pub fn first_index(&self) -> u64 {
        self.folded_from.map_or(self.event_index, |first| first.min(self.event_index))
    }

    /// The indexes that it stands for: its own, or a run that ends there.
    pub fn indexes(&self) -> RangeInclusive<u64> {
        self.first_index()..=self.event_index
    }

    /// Its index, and where its run begins, for a store whose integers have a sign.
    ///
    /// An index that is 0 or does not fit, and a run that begins behind its end, is an error that names the event.
    pub fn signed_indexes(&self) -> Result<(i64, Option<i64>), PersistError> {
        let in_range = |index| i64::try_from(index).ok().filter(|index| *index > 0);
        let folded_from = self.folded_from.map(|first| in_range(first).ok_or(first)).transpose();
        match (in_range(self.event_index), folded_from) {
            (Some(last), Ok(first)) if first.is_none_or(|first| first <= last) => Ok((last, first)),
            _ => Err(PersistError::new(
                PersistErrorKind::Other,
                format!(
                    "event {:?} of session {:?} has no possible place, from {:?} to {}; give it one from 1 to {}",
                    self.id,
                    self.session_id,
                    self.folded_from,
                    self.event_index,
                    i64::MAX
                ),
            )),
        }
    }

    /// Whether any of its indexes is within these exclusive bounds.
    pub fn is_within(&self, (after, before): (Option<u64>, Option<u64>)) -> bool {
        after.is_none_or(|after| self.event_index > after)
            && before.is_none_or(|before| self.first_index() < before)
    }

    /// An error unless it belongs to this session; for a driver to call before it stores it.
    pub fn check_session(&self, session_id: &str) -> Result<(), PersistError> {
        if self.session_id == session_id {
            return Ok(());
        }
        Err(PersistError::new(
            PersistErrorKind::Other,
            format!(
                "event {:?} belongs to session {:?}, not to {session_id:?}; insert it there",
                self.id, self.session_id
            ),
        ))
    }

    /// About how many bytes it takes in memory; what byte limits count.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + self.id.len()
            + self.session_id.len()
            + self.connection_id.len()
            + self.payload.get().len()
    }
}

impl PartialEq for SessionEvent {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && self.event_index == other.event_index
            && self.folded_from == other.folded_from
            && self.session_id == other.session_id
            && self.created_at == other.created_at
            && self.connection_id == other.connection_id
            && self.sender == other.sender
            && self.payload.get() == other.payload.get()
    }
}
