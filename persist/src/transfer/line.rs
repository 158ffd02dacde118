//! The lines of an exported session.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{PersistError, PersistErrorKind, RawValue, Sender, SessionEvent, SessionRecord};

/// The version of the format that [`SessionExport`](crate::SessionExport) writes, and the newest
/// that [`SessionImport`](crate::SessionImport) reads.
pub const EXPORT_VERSION: u32 = 1;
const FORMAT: &str = "sandbox-agent-session";

/// One line.
#[derive(Debug)]
pub(crate) enum Line {
    Header { session_id: String, record: Option<Box<SessionRecord>> },
    Event(SessionEvent),
    Evicted(Evicted),
    End(End),
}

/// Indexes whose events the store had evicted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Evicted {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// What a whole file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct End {
    pub(crate) events: u64,
    /// Of their payloads.
    pub(crate) bytes: u64,
    pub(crate) last_index: u64,
}

impl End {
    pub(crate) fn count(&mut self, event: &SessionEvent) {
        self.events += 1;
        self.bytes += event.payload.get().len() as u64;
        self.last_index = event.event_index;
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeaderOut<'a> {
    format: &'static str,
    version: u32,
    session_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a SessionRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HeaderIn {
    #[serde(rename = "format")]
    _format: IgnoredAny,
    #[serde(rename = "version")]
    _version: IgnoredAny,
    session_id: String,
    #[serde(default)]
    record: Option<Box<SessionRecord>>,
}

/// The event's JSON, but for a payload with line breaks: that is text, so that a line stays one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventOut<'a> {
    id: &'a str,
    event_index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    folded_from: Option<u64>,
    session_id: &'a str,
    created_at: i64,
    connection_id: &'a str,
    sender: Sender,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_text: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EventIn {
    id: String,
    event_index: u64,
    #[serde(default)]
    folded_from: Option<u64>,
    session_id: String,
    created_at: i64,
    connection_id: String,
    sender: Sender,
    #[serde(default, deserialize_with = "present")]
    payload: Option<Box<RawValue>>,
    #[serde(default)]
    payload_text: Option<String>,
}

/// `null` is a payload, too.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(value).map(Some)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvictedLine {
    evicted: Evicted,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: End,
}

/// What tells the lines apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    format: Option<String>,
    version: Option<u32>,
    event_index: Option<IgnoredAny>,
    evicted: Option<IgnoredAny>,
    end: Option<IgnoredAny>,
}

pub(crate) fn header(session_id: &str, record: Option<&SessionRecord>) -> Result<String, PersistError> {
    print(&HeaderOut { format: FORMAT, version: EXPORT_VERSION, session_id, record })
}

pub(crate) fn event(event: &SessionEvent) -> Result<String, PersistError> {
    let payload = event.payload.get();
    let breaks = payload.contains(['\n', '\r']);
    print(&EventOut {
        id: &event.id,
        event_index: event.event_index,
        folded_from: event.folded_from,
        session_id: &event.session_id,
        created_at: event.created_at,
        connection_id: &event.connection_id,
        sender: event.sender,
        payload: (!breaks).then_some(&*event.payload),
        payload_text: breaks.then_some(payload),
    })
}

pub(crate) fn evicted(from: u64, to: u64) -> Result<String, PersistError> {
    print(&EvictedLine { evicted: Evicted { from, to } })
}

pub(crate) fn end(end: End) -> Result<String, PersistError> {
    print(&EndLine { end })
}

fn print(line: &impl Serialize) -> Result<String, PersistError> {
    serde_json::to_string(line).map_err(|error| {
        PersistError::new(PersistErrorKind::Other, format!("a line can't be written as JSON: {error}"))
            .with_source(error)
    })
}

/// Reads a line; the error says what is wrong with it.
pub(crate) fn read(text: &str) -> Result<Line, String> {
    // An array would be read as the members in their order.
    if !text.trim_start().starts_with('{') {
        return Err("is no JSON object".to_owned());
    }
    let probe: Probe = parse(text)?;
    match probe {
        Probe { format: Some(format), version, .. } => {
            match version {
                Some(EXPORT_VERSION) if format == FORMAT => {}
                Some(version) if format == FORMAT => {
                    return Err(format!(
                        "is of version {version} of the format, and this program knows version {EXPORT_VERSION}; update it"
                    ));
                }
                _ => return Err(format!("is no header of {FORMAT:?}")),
            }
            let HeaderIn { session_id, record, .. } = parse(text)?;
            match &record {
                Some(record) if record.id != session_id => {
                    Err(format!("has the record of {:?} for session {session_id:?}", record.id))
                }
                _ => Ok(Line::Header { session_id, record }),
            }
        }
        Probe { event_index: Some(_), .. } => parse(text).and_then(whole_event).map(Line::Event),
        Probe { evicted: Some(_), .. } => parse(text).map(|line: EvictedLine| Line::Evicted(line.evicted)),
        Probe { end: Some(_), .. } => parse(text).map(|line: EndLine| Line::End(line.end)),
        _ => Err("is neither a header, nor an event, nor an end".to_owned()),
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("can't be read: {error}"))
}

fn whole_event(line: EventIn) -> Result<SessionEvent, String> {
    let payload = match (line.payload, line.payload_text) {
        (Some(payload), None) => payload,
        (None, Some(text)) => {
            let length = text.len();
            RawValue::from_string(text)
                .ok()
                .filter(|payload| payload.get().len() == length)
                .ok_or("has a payloadText that is no JSON")?
        }
        _ => return Err("needs either payload or payloadText".to_owned()),
    };
    let mut event = SessionEvent::new(
        line.id,
        line.event_index,
        line.session_id,
        line.created_at,
        line.connection_id,
        line.sender,
        payload,
    );
    if line.folded_from.is_some_and(|first| first == 0 || first >= event.event_index) {
        return Err("has a foldedFrom that is not before its eventIndex".to_owned());
    }
    event.folded_from = line.folded_from;
    Ok(event)
}
