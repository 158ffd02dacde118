//! One player of a random history: makes a move in the store and in the model, and compares.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::timeout;

use super::kit::{Outcome, Subject};
use super::model::{Kept, Model};
use super::{ConformanceError, pages};
use crate::ListEventsRequest;

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
    pub(super) free_ids: Vec<String>,
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

    pub(super) fn new_id(&mut self, s: &str) -> String {
        if self.rng.u8(..20) == 0
            && let Some(id) = self.free_ids.pop()
        {
            return id;
        }
        self.ids += 1;
        format!("{s}/{}", self.ids)
    }

    /// The id of an event that is held, of any session; among the newest, which no store evicts.
    pub(super) fn known_id(&mut self) -> Option<String> {
        let newest = self.model.sessions.values().flat_map(|kept| kept.events.iter().rev().take(20));
        let ids: Vec<_> = newest.map(|event| event.id.clone()).collect();
        (!ids.is_empty()).then(|| ids[self.rng.usize(..ids.len())].clone())
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
