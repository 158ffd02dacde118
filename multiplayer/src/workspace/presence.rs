//! Who is here, and what becomes of the control of those who go.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::time::{Instant, sleep};

use super::Inner;
use crate::control::Control;
use crate::error::Result;
use crate::frame::{FrameBody, Presence};
use crate::participant::{Participant, Person, Rights};

/// The seats that are taken, by person: somebody with two pages is here once.
#[derive(Debug, Default)]
pub(crate) struct Presences {
    here: HashMap<String, Seats>,
    /// Since when those who had control have been away.
    away: HashMap<String, Instant>,
}

#[derive(Debug)]
struct Seats {
    person: Person,
    rights: Rights,
    number: usize,
}

impl Presences {
    /// Whether somebody is not here, and their time has not begun; it begins by this.
    fn is_missed(&mut self, id: &str) -> bool {
        let missed = !self.here.contains_key(id) && !self.away.contains_key(id);
        if missed {
            self.away.insert(id.to_owned(), Instant::now());
        }
        missed
    }

    fn list(&self) -> Vec<Person> {
        let mut here: Vec<Person> = self.here.values().map(|seats| seats.person.clone()).collect();
        here.sort();
        here
    }
}

impl Inner {
    /// Somebody takes a seat; [`show_presence`](Self::show_presence) shows it.
    pub(crate) fn sit(&self, who: &Participant) {
        let mut presences = self.presences();
        let Participant { person, rights } = who;
        presences.away.remove(&person.id);
        let seats = presences.here.entry(person.id.clone());
        let seats = seats.or_insert_with(|| Seats { person: person.clone(), rights: *rights, number: 0 });
        seats.number += 1;
        seats.rights = *rights;
    }

    /// Somebody gives a seat up.
    pub(crate) fn leave(self: &Arc<Self>, person: &Person) {
        let gone = {
            let mut presences = self.presences();
            let Some(seats) = presences.here.get_mut(&person.id) else { return };
            seats.number -= 1;
            let gone = seats.number == 0;
            if gone {
                presences.here.remove(&person.id);
                presences.away.insert(person.id.clone(), Instant::now());
            }
            gone
        };
        if !gone || self.stop.is_cancelled() {
            return;
        }
        let (inner, id) = (self.clone(), person.id.clone());
        // A seat is given up by dropping it, on whatever thread, where nothing can be awaited.
        self.tasks.spawn_on(
            async move {
                if let Err(error) = inner.show_presence().await {
                    tracing::debug!(%error, "that somebody left could not be shown");
                }
                inner.free_what_is_left(&id).await;
            },
            &self.runtime,
        );
    }

    /// Who has control, or asks for it, without being here has their time to come.
    pub(super) fn watch_absent(self: &Arc<Self>, control: &Control) {
        for person in control.drivers.iter().chain(&control.requests) {
            if !self.presences().is_missed(&person.id) {
                continue;
            }
            let (inner, id) = (self.clone(), person.id.clone());
            self.tasks.spawn(async move { inner.free_what_is_left(&id).await });
        }
    }

    /// Takes control from somebody who has been away too long.
    async fn free_what_is_left(self: &Arc<Self>, id: &str) {
        tokio::select! {
            () = sleep(self.limits.grace) => {}
            () = self.stop.cancelled() => return,
        }
        let _gate = self.gate.lock().await;
        let away = self.presences().away.get(id).is_some_and(|since| since.elapsed() >= self.limits.grace);
        if !away {
            return;
        }
        self.presences().away.remove(id);
        let control = self.line.tail.look(|now| now.control.clone());
        if let Err(error) = self.change_control(control.release(id, &self.policy)).await {
            tracing::debug!(%error, "control of somebody who left could not be freed");
        }
    }

    /// Puts into the line who is here, where it says something else.
    pub(crate) async fn show_presence(&self) -> Result<()> {
        let _gate = self.gate.lock().await;
        let here = self.presences().list();
        if self.line.tail.look(|now| now.here == here) {
            return Ok(());
        }
        self.line.append(FrameBody::Presence(Presence { here })).await.map(drop)
    }

    /// Somebody who is here, and what they may do.
    pub(crate) fn seated(&self, id: &str) -> Option<(Person, Rights)> {
        self.presences().here.get(id).map(|seats| (seats.person.clone(), seats.rights))
    }

    /// Whether somebody is here.
    pub(crate) fn is_here(&self, id: &str) -> bool {
        self.presences().here.contains_key(id)
    }

    /// Nothing panics while it holds the lock, and the maps are whole at every step.
    fn presences(&self) -> MutexGuard<'_, Presences> {
        self.presences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
