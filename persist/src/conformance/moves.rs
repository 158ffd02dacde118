//! The moves of a random history that write, and those that look at one thing.

use std::slice::from_ref;

use super::dice;
use super::kit::Outcome;
use super::player::Player;
use crate::{Inserted, SessionEvent};

impl Player {
    pub(super) async fn inserts(&mut self, s: &str) -> Outcome {
        let (id, next) = (self.new_id(s), self.kept(s).next_index());
        let event = dice::event(&mut self.rng, s, id, next);
        self.inserts_one(event).await
    }

    pub(super) async fn inserts_what_is_refused(&mut self, s: &str) -> Outcome {
        let next = self.kept(s).next_index();
        let known = self.known_id().filter(|_| self.rng.bool());
        let id = match known {
            Some(id) => id,
            None => self.new_id(s),
        };
        let first = match self.rng.u8(..5) {
            0 => 1,
            1 => next - 1,
            2 => next,
            3 => next + 1,
            _ => self.rng.u64(..next + 9),
        };
        let event = dice::event(&mut self.rng, s, id, first);
        self.inserts_one(event).await
    }

    async fn inserts_one(&mut self, event: SessionEvent) -> Outcome {
        let s = event.session_id.clone();
        let call = format!("insert_event({})", shown(from_ref(&event)));
        self.note(&s, call.clone());
        let want = self.model.insert(event.clone());
        let subject = self.handle(about(want));
        let got = subject.store.insert_event(&s, event).await;
        subject.equal(&subject.ok(got, &call)?, &want, &call)
    }

    pub(super) async fn inserts_many(&mut self, s: &str) -> Outcome {
        let mut next = self.kept(s).next_index();
        let mut batch = Vec::new();
        for _ in 0..self.rng.usize(..12) {
            let id = self.new_id(s);
            let event = dice::event(&mut self.rng, s, id, next);
            next = event.event_index + 1;
            batch.push(event);
        }
        if !batch.is_empty() && self.rng.u8(..3) == 0 {
            let at = self.rng.usize(..batch.len());
            match (self.rng.u8(..4), self.known_id()) {
                (0, Some(id)) => batch[at].id = id,
                // Those after it would fit, and must not be stored.
                (1, Some(id)) => {
                    let index = batch[at].first_index();
                    batch.insert(at, dice::event_to(&mut self.rng, s, id, index));
                }
                (2, _) => batch[at].id = batch[self.rng.usize(..batch.len())].id.clone(),
                _ => drop(batch.remove(at)),
            }
        }
        let call = format!("insert_events({})", shown(&batch));
        self.note(s, call.clone());
        let want = self.model.insert_all(batch.clone());
        let subject = self.handle(if want == Inserted::Stored { 4 } else { 9 });
        let got = subject.store.insert_events(s, batch).await;
        subject.equal(&subject.ok(got, &call)?, &want, &call)
    }

    pub(super) async fn folds(&mut self, s: &str) -> Outcome {
        let subject = self.handle(22);
        let Some(upkeep) = subject.store.upkeep() else { return Ok(()) };
        let kept = self.model.of(s);
        // Of the newer half, which no store evicts; mostly from the begin of an event to the end of one.
        let half = &kept.events[kept.events.len() / 2..];
        let next = kept.next_index();
        let (mut first, mut last) = match half.len() {
            0 => (next, next),
            len => {
                let at = self.rng.usize(..len);
                let to = (at + self.rng.usize(..8)).min(len - 1);
                (half[at].first_index(), half[to].event_index)
            }
        };
        match self.rng.u8(..8) {
            0 => first = first.saturating_sub(self.rng.u64(..3)),
            1 => last += self.rng.u64(..3),
            2 => first = (first + 1).min(last),
            _ => {}
        }
        let known = self.known_id().filter(|_| self.rng.u8(..10) == 0);
        let id = known.unwrap_or_else(|| self.new_id(s));
        let folded = dice::event_to(&mut self.rng, s, id, last).standing_from(first);
        let call = format!("fold({})", shown(from_ref(&folded)));
        self.note(s, call.clone());
        let want = self.model.fold(folded.clone());
        subject.equal(&subject.ok(upkeep.fold(s, folded).await, &call)?, &want, &call)
    }

    pub(super) async fn measures(&mut self, s: &str) -> Outcome {
        let subject = self.handle(23);
        let Some(upkeep) = subject.store.upkeep() else { return Ok(()) };
        if self.rng.u8(..6) == 0 {
            self.note_of_all("vacuum()".to_owned());
            // A store may have to wait until nobody reads, and then changes nothing either.
            match upkeep.vacuum().await {
                Err(error) if error.is_unavailable() => {}
                vacuumed => subject.ok(vacuumed, "vacuum")?,
            }
        }
        self.note(s, "usage()".to_owned());
        let want = self.kept(s).usage();
        subject.equal(&subject.ok(upkeep.usage(s).await, "usage")?, &want, &format!("usage({s:?})"))
    }

    pub(super) async fn updates(&mut self, s: &str) -> Outcome {
        let record = dice::record(&mut self.rng, s, &self.agents);
        self.note(s, format!("update_session of {record:?}"));
        self.handle(1).update(record.clone()).await?;
        self.kept(s).record = Some(record);
        Ok(())
    }

    pub(super) async fn deletes(&mut self, s: &str) -> Outcome {
        self.note(s, "delete_session()".to_owned());
        let subject = self.handle(15);
        subject.ok(subject.store.delete_session(s).await, "delete_session")?;
        let gone = std::mem::take(self.kept(s));
        self.free_ids.extend(gone.events.into_iter().map(|event| event.id));
        Ok(())
    }

    pub(super) async fn gets(&mut self, s: &str) -> Outcome {
        self.note(s, "get_session()".to_owned());
        let want = self.kept(s).record.clone();
        self.handle(2).record(s, want).await
    }

    pub(super) async fn is_told(&mut self, s: &str) -> Outcome {
        let subject = self.handle(24);
        let last = self.kept(s).next_index() - 1;
        let (Some(follow), 1..) = (subject.store.follow(), last) else { return Ok(()) };
        let after = self.rng.u64(..last);
        let call = format!("changed(after {after})");
        self.note(s, call.clone());
        let got = subject.ok(follow.changed(s, after).await, &call)?;
        subject.equal(
            &(got > after && got <= last),
            &true,
            &format!("{call} gives {got}, and the last is {last}"),
        )
    }
}

/// The sentence that says this of an insert.
fn about(inserted: Inserted) -> usize {
    match inserted {
        Inserted::Duplicate => 5,
        Inserted::Stored | Inserted::Conflict { .. } => 4,
    }
}

/// The ids and indexes of these events.
fn shown(events: &[SessionEvent]) -> String {
    let shown = events.iter().map(|event| match event.folded_from {
        None => format!("{:?} at {}", event.id, event.event_index),
        Some(first) => format!("{:?} at {first} to {}", event.id, event.event_index),
    });
    shown.collect::<Vec<_>>().join(", ")
}
