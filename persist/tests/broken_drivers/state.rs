//! What the drivers keep.

use std::collections::{BTreeMap, BTreeSet};

use sandbox_agent_persist::{Inserted, Lease, PersistError, RawValue, SessionEvent, SessionRecord};
use tokio::time::Instant;

use crate::faults::Fault::{self, *};

/// How many events a session has at most when the fault is about eviction.
const HELD: usize = 1000;

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) sessions: Vec<SessionRecord>,
    pub(crate) events: BTreeMap<String, Vec<SessionEvent>>,
    pub(crate) ids: BTreeSet<String>,
    /// What was told to be stored, and is by the next insert.
    pub(crate) late: Option<SessionEvent>,
    /// The last lease of each session, whether it is over or not.
    pub(crate) tenures: BTreeMap<String, Tenure>,
    pub(crate) last_token: u64,
    pub(crate) folded_bytes: u64,
    inserts: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Tenure {
    pub(crate) lease: Lease,
    pub(crate) ends: Instant,
    pub(crate) released: bool,
    /// Which handle it was granted through.
    pub(crate) handle: usize,
}

impl Tenure {
    pub(crate) fn in_force(&self, fault: Fault) -> bool {
        !self.released && (Instant::now() < self.ends || fault == GrantsForGood)
    }
}

impl State {
    pub(crate) fn last_index(&self, session_id: &str) -> u64 {
        let events = self.events.get(session_id);
        events.and_then(|events| events.iter().map(|event| event.event_index).max()).unwrap_or(0)
    }

    pub(crate) fn refusal(&self, fault: Fault, session_id: &str, event: &SessionEvent) -> Option<Inserted> {
        let events = self.events.get(session_id);
        let next_index = match fault {
            CountsAllSessionsTogether => self.ids.len() as u64 + 1,
            EvictsAndCountsAnew | CountsRunsAsOne => events.map_or(0, Vec::len) as u64 + 1,
            _ => self.last_index(session_id) + 1,
        };
        let begins = match fault {
            PlacesRunsByTheirLast => event.event_index,
            _ => event.first_index(),
        };
        let known = self.ids.contains(&event.id) && fault != StoresDuplicates;
        let misplaced = match fault {
            AcceptsHoles => begins < next_index,
            AcceptsDoubleIndexes => begins > next_index || begins == 0,
            _ => begins != next_index,
        };
        match (known, misplaced) {
            (true, false) => Some(Inserted::Duplicate),
            (true, true) if fault != ChecksTheIndexFirst => Some(Inserted::Duplicate),
            (_, true) => Some(Inserted::Conflict { next_index }),
            (false, false) => None,
        }
    }

    pub(crate) fn store(&mut self, fault: Fault, session_id: &str, mut event: SessionEvent) {
        self.inserts += 1;
        self.ids.insert(event.id.clone());
        if fault == LosesEvents && self.inserts % 10 == 7 {
            return;
        }
        if fault == PrintsPayloadsAnew {
            let value: serde_json::Value = serde_json::from_str(event.payload.get()).unwrap();
            event.payload = RawValue::from_string(value.to_string()).unwrap();
        }
        if fault == ForgetsRuns {
            event.folded_from = None;
        }
        let events = self.events.entry(session_id.to_owned()).or_default();
        events.push(event);
        if fault == LosesOrder {
            events.sort_by_key(|event| event.created_at);
        }
        if fault.evicts() && events.len() > HELD {
            events.remove(match fault {
                EvictsTheNewest => HELD - 1,
                _ => 0,
            });
        }
    }

    /// An error unless a handle with this lease may write to the session.
    pub(crate) fn check_fence(
        &self,
        fault: Fault,
        session_id: &str,
        carried: Option<&Lease>,
        handle: usize,
    ) -> Result<(), PersistError> {
        let tenure = self.tenures.get(session_id);
        let own = carried.filter(|lease| lease.session_id == session_id);
        let fenced = match (tenure, own) {
            _ if fault == FencesNothing => false,
            (None, None) => fault == FencesOtherSessions && carried.is_some(),
            (None, Some(_)) => false,
            (Some(tenure), None) if fault == FencesWithinTheProcess => {
                tenure.in_force(fault) && tenure.handle == handle
            }
            (Some(tenure), None) => tenure.in_force(fault),
            (Some(tenure), Some(own)) => match fault {
                TrustsTheHoldersName => tenure.lease.holder != own.holder,
                TrustsReleasedLeases => tenure.lease.token != own.token,
                TrustsTheTakenWhenReleased => {
                    tenure.lease.token != own.token && !tenure.released
                        || tenure.lease.token == own.token && tenure.released
                }
                FencesWhatExpired => tenure.lease.token != own.token || !tenure.in_force(fault),
                _ => tenure.lease.token != own.token || tenure.released,
            },
        };
        match (fenced, tenure) {
            (false, _) => Ok(()),
            (true, Some(tenure)) => Err(tenure.lease.fences()),
            (true, None) => Err(PersistError::fenced(session_id, None)),
        }
    }
}

impl Fault {
    pub(crate) fn evicts(self) -> bool {
        matches!(self, EvictsAndCountsAnew | EvictsTheNewest | EvictsInSilence | EvictsInSecret)
    }
}
