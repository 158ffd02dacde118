//! What a workspace is like at one place of its line: all frames up to there, taken together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::frame::{Activity, ChatUser, FrameBody, PermissionRequested, ProcessState, State};
use crate::participant::Person;
use crate::prompt::{Phase, PromptState};

/// How many prompts that are over are kept.
const RECENT: usize = 32;
/// How many processes that have ended are kept.
const ENDED: usize = 16;

/// What a workspace is like at one place of its line.
///
/// It is what all frames up to [`sequence`](Self::sequence) come to, so that whoever applies the frames
/// behind it to it stays right.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Snapshot {
    /// The workspace.
    pub workspace: String,
    /// Which line it is of: another one where the store has lost the line, and it was begun anew. Numbers of
    /// one line say nothing in another. A store that was set back to an older copy keeps the name: what it has lost
    /// shows only while the line is shorter than it was.
    pub line: String,
    /// The last frame that it has taken in.
    pub sequence: u64,
    /// The sessions, by id.
    pub sessions: BTreeMap<String, SessionSummary>,
    /// The permissions that wait for an answer, oldest first.
    pub permissions: Vec<PermissionRequested>,
    /// The prompts that are not over, oldest first.
    pub prompts: Vec<PromptState>,
    /// The newest prompts that are over, at most 32, oldest first.
    pub recent: Vec<PromptState>,
    /// The processes that were started here: those that run, and some that have ended.
    pub processes: BTreeMap<String, ProcessState>,
    /// Who is here.
    pub here: Vec<Person>,
    /// Who drives.
    pub control: Control,
}

/// A session in a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SessionSummary {
    /// Its agent.
    pub agent: String,
    /// What it does.
    pub state: Activity,
    /// The index of its newest event that is in the line; 0 before the first.
    #[serde(default)]
    pub last_index: u64,
}

impl Snapshot {
    /// Takes a frame in.
    pub fn apply(&mut self, sequence: u64, body: &FrameBody) {
        self.sequence = self.sequence.max(sequence);
        match body {
            FrameBody::SessionEvent(event) => self.reached(&event.session_id, event.event_index),
            FrameBody::ChatUser(chat) => self.said(sequence, chat),
            FrameBody::PermissionRequested(asked) => self.permissions.push((**asked).clone()),
            FrameBody::PermissionResolved(answered) => self.permissions.retain(|asked| {
                (&asked.session_id, &asked.permission_id) != (&answered.session_id, &answered.permission_id)
            }),
            FrameBody::ProcessOutput(output) | FrameBody::ShellData(output) => {
                if let Some(process) = self.processes.get_mut(&output.process_id) {
                    process.last_output = process.last_output.max(output.sequences.1);
                }
            }
            FrameBody::ProcessState(process) => self.process_changed(process),
            FrameBody::Presence(presence) => self.here.clone_from(&presence.here),
            FrameBody::Control(control) => self.control = control.clone(),
            FrameBody::State(state) => self.session_changed(state),
            _ => {}
        }
    }

    /// Notes that a session's events up to this index are in the line.
    pub(crate) fn reached(&mut self, session_id: &str, index: u64) {
        match self.sessions.get_mut(session_id) {
            Some(session) => session.last_index = session.last_index.max(index),
            None => {
                let session =
                    SessionSummary { agent: String::new(), state: Activity::Unknown, last_index: index };
                self.sessions.insert(session_id.to_owned(), session);
            }
        }
    }

    /// The prompt with this id, of those that are not over and the newest that are.
    pub fn prompt(&self, prompt_id: &str) -> Option<&PromptState> {
        self.prompts.iter().chain(&self.recent).find(|prompt| prompt.prompt_id == prompt_id)
    }

    /// A prompt is accepted by the frame that says it, so that no crash comes between.
    fn said(&mut self, sequence: u64, chat: &ChatUser) {
        self.reached(&chat.session_id, 0);
        let phase = if chat.proposed { Phase::Proposed } else { Phase::Queued };
        let prompt = PromptState::new(&chat.prompt_id, &chat.session_id, &chat.user_id, phase, sequence);
        self.prompts.push(prompt);
    }

    fn process_changed(&mut self, change: &ProcessState) {
        let mut change = change.clone();
        // Ids begin anew with the server; a process that starts is another one.
        if let Some(known) = self.processes.get(&change.process_id)
            && !change.running
        {
            change.last_output = change.last_output.max(known.last_output);
        }
        self.processes.insert(change.process_id.clone(), change);
        let ended: Vec<_> = self
            .processes
            .values()
            .filter(|process| !process.running)
            .map(|one| one.process_id.clone())
            .collect();
        if let (Some(first), true) = (ended.first(), ended.len() > ENDED) {
            self.processes.remove(first);
        }
    }

    fn session_changed(&mut self, change: &State) {
        self.reached(&change.session_id, 0);
        if let Some(session) = self.sessions.get_mut(&change.session_id) {
            session.agent.clone_from(&change.agent);
            session.state = change.state;
        }
        let Some(prompt) = &change.prompt else { return };
        let known = self.prompts.iter_mut().find(|known| known.prompt_id == prompt.prompt_id);
        match known {
            _ if prompt.phase.is_over() => {
                self.prompts.retain(|known| known.prompt_id != prompt.prompt_id);
                if self.recent.len() >= RECENT {
                    self.recent.remove(0);
                }
                self.recent.push(prompt.clone());
            }
            Some(known) => known.clone_from(prompt),
            None => self.prompts.push(prompt.clone()),
        }
    }

    /// The prompts that wait for a driver.
    pub(crate) fn proposals(&self) -> impl Iterator<Item = &PromptState> {
        self.prompts.iter().filter(|prompt| prompt.phase == Phase::Proposed)
    }
}
