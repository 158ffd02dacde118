//! What a state of another program may have wrong, and can be had right without losing anything.

use std::collections::{HashMap, HashSet};

use sandbox_agent_persist::SessionEvent;

use crate::change::LAST_INDEX;
use crate::session::Unknown;

/// Puts the events of a session in the order of their indexes, and numbers them anew where these
/// have holes or doubles; 0 is that of an event which has none.
///
/// They are then in the order of `(event_index, created_at, place)`, and begin where the first one
/// began: what was before it was evicted. A run keeps its length.
pub(crate) fn number(events: &mut [(SessionEvent, Unknown)]) {
    events.sort_by_key(|(event, _)| event.event_index);
    let first = events.first().map_or(0, |(event, _)| event.first_index());
    let mut next = first.max(1);
    let is_right = events.iter().all(|(event, _)| {
        let fits = event.first_index() == next;
        next = event.event_index + 1;
        fits
    });
    if is_right {
        return;
    }

    events.sort_by_key(|(event, _)| (event.event_index, event.created_at));
    let length = |event: &SessionEvent| event.event_index - event.first_index();
    let total: u64 =
        events.iter().fold(events.len() as u64, |sum, (event, _)| sum.saturating_add(length(event)));
    let keeps_runs = first.saturating_add(total) <= LAST_INDEX;
    // Indexes that leave no room for all of them are no sign of an eviction.
    let fits = first.saturating_add(events.len() as u64) <= LAST_INDEX;
    let mut next = if fits { first.max(1) } else { 1 };
    for (event, _) in events {
        let length = if keeps_runs { length(event) } else { 0 };
        event.folded_from = (length > 0).then_some(next);
        event.event_index = next + length;
        next = event.event_index + 1;
    }
}

/// Gives an event whose id another one has an id of its own.
pub(crate) fn name_apart<'a>(events: impl Iterator<Item = &'a mut SessionEvent>) {
    let mut known = HashSet::new();
    let mut tried = HashMap::<String, u64>::new();
    for event in events {
        if known.insert(event.id.clone()) {
            continue;
        }
        let number = tried.entry(event.id.clone()).or_insert(1);
        event.id = loop {
            *number += 1;
            let id = format!("{}#{number}", event.id);
            if known.insert(id.clone()) {
                break id;
            }
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sandbox_agent_persist::{RawValue, Sender};

    use super::*;

    fn numbered(events: &[(&str, u64, u64, i64)]) -> Vec<(String, u64, u64)> {
        let mut events: Vec<_> = events
            .iter()
            .map(|(id, from, index, time)| {
                let payload = RawValue::NULL.to_owned();
                let event = SessionEvent::new(*id, *index, "s", *time, "c", Sender::Agent, payload);
                (event.standing_from(*from), Vec::new())
            })
            .collect();
        number(&mut events);
        events
            .into_iter()
            .map(|(event, _)| (event.id.clone(), event.first_index(), event.event_index))
            .collect()
    }

    fn want(events: &[(&str, u64, u64)]) -> Vec<(String, u64, u64)> {
        events.iter().map(|(id, from, index)| ((*id).to_owned(), *from, *index)).collect()
    }

    #[test]
    fn right_ones_are_put_in_order_and_no_more() {
        assert_eq!(numbered(&[]), []);
        let events = [("k", 2, 2, 1), ("l", 1, 1, 2), ("m", 3, 7, 0)];
        assert_eq!(numbered(&events), want(&[("l", 1, 1), ("k", 2, 2), ("m", 3, 7)]));
        let events = [("x", 37, 37, 1), ("y", 38, 38, 0)];
        assert_eq!(numbered(&events), want(&[("x", 37, 37), ("y", 38, 38)]));
    }

    #[test]
    fn holes_and_doubles_are_numbered_anew() {
        let twice = [("x", 1, 1, 3), ("y", 2, 2, 5), ("z", 2, 2, 4), ("w", 3, 3, 1)];
        assert_eq!(numbered(&twice), want(&[("x", 1, 1), ("z", 2, 2), ("y", 3, 3), ("w", 4, 4)]));
        let hole = [("h", 2, 2, 1), ("i", 7, 9, 1)];
        assert_eq!(numbered(&hole), want(&[("h", 2, 2), ("i", 3, 5)]));
        let none = [("late", 0, 0, 30), ("z", 0, 0, 20), ("a", 0, 0, 20), ("new", 1, 1, 1)];
        assert_eq!(numbered(&none), want(&[("z", 1, 1), ("a", 2, 2), ("late", 3, 3), ("new", 4, 4)]));
        let wide = [("a", 1, LAST_INDEX, 1), ("b", 1, LAST_INDEX, 2)];
        assert_eq!(numbered(&wide), want(&[("a", 1, 1), ("b", 2, 2)]));
        let last = [("a", LAST_INDEX, LAST_INDEX, 1), ("b", LAST_INDEX, LAST_INDEX, 2)];
        assert_eq!(numbered(&last), want(&[("a", 1, 1), ("b", 2, 2)]));
    }

    #[test]
    fn ids_become_unique() {
        let event =
            |id: &str| SessionEvent::new(id, 1, "s", 0, "c", Sender::Agent, RawValue::NULL.to_owned());
        let mut events = ["a", "a#2", "a", "b", "a"].map(event);
        name_apart(events.iter_mut());
        assert_eq!(events.map(|event| event.id), ["a", "a#2", "a#3", "b", "a#4"]);
    }
}
