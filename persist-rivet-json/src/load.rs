//! What the state has under the key when a driver begins: of this driver, or of a TypeScript program.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use sandbox_agent_persist::{PersistError, PersistErrorKind, RawValue, Sender, SessionEvent, SessionRecord};
use serde::de::DeserializeOwned;

use crate::change::LAST_INDEX;
use crate::json::Members;
use crate::print::{self, EVICTED};
use crate::session::{Held, HeldRecord, Unknown};
use crate::store::Store;
use crate::{RivetJsonOptions, repair};

/// A session as the state has it.
#[derive(Default)]
struct Found {
    record: Option<SessionRecord>,
    events: Vec<(SessionEvent, Unknown)>,
}

/// Reads all or nothing: what can't be read must not be written over. `place` names where it stands.
pub(crate) fn load(json: &str, place: &str, options: RivetJsonOptions) -> Result<Store, PersistError> {
    let mut content: Members = read(json, place)?;
    let mut part = |name: &str| match content.take(name) {
        Some(part) => read::<Option<Members>>(part.get(), &format!("{place}.{name}")),
        None => Ok(None),
    };
    let (records, lists, marks) = (part("sessions")?, part("events")?, part(EVICTED)?);

    let mut sessions = BTreeMap::<String, Found>::new();
    for (id, record) in records.unwrap_or_default().0 {
        let place = format!("{place}.sessions[{id:?}]");
        let record: SessionRecord = read(record.get(), &place)?;
        if record.id != id {
            return Err(corrupt(&place, format!("it has the id {:?}", record.id)));
        }
        sessions.entry(id).or_default().record = Some(record);
    }
    for (id, list) in lists.unwrap_or_default().0 {
        let place = format!("{place}.events[{id:?}]");
        let list: Option<Vec<Box<RawValue>>> = read(list.get(), &place)?;
        let events = list.unwrap_or_default();
        let events =
            events.iter().enumerate().map(|(at, event)| event_of(&id, event, &format!("{place}[{at}]")));
        let mut events = events.collect::<Result<Vec<_>, _>>()?;
        repair::number(&mut events);
        sessions.entry(id).or_default().events = events;
    }
    repair::name_apart(sessions.values_mut().flat_map(|found| &mut found.events).map(|(event, _)| event));

    let mut store = Store::new(options, content);
    for (id, last) in marks.unwrap_or_default().0 {
        let last: u64 = read(last.get(), &format!("{place}.{EVICTED}[{id:?}]"))?;
        // Events tell by themselves what is gone before them, and a program that does not know of
        // marks may have begun the session anew.
        if sessions.get(&id).is_none_or(|found| found.events.is_empty()) {
            store.marks.add(Arc::from(id), last.min(LAST_INDEX) + 1);
        }
    }
    fill(&mut store, sessions, place)?;
    Ok(store)
}

fn event_of(
    session_id: &str,
    event: &RawValue,
    place: &str,
) -> Result<(SessionEvent, Unknown), PersistError> {
    let mut members: Members = read(event.get(), place)?;
    let mut take = |name: &str| members.take(name).filter(|value| value.get() != "null");
    let missing = |name: &str| corrupt(place, format!("it has no {name:?}"));

    let id = match take("id").ok_or_else(|| missing("id"))? {
        id if id.get().starts_with('"') => read(id.get(), place)?,
        // Older programs counted them.
        id => id.get().to_owned(),
    };
    let index = take("eventIndex").and_then(|index| index_of(&index)).unwrap_or(0);
    let folded_from = take("foldedFrom").and_then(|first| index_of(&first));
    let named: Option<String> = take("sessionId").map(|name| read(name.get(), place)).transpose()?;
    if let Some(named) = named.filter(|named| named != session_id) {
        return Err(corrupt(place, format!("it belongs to session {named:?}")));
    }
    let created_at = take("createdAt").and_then(|time| whole(&time)).ok_or_else(|| missing("createdAt"))?;
    let connection_id: Option<String> = take("connectionId").map(|id| read(id.get(), place)).transpose()?;
    let sender: Sender = read(take("sender").ok_or_else(|| missing("sender"))?.get(), place)?;
    let payload = members.take("payload").ok_or_else(|| missing("payload"))?;

    let connection_id = connection_id.unwrap_or_default();
    let event = SessionEvent::new(id, index, session_id, created_at, connection_id, sender, payload);
    let event = event.standing_from(folded_from.unwrap_or(index));
    Ok((event, members.0))
}

/// A whole number, however it is written.
fn whole(number: &RawValue) -> Option<i64> {
    let number: serde_json::Number = serde_json::from_str(number.get()).ok()?;
    let fits = |float: &f64| float.fract() == 0.0 && float.abs() <= LAST_INDEX as f64;
    number.as_i64().or_else(|| number.as_f64().filter(fits).map(|float| float as i64))
}

/// `None` of what is no index.
fn index_of(number: &RawValue) -> Option<u64> {
    let index = whole(number)?;
    u64::try_from(index).ok().filter(|index| (1..=LAST_INDEX).contains(index))
}

/// Puts the sessions in the store as if they had been written in the order of their times.
fn fill(store: &mut Store, sessions: BTreeMap<String, Found>, place: &str) -> Result<(), PersistError> {
    let mut times = Vec::new();
    for (session, found) in sessions.values().enumerate() {
        times.extend(found.record.as_ref().map(|record| (record.last_active(), session, None)));
        let mut latest = i64::MIN;
        for (at, (event, _)) in found.events.iter().enumerate() {
            latest = latest.max(event.created_at);
            times.push((latest, session, Some(at)));
        }
    }
    // Stable, so that the events of a session stay in their order.
    times.sort_by_key(|(time, ..)| *time);
    let mut writes: Vec<_> = sessions.values().map(|found| (0, vec![0; found.events.len()])).collect();
    for (write, (_, session, event)) in (1..).zip(times) {
        let (last, of_events) = &mut writes[session];
        *last = write;
        store.writes = write;
        if let Some(event) = event {
            of_events[event] = write;
        }
    }
    store.list_write = store.writes;

    for ((id, found), (last_write, writes)) in sessions.into_iter().zip(writes) {
        let record = found.record.map(|record| {
            let size = print::record_size(&record).map_err(|error| corrupt(place, error))?;
            Ok(HeldRecord { size, record })
        });
        let record = record.transpose()?;
        if let Some(held) = &record {
            store.listed.insert((held.record.created_at, Arc::from(id.as_str())));
        }
        store.event_ids.extend(found.events.iter().map(|(event, _)| event.id.clone()));
        store.change(&id, |session| {
            for ((event, unknown), write) in found.events.into_iter().zip(writes) {
                let size = print::event_size(&event, &unknown).size;
                session.push(Held { write, size, event, unknown });
            }
            if record.as_ref().is_some_and(|held| held.record.destroyed_at.is_some()) {
                session.turns.end_all();
            }
            session.record = record;
            session.last_write = last_write;
        });
    }
    Ok(())
}

fn read<T: DeserializeOwned>(json: &str, place: &str) -> Result<T, PersistError> {
    serde_json::from_str(json).map_err(|error| corrupt(place, &error).with_source(error))
}

pub(crate) fn corrupt(place: &str, why: impl Display) -> PersistError {
    PersistError::new(
        PersistErrorKind::Corrupt,
        format!(
            "{place} can't be read: {why}; nothing was changed: repair it, put a copy in its place that is whole, or take it away"
        ),
    )
}
