//! Chunks of one message as one event, and the other way round.

use sandbox_agent_persist::{RawValue, Sender, SessionEvent};
use serde_json::{Map, Value, json};

use super::ids;

/// Where a folded event says in `_meta` how many bytes of its text each of its chunks had.
const MARK: &str = "sandboxAgent/folded";
/// A folded event has no more text, so that whoever reads it needs little memory.
const MAX_TEXT: usize = 1024 * 1024;
/// Nor has it more chunks, which may have no text.
const MAX_CHUNKS: usize = 16 * 1024;

/// Collects events into runs that can be folded.
#[derive(Debug, Default)]
pub(super) struct Folder {
    run: Option<Run>,
}

/// Chunks that follow each other and differ in their text alone.
#[derive(Debug)]
struct Run {
    first: SessionEvent,
    last: SessionEvent,
    /// The SSE ids of the first and the last.
    sse: (u64, u64),
    /// What they have in common: the envelope, without the text.
    envelope: Value,
    text: String,
    lengths: Vec<usize>,
    /// What their payloads take.
    bytes: usize,
}

/// One event for a run.
#[derive(Debug)]
pub(super) struct Folded {
    pub(super) event: SessionEvent,
    /// What the payloads of the run take.
    pub(super) bytes: usize,
}

impl Folder {
    /// Takes the next event; gives the run that ended before it, folded.
    pub(super) fn add(&mut self, event: SessionEvent) -> Option<Folded> {
        let Some(chunk) = Run::begin(event) else { return self.finish() };
        match &mut self.run {
            Some(run) if run.goes_on_with(&chunk) => {
                run.add(chunk);
                None
            }
            _ => self.run.replace(chunk).and_then(Run::fold),
        }
    }

    /// The last run.
    pub(super) fn finish(&mut self) -> Option<Folded> {
        self.run.take().and_then(Run::fold)
    }
}

impl Run {
    /// A run of this event alone; `None` for one that is no chunk of text.
    fn begin(event: SessionEvent) -> Option<Self> {
        if event.sender != Sender::Agent || event.folded_from.is_some() {
            return None;
        }
        let span = ids::span(&event).filter(|span| span.start() == span.end())?;
        let mut envelope: Value = serde_json::from_str(event.payload.get()).ok()?;
        if envelope.get("id").is_some() {
            return None;
        }
        let meta = envelope.get("params")?.get("_meta");
        if meta.is_some_and(|meta| meta.as_object().is_none_or(|meta| meta.contains_key(MARK))) {
            return None;
        }
        let text = std::mem::take(text_mut(&mut envelope)?);
        let lengths = vec![text.len()];
        Some(Self {
            first: event.clone(),
            bytes: event.payload.get().len(),
            last: event,
            sse: (*span.start(), *span.end()),
            envelope,
            text,
            lengths,
        })
    }

    fn goes_on_with(&self, next: &Self) -> bool {
        self.last.event_index + 1 == next.first.event_index
            && self.sse.1 + 1 == next.sse.0
            && self.last.connection_id == next.first.connection_id
            && self.text.len() + next.text.len() <= MAX_TEXT
            && self.lengths.len() < MAX_CHUNKS
            && self.envelope == next.envelope
    }

    fn add(&mut self, next: Self) {
        self.text.push_str(&next.text);
        self.lengths.extend(next.lengths);
        self.bytes += next.bytes;
        self.last = next.last;
        self.sse.1 = next.sse.1;
    }

    /// One event for all of them; `None` where there is but one.
    fn fold(mut self) -> Option<Folded> {
        if self.lengths.len() < 2 {
            return None;
        }
        let payload = print(&mut self.envelope, self.text, &self.lengths)?;
        let id = ids::folded(&self.first.connection_id, self.sse.0, self.sse.1);
        let last = self.last;
        let folded = SessionEvent::new(
            id,
            last.event_index,
            last.session_id,
            last.created_at,
            last.connection_id,
            last.sender,
            payload,
        );
        Some(Folded { event: folded.standing_from(self.first.event_index), bytes: self.bytes })
    }
}

/// The part of an event that is within these exclusive bounds. One that can't be cut is given whole:
/// told twice is better than lost.
pub(super) fn clip(event: SessionEvent, after: Option<u64>, before: Option<u64>) -> SessionEvent {
    let (first, last) = (event.first_index(), event.event_index);
    let from = after.map_or(first, |after| after.saturating_add(1)).max(first);
    let to = before.map_or(last, |before| before.saturating_sub(1)).min(last);
    if (from, to) == (first, last) || from > to {
        return event;
    }
    cut(&event, from, to).unwrap_or(event)
}

fn cut(event: &SessionEvent, from: u64, to: u64) -> Option<SessionEvent> {
    let mut envelope: Value = serde_json::from_str(event.payload.get()).ok()?;
    let lengths = envelope.get("params")?.get("_meta")?.get(MARK)?.as_array()?;
    let lengths: Option<Vec<usize>> =
        lengths.iter().map(|length| usize::try_from(length.as_u64()?).ok()).collect();
    let lengths = lengths?;
    let first = event.first_index();
    let range = usize::try_from(from - first).ok()?..usize::try_from(to - first + 1).ok()?;
    let whole = lengths.iter().try_fold(0usize, |sum, length| sum.checked_add(*length))?;
    // Who changed the text, as redaction does, left lengths that cut it anywhere.
    if lengths.len() as u64 != event.event_index - first + 1 || whole != text_mut(&mut envelope)?.len() {
        return None;
    }
    let skip: usize = lengths.get(..range.start)?.iter().sum();
    let lengths = lengths.get(range)?;
    let end = skip.checked_add(lengths.iter().sum())?;
    let text = text_mut(&mut envelope)?.get(skip..end)?.to_owned();
    let mut part = event.clone();
    part.payload = print(&mut envelope, text, lengths)?;
    part.event_index = to;
    part.folded_from = None;
    Some(part.standing_from(from))
}

/// The envelope with this text, which so many chunks had; a single one is no run.
fn print(envelope: &mut Value, text: String, lengths: &[usize]) -> Option<Box<RawValue>> {
    *text_mut(envelope)? = text;
    let params = envelope.get_mut("params")?.as_object_mut()?;
    let meta = params.entry("_meta").or_insert_with(|| Value::Object(Map::new())).as_object_mut()?;
    meta.remove(MARK);
    if lengths.len() > 1 {
        meta.insert(MARK.to_owned(), json!(lengths));
    }
    if meta.is_empty() {
        params.remove("_meta");
    }
    RawValue::from_string(envelope.to_string()).ok()
}

/// The text of a message's or a thought's chunk.
fn text_mut(envelope: &mut Value) -> Option<&mut String> {
    if envelope.get("method")? != "session/update" {
        return None;
    }
    let update = envelope.get_mut("params")?.get_mut("update")?;
    let kind = update.get("sessionUpdate")?.as_str()?;
    if !["agent_message_chunk", "agent_thought_chunk", "user_message_chunk"].contains(&kind) {
        return None;
    }
    let content = update.get_mut("content")?;
    match content.get("type")?.as_str()? {
        "text" => match content.get_mut("text")? {
            Value::String(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
