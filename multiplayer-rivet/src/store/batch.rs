//! The statements that store events.

use std::collections::HashSet;
use std::ops::Range;

use sandbox_agent_persist::{PersistError, PersistErrorKind, SessionEvent};

use super::chain::Chain;
use super::database::{Statement, Value};
use super::limits::{BATCH, LARGEST, NAMES, ROWS, SCALAR, STATEMENT};
use super::pieces::Stored;

/// Events that follow one another, and the statements that store them or the first of them.
pub(super) struct Batch {
    chain: Chain,
    /// Of each statement with rows of events: its place, and which events.
    parts: Vec<(usize, Range<usize>)>,
}

impl Batch {
    /// As many of the first events as follow one another and go in one batch. None, if the first has no
    /// possible place.
    ///
    /// # Errors
    /// `TooLarge`: the first one is larger than the store takes.
    pub(super) fn of(session_id: &str, events: &[SessionEvent]) -> Result<Self, PersistError> {
        let mut batch = Self { chain: Chain::default(), parts: Vec::new() };
        let mut rows = Rows::default();
        let mut ids = HashSet::new();
        let mut bytes = 0;
        for (place, event) in events.iter().enumerate() {
            if let Err(error) = check_size(event) {
                if place == 0 {
                    return Err(error);
                }
                break;
            }
            let follows =
                place == 0 || event.first_index() == events[place - 1].event_index.saturating_add(1);
            let Ok(at) = event.signed_indexes() else { break };
            if !follows || !ids.insert(event.id.as_str()) || bytes > BATCH {
                break;
            }
            let payload = Stored::of(event.payload.get());
            bytes += event.payload.get().len();
            if !rows.have_room(event, &payload) {
                batch.push(session_id, events, &mut rows);
            }
            rows.push(place, event, at, &payload);
            if !payload.pieces().is_empty() {
                batch.push(session_id, events, &mut rows);
                batch.chain.push_pieces(session_id, at.0, payload.pieces());
            }
        }
        batch.push(session_id, events, &mut rows);
        Ok(batch)
    }

    /// How many events it is for.
    pub(super) fn len(&self) -> usize {
        self.parts.last().map_or(0, |(_, events)| events.end)
    }

    pub(super) fn statements(&self) -> Vec<Statement> {
        self.chain.statements().to_vec()
    }

    /// The first events that were refused together, by the rows that each statement changed.
    pub(super) fn first_refused(&self, changed: &[i64]) -> Option<Range<usize>> {
        if self.parts.is_empty() {
            return Some(0..1);
        }
        let refused =
            self.parts.iter().find(|(place, _)| changed.get(*place).is_none_or(|changed| *changed == 0));
        refused.map(|(_, events)| events.clone())
    }

    fn push(&mut self, session_id: &str, events: &[SessionEvent], rows: &mut Rows) {
        let rows = std::mem::take(rows);
        let Some(first) = events.get(rows.places.start).filter(|_| !rows.places.is_empty()) else { return };
        let place = self.chain.statements().len();
        let condition = match place {
            // What can't be an index is in no table.
            0 => {
                "coalesce((SELECT max(event_index) FROM sandbox_agent_events WHERE session_id = ?1), 0) = ?2"
                    .to_owned()
            }
            _ => self.chain.condition(),
        };
        let before = i64::try_from(first.first_index()).map_or(-1, |first| first - 1);
        let sql = format!(
            "INSERT INTO sandbox_agent_events (session_id, id, event_index, folded_from, bytes, created_at, \
             connection_id, sender, payload) SELECT ?1, * FROM (VALUES {}) WHERE {condition} \
             AND NOT EXISTS (SELECT 1 FROM sandbox_agent_events WHERE id IN ({}))",
            rows.texts.join(", "),
            rows.ids.join(", "),
        );
        let values = [session_id.into(), before.into()].into_iter().chain(rows.values);
        self.chain.push(Statement::new(sql, values), rows.places.len());
        self.parts.push((place, rows.places));
    }
}

/// Rows of one statement.
#[derive(Default)]
struct Rows {
    places: Range<usize>,
    texts: Vec<String>,
    /// The numbers of the values that are ids.
    ids: Vec<String>,
    values: Vec<Value>,
    bytes: usize,
}

const COLUMNS: usize = 8;

impl Rows {
    fn have_room(&self, event: &SessionEvent, payload: &Stored<'_>) -> bool {
        self.places.len() < ROWS && NAMES + self.bytes + row_size(event, payload) <= STATEMENT
    }

    fn push(&mut self, place: usize, event: &SessionEvent, at: (i64, Option<i64>), payload: &Stored<'_>) {
        if self.places.is_empty() {
            self.places = place..place;
        }
        self.places.end = place + 1;
        self.bytes += row_size(event, payload);
        // The session and the index before are 1 and 2.
        let first = self.values.len() + 3;
        let numbers: Vec<_> = (first..first + COLUMNS).map(|number| format!("?{number}")).collect();
        self.texts.push(format!("({})", numbers.join(", ")));
        self.ids.push(format!("?{first}"));
        let (index, folded_from) = at;
        self.values.extend::<[Value; COLUMNS]>([
            event.id.as_str().into(),
            index.into(),
            folded_from.into(),
            length(event.payload.get()).into(),
            event.created_at.into(),
            event.connection_id.as_str().into(),
            event.sender.as_str().into(),
            payload.inline().into(),
        ]);
    }
}

/// What a row of this event binds, and a little more.
fn row_size(event: &SessionEvent, payload: &Stored<'_>) -> usize {
    event.id.len() + event.connection_id.len() + payload.inline().map_or(0, str::len) + COLUMNS * SCALAR
}

/// The bytes of a text, as a column has them.
pub(super) fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// An error if the engine does not take the event.
pub(super) fn check_size(event: &SessionEvent) -> Result<(), PersistError> {
    let names = event.id.len() + event.session_id.len() + event.connection_id.len();
    let payload = event.payload.get().len();
    if names <= NAMES && payload <= LARGEST {
        return Ok(());
    }
    Err(PersistError::new(
        PersistErrorKind::TooLarge,
        format!(
            "event {} of session {:.100?} has {names} bytes of ids and {payload} of payload; an actor's \
             database takes {NAMES} and {LARGEST}",
            event.event_index, event.session_id
        ),
    ))
}
