//! What each subscriber saw against the store: all of it from where it began, once, in order.

use std::collections::HashMap;

use super::verdict::{Kind, Verdict};
use crate::history::Recorded;
use crate::log::{Entry, Line};

/// What the log says of a store that failed for good.
pub(crate) const BROKEN: &str = "broken-store";

struct Reader<'a> {
    session: &'a str,
    position: u64,
    /// One finding a reader is enough.
    failed: bool,
}

pub(super) fn judge(client: &[Entry], sessions: &[Recorded], verdict: &mut Verdict) {
    let sessions: HashMap<&str, &Recorded> =
        sessions.iter().map(|session| (session.id.as_str(), session)).collect();
    let mut readers: HashMap<&str, Reader<'_>> = HashMap::new();
    // Only a store that broke is a reason to end a reader.
    let mut broken = false;
    for entry in client {
        match &entry.line {
            Line::Trouble { kind } => broken |= kind == BROKEN,
            Line::ReaderFailed { reader, error } => {
                if let Some(at) = readers.get_mut(reader.as_str()).filter(|at| !at.failed) {
                    at.failed = true;
                    if !broken {
                        let text = format!("session {}, reader {reader}: it ended with {error}", at.session);
                        verdict.find(Kind::SilentGap, 1, text);
                    }
                }
            }
            Line::Subscribed { reader, session, after } => {
                readers.insert(reader, Reader { session, position: *after, failed: false });
            }
            Line::Saw { reader, index, id } => {
                if let Some(at) = readers.get_mut(reader.as_str()).filter(|at| !at.failed) {
                    let stored = sessions.get(at.session).copied();
                    if let Some((kind, what)) = at.see(*index, id, stored) {
                        at.failed = true;
                        verdict.find(kind, 1, format!("session {}, reader {reader}: {what}", at.session));
                    }
                }
            }
            Line::Expected { reader, upto } => {
                if let Some(at) =
                    readers.get_mut(reader.as_str()).filter(|at| !at.failed && at.position < *upto)
                {
                    at.failed = true;
                    let (session, position) = (at.session, at.position);
                    let text = format!(
                        "session {session}, reader {reader}: it saw nothing behind {position}, and {upto} were stored"
                    );
                    verdict.find(Kind::SilentGap, 1, text);
                }
            }
            _ => {}
        }
    }
}

impl Reader<'_> {
    fn see(&mut self, index: u64, id: &str, stored: Option<&Recorded>) -> Option<(Kind, String)> {
        let before = std::mem::replace(&mut self.position, index);
        if index == before {
            return Some((Kind::Doubled, format!("it saw event {index} twice")));
        }
        if index < before {
            return Some((Kind::Disordered, format!("it saw event {index} behind event {before}")));
        }
        if index > before + 1 {
            return Some((Kind::SilentGap, format!("it saw event {index} right behind event {before}")));
        }
        let place = usize::try_from(index - 1).unwrap_or(usize::MAX);
        match stored.and_then(|session| session.events.get(place)) {
            Some(event) if event.id == id => None,
            Some(event) => Some((
                Kind::Disordered,
                format!("it saw {id} as event {index}, which is {} in the store", event.id),
            )),
            None => {
                Some((Kind::Lost, format!("it saw {id} as event {index}, and the store does not have it")))
            }
        }
    }
}
