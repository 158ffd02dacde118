//! Takes the next event into a view.

use std::sync::Arc;

use sandbox_agent_persist::envelope::{self, Kind};
use sandbox_agent_persist::{Sender, SessionEvent};
use serde::Deserialize;

use super::entry::{CostBefore, Entry, Message, Speaker, TurnState, TurnView, What};
use super::{SessionView, answers};
use crate::acp_types::{ContentBlock, Cost, PromptRequest, SessionNotification};
use crate::session::{EventView, SessionEventExt, clip, is_transcript, params};

/// What an entry or a turn takes beside its content.
pub(super) const OVERHEAD: usize = 256;
/// Turns are small; a loop gone wrong has many.
const TURNS: usize = 10_000;

/// What an event came to.
pub(super) enum Seen {
    /// This entry was made or changed.
    Entry(u64),
    /// What holds for the session changed, or nothing did.
    State,
    /// Nobody here knows what it is.
    Unknown,
}

impl SessionView {
    /// Takes the session's next event; gives the number of the [entry](Self::entry) that it made or changed,
    /// if any.
    ///
    /// Events up to [`last_index`](Self::last_index) are passed over; where some are left out, that becomes an
    /// entry.
    pub fn add(&mut self, event: impl Into<Arc<SessionEvent>>) -> Option<u64> {
        let mut event = event.into();
        let last = self.last_index;
        if event.event_index <= last {
            return None;
        }
        if event.first_index() <= last {
            // A run of which a part was seen one by one.
            event = Arc::new(clip(SessionEvent::clone(&event), Some(last), None));
        } else if last > 0 && event.first_index() > last + 1 {
            self.missing(last + 1, event.first_index() - 1);
        }
        self.last_index = event.event_index;
        if let Some(turn) = self.turns.back_mut().filter(|turn| turn.state == TurnState::Running) {
            turn.last_index = event.event_index;
        }
        match self.see(&event) {
            Seen::Entry(number) => Some(number),
            Seen::State => None,
            Seen::Unknown => {
                let bytes = event.size();
                Some(self.push(&event, What::Unknown(event.clone()), bytes))
            }
        }
    }

    fn see(&mut self, event: &Arc<SessionEvent>) -> Seen {
        match (event.view(), event.sender) {
            (EventView::Prompt(prompt), Sender::Client) => self.begin(event, prompt),
            (EventView::Update(update), Sender::Agent) => self.told(event, update),
            (EventView::PermissionRequest(request), Sender::Agent) => self.permission(event, request),
            (EventView::Request { method, .. }, Sender::Agent) => self.request(event, method),
            (EventView::Gap(gap), _) => Seen::Entry(self.push(event, What::Gap(gap), 0)),
            (EventView::Notification { method, .. }, _) if is_plumbing(&method) => Seen::State,
            (EventView::Notification { .. }, _) => Seen::Unknown,
            _ => match envelope::kind(&event.payload) {
                Kind::Request { id, method } if event.sender == Sender::Client => {
                    self.ask(event, id, &method)
                }
                Kind::Response { id } => self.answered(event, id),
                Kind::Notification { method } => self.note(event, &method),
                _ => Seen::Unknown,
            },
        }
    }

    /// A turn begins.
    fn begin(&mut self, event: &Arc<SessionEvent>, prompt: PromptRequest) -> Seen {
        let index = event.first_index();
        self.wait_for(answers::of(event), answers::Question::Prompt { first_index: index });
        let cost_before = match &self.usage.cost {
            Some(cost) => CostBefore::Known(cost.clone()),
            None if self.turns.is_empty() && self.left_out == 0 => CostBefore::Nothing,
            None => CostBefore::Unknown,
        };
        self.turns.push_back(TurnView {
            first_index: index,
            last_index: event.event_index,
            state: TurnState::Running,
            tokens: None,
            cost: None,
            cost_before,
        });
        if self.turns.len() > TURNS {
            self.turns.pop_front();
        }
        self.messages.clear();
        let content: Vec<_> = prompt.prompt.into_iter().filter(|block| !is_transcript(block)).collect();
        let bytes = content.iter().map(size).sum();
        let message = Message { speaker: Speaker::User, content, message_id: None, cut: false };
        Seen::Entry(self.push(event, What::Message(message), bytes))
    }

    fn told(&mut self, event: &Arc<SessionEvent>, update: SessionNotification) -> Seen {
        if self.forks.contains(&*update.session_id.0) {
            return Seen::Unknown;
        }
        self.update(event, update.update)
    }

    /// What the SDK or the server notes.
    fn note(&mut self, event: &Arc<SessionEvent>, method: &str) -> Seen {
        #[derive(Deserialize)]
        struct Range {
            from: u64,
            to: u64,
        }
        match (method, event.sender) {
            ("session/update", Sender::Agent) => self.update_in_part(event),
            (envelope::TURN_ENDED, Sender::Client) => self.lost(event),
            (envelope::PROCESS_ENDED, Sender::Client) => {
                self.messages.clear();
                Seen::Entry(self.push(event, What::ProcessEnded, 0))
            }
            (envelope::EVICTED, Sender::Client) => match params::<Range>(&event.payload) {
                Some(Range { from, to }) => Seen::Entry(self.push(event, What::Missing { from, to }, 0)),
                None => Seen::Unknown,
            },
            // What they are about is there already, or comes with the process's end.
            (envelope::REPLAYED, Sender::Client) | (envelope::AGENT_EXITED, Sender::Agent) => Seen::State,
            _ => Seen::Unknown,
        }
    }

    /// These events are in no store any more.
    pub(super) fn missing(&mut self, from: u64, to: u64) {
        let what = What::Missing { from, to };
        self.last_index = self.last_index.max(to);
        self.put(Entry { first_index: from, last_index: to, what, bytes: OVERHEAD });
    }

    pub(super) fn push(&mut self, event: &SessionEvent, what: What, bytes: usize) -> u64 {
        let (first_index, last_index) = (event.first_index(), event.event_index);
        self.put(Entry { first_index, last_index, what, bytes: bytes + OVERHEAD })
    }

    fn put(&mut self, entry: Entry) -> u64 {
        self.bytes += entry.bytes;
        self.entries.push_back(entry);
        let number = self.left_out + self.entries.len() as u64 - 1;
        self.make_room();
        number
    }

    /// Changes an entry that is kept; false when it was left out.
    pub(super) fn change(&mut self, number: u64, index: u64, change: impl FnOnce(&mut Entry)) -> bool {
        let place = number.checked_sub(self.left_out).and_then(|place| usize::try_from(place).ok());
        let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) else { return false };
        let before = entry.bytes;
        change(entry);
        entry.last_index = entry.last_index.max(index);
        self.bytes = self.bytes + entry.bytes - before;
        self.make_room();
        true
    }

    /// The newest entry stays, whatever its size.
    fn make_room(&mut self) {
        let before = self.left_out;
        while self.bytes > self.keep_bytes && self.entries.len() > 1 {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.bytes;
            self.left_out += 1;
        }
        if self.left_out == before {
            return;
        }
        let (left_out, first) = (self.left_out, self.entries.front().map_or(0, |entry| entry.first_index));
        self.tools.retain(|_, number| *number >= left_out);
        self.messages.retain(|_, number| *number >= left_out);
        while self.turns.len() > 1 && self.turns[1].first_index <= first {
            self.turns.pop_front();
        }
    }

    /// What its turn cost so far.
    pub(super) fn charge(&mut self, now: &Cost) {
        let Some(turn) = self.turns.back_mut().filter(|turn| turn.state == TurnState::Running) else {
            return;
        };
        let before = match &turn.cost_before {
            CostBefore::Nothing => 0.0,
            CostBefore::Known(before) if before.currency == now.currency => before.amount,
            CostBefore::Known(_) | CostBefore::Unknown => return,
        };
        // A new process may count from the start again.
        let rise = if now.amount < before { now.amount } else { now.amount - before };
        turn.cost = Some(Cost::new(rise, now.currency.clone()));
    }
}

/// About how many bytes a block takes.
pub(super) fn size(block: &ContentBlock) -> usize {
    match block {
        ContentBlock::Text(text) => text.text.len(),
        block => serde_json::to_string(block).map_or(0, |text| text.len()),
    }
}

/// Notifications that say nothing to people.
fn is_plumbing(method: &str) -> bool {
    ["session/cancel", "$/cancel_request"].contains(&method)
}
