//! One player of a random history: makes a move in the store and in the model, and compares.

use std::slice::from_ref;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::timeout;

use super::dice;
use super::kit::{Outcome, Subject};
use super::model::{Kept, Model};
use super::{ConformanceError, pages};
use crate::{Inserted, ListEventsRequest, SessionEvent};

/// How long a call may take before it counts as hanging; far more than a slow disk needs.
const CALL_WITHIN: Duration = Duration::from_secs(20);

/// How many calls a failure shows.
const SHOWN: usize = 15;

/// What is noted when the store was opened again.
pub(super) const OPENED_AGAIN: &str = "opened again";

pub(super) struct Player {
    pub(super) rng: Rng,
    /// The handles of the store; a call goes to any of them.
    pub(super) handles: Vec<Subject>,
    /// Handles that another opening took the place of.
    pub(super) left: Vec<Subject>,
    pub(super) model: Model,
    /// The sessions that it plays with, which nobody else does.
    pub(super) names: Vec<String>,
    pub(super) agents: Vec<&'static str>,
    pub(super) walks: Vec<pages::Walk>,
    pub(super) moves: usize,
    ids: u64,
    /// The ids of deleted events, which may come again.
    free_ids: Vec<String>,
    /// The sentence that the current call is about.
    about: usize,
    calls: Vec<Call>,
}

/// A call that was made, for a failure to show.
struct Call {
    /// `None` for a call about all sessions.
    session_id: Option<String>,
    said: String,
}

impl Player {
    pub(super) fn new(
        rng: Rng,
        handles: Vec<Subject>,
        names: Vec<String>,
        agents: Vec<&'static str>,
    ) -> Self {
        Self {
            rng,
            handles,
            left: Vec::new(),
            names,
            agents,
            model: Model::default(),
            walks: Vec::new(),
            moves: 0,
            ids: 0,
            free_ids: Vec::new(),
            about: 8,
            calls: Vec::new(),
        }
    }

    /// Makes a random move; a failure has what went before it.
    pub(super) async fn play(&mut self) -> Result<(), ConformanceError> {
        self.moves += 1;
        let s = self.names[self.rng.usize(..self.names.len())].clone();
        let made = match timeout(CALL_WITHIN, self.make_move(&s)).await {
            Ok(made) => made,
            Err(_) => {
                let detail = format!("the last of these calls did not end within {CALL_WITHIN:?}");
                Err(ConformanceError::new(self.about, detail))
            }
        };
        made.map_err(|error| self.told(error))
    }

    async fn make_move(&mut self, s: &str) -> Outcome {
        self.follow_evictions(s).await?;
        match self.rng.u8(..100) {
            0..15 => self.inserts(s).await,
            15..22 => self.inserts_what_is_refused(s).await,
            22..34 => self.inserts_many(s).await,
            34..45 => self.folds(s).await,
            45..48 => self.measures(s).await,
            48..58 => self.updates(s).await,
            58..61 => self.deletes(s).await,
            61..65 => self.gets(s).await,
            65..67 => self.is_told(s).await,
            67..78 => self.lists_events(s).await,
            78..85 => self.begins_a_walk(s).await,
            85..92 => self.goes_on_walking().await,
            _ => self.lists_sessions().await,
        }
    }

    /// The failure with its history: the last calls that had to do with the session of the last one.
    pub(super) fn told(&self, error: ConformanceError) -> ConformanceError {
        let of = self.calls.last().and_then(|call| call.session_id.as_ref());
        let concerns = |call: &&Call| match (of, &call.session_id) {
            (Some(of), Some(session_id)) => of == session_id,
            (None, Some(_)) => {
                call.said.starts_with("update_session") || call.said.starts_with("delete_session")
            }
            (_, None) => of.is_none() || call.said == OPENED_AGAIN,
        };
        let mut calls: Vec<_> = self.calls.iter().filter(concerns).collect();
        let earlier = calls.len().saturating_sub(SHOWN);
        let detail = calls.drain(earlier..).fold(
            format!(
                "{}\nin move {} of a random history. What it did of this, after {earlier} calls more:",
                error.detail(),
                self.moves,
            ),
            |detail, Call { session_id, said }| match session_id {
                Some(session_id) => format!("{detail}\n  {session_id:?}: {said}"),
                None => format!("{detail}\n  {said}"),
            },
        );
        ConformanceError::new(error.sentence(), detail)
    }

    pub(super) fn note(&mut self, session_id: &str, said: String) {
        self.calls.push(Call { session_id: Some(session_id.to_owned()), said });
    }

    /// Notes a call about all sessions.
    pub(super) fn note_of_all(&mut self, said: String) {
        self.calls.push(Call { session_id: None, said });
    }

    /// Any of the handles, for a call that is about this sentence.
    pub(super) fn handle(&mut self, sentence: usize) -> Subject {
        self.about = sentence;
        self.handles[self.rng.usize(..self.handles.len())].about(sentence)
    }

    pub(super) fn kept(&mut self, s: &str) -> &mut Kept {
        self.model.of(s)
    }

    fn new_id(&mut self, s: &str) -> String {
        if self.rng.u8(..20) == 0
            && let Some(id) = self.free_ids.pop()
        {
            return id;
        }
        self.ids += 1;
        format!("{s}/{}", self.ids)
    }

    /// The id of an event that is held, of any session; among the newest, which no store evicts.
    fn known_id(&mut self) -> Option<String> {
        let newest = self.model.sessions.values().flat_map(|kept| kept.events.iter().rev().take(20));
        let ids: Vec<_> = newest.map(|event| event.id.clone()).collect();
        (!ids.is_empty()).then(|| ids[self.rng.usize(..ids.len())].clone())
    }

    async fn inserts(&mut self, s: &str) -> Outcome {
        let (id, next) = (self.new_id(s), self.kept(s).next_index());
        let event = dice::event(&mut self.rng, s, id, next);
        self.inserts_one(event).await
    }

    async fn inserts_what_is_refused(&mut self, s: &str) -> Outcome {
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

    async fn inserts_many(&mut self, s: &str) -> Outcome {
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

    async fn folds(&mut self, s: &str) -> Outcome {
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

    async fn measures(&mut self, s: &str) -> Outcome {
        let subject = self.handle(23);
        let Some(upkeep) = subject.store.upkeep() else { return Ok(()) };
        if self.rng.u8(..6) == 0 {
            self.note_of_all("vacuum()".to_owned());
            subject.ok(upkeep.vacuum().await, "vacuum")?;
        }
        self.note(s, "usage()".to_owned());
        let want = self.kept(s).usage();
        subject.equal(&subject.ok(upkeep.usage(s).await, "usage")?, &want, &format!("usage({s:?})"))
    }

    async fn updates(&mut self, s: &str) -> Outcome {
        let record = dice::record(&mut self.rng, s, &self.agents);
        self.note(s, format!("update_session of {record:?}"));
        self.handle(1).update(record.clone()).await?;
        self.kept(s).record = Some(record);
        Ok(())
    }

    async fn deletes(&mut self, s: &str) -> Outcome {
        self.note(s, "delete_session()".to_owned());
        let subject = self.handle(15);
        subject.ok(subject.store.delete_session(s).await, "delete_session")?;
        let gone = std::mem::take(self.kept(s));
        self.free_ids.extend(gone.events.into_iter().map(|event| event.id));
        Ok(())
    }

    async fn gets(&mut self, s: &str) -> Outcome {
        self.note(s, "get_session()".to_owned());
        let want = self.kept(s).record.clone();
        self.handle(2).record(s, want).await
    }

    async fn is_told(&mut self, s: &str) -> Outcome {
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

    /// Lets the model forget what the store has evicted, which must be the oldest of a session or all of it.
    pub(super) async fn follow_evictions(&mut self, s: &str) -> Outcome {
        let subject = self.handle(16);
        if !subject.promised.evicts {
            return Ok(());
        }
        let oldest = subject.page(ListEventsRequest::new(s).limit(1)).await?.items.pop();
        let record = subject.ok(subject.store.get_session(s).await, "get_session")?;
        let kept = self.kept(s);
        let next_index = kept.next_index();
        match oldest {
            Some(oldest) => {
                let held = kept.events.iter().position(|event| *event == oldest);
                let Some(held) = held else {
                    return subject
                        .broken(format!("the oldest event of {s:?} is none that it had: {oldest:?}"));
                };
                kept.events.drain(..held);
                kept.gone_to = oldest.first_index() - 1;
            }
            None => {
                kept.events.clear();
                kept.gone_to = next_index - 1;
                // It may have gone whole.
                kept.record = kept.record.take().filter(|_| record.is_some());
            }
        }
        Ok(())
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
