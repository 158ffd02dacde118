//! What an earlier life of the client had done when it was killed.

use std::collections::HashSet;

use crate::log::{Entry, Line};
use crate::plan::PromptPlan;

/// The prompts of each session, by their place.
#[derive(Debug, Default)]
pub(super) struct Past {
    prompted: HashSet<(String, usize)>,
    settled: HashSet<(String, usize)>,
}

impl Past {
    pub(super) fn read(entries: &[Entry]) -> Self {
        let mut past = Self::default();
        for entry in entries {
            match &entry.line {
                Line::Prompted { session, prompt, .. } => past.prompted.insert((session.clone(), *prompt)),
                Line::Settled { session, prompt, .. } => past.settled.insert((session.clone(), *prompt)),
                _ => false,
            };
        }
        past
    }

    /// Whether a prompt is to be sent (again): one with a key until its outcome is known, any
    /// other one only if it never was.
    pub(super) fn wants(&self, session: &str, number: usize, prompt: &PromptPlan) -> bool {
        let place = (session.to_owned(), number);
        match prompt.key {
            Some(_) => !self.settled.contains(&place),
            None => !self.prompted.contains(&place),
        }
    }
}
