//! What a client was told, and what the store has.

use std::time::{SystemTime, UNIX_EPOCH};

use sandbox_agent_multiplayer::{Frame, FrameBody};
use sandbox_agent_sdk::SessionEventExt;
use serde::Deserialize;

use crate::UPDATES;

/// A frame, as far as it is compared: its places, its time, its kind, and what the agent said in it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Told(pub(crate) u64, pub(crate) u64, pub(crate) i64, pub(crate) String, pub(crate) String);

/// The same with when it arrived, in milliseconds since the Unix epoch.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Arrived(u64, u64, i64, String, String, f64);

/// What a client was told.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) frames: Vec<Arrived>,
}

impl Told {
    pub(crate) fn of(frame: &Frame) -> Self {
        let text = match &frame.body {
            FrameBody::SessionEvent(event) => event.agent_text().unwrap_or_default(),
            _ => String::new(),
        };
        Self(frame.from, frame.sequence, frame.at, frame.body.kind().to_owned(), text)
    }
}

impl Arrived {
    pub(crate) fn now(frame: &Frame) -> Self {
        let Told(from, sequence, at, kind, text) = Told::of(frame);
        Self(from, sequence, at, kind, text, now())
    }

    fn told(&self) -> Told {
        let Self(from, sequence, at, kind, text, _) = self.clone();
        Told(from, sequence, at, kind, text)
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.1
    }

    /// How long it was on its way, in milliseconds.
    pub(crate) fn lag(&self) -> f64 {
        self.5 - self.2 as f64
    }

    pub(crate) fn arrived(&self) -> f64 {
        self.5
    }
}

impl Seen {
    /// How many updates of the turn came one after the other, from the first on.
    pub(crate) fn updates_in_order(&self) -> usize {
        let mut said = self.frames.iter().map(|frame| frame.4.as_str()).filter(|text| !text.is_empty());
        let in_order = (1..=UPDATES).take_while(|n| said.next() == Some(format!("u{n} ").as_str())).count();
        // One too many is as wrong as one that is missing.
        if said.next().is_some() { 0 } else { in_order }
    }

    /// Whether this is what the store has.
    pub(crate) fn is(&self, stored: &[Told]) -> bool {
        self.frames.len() == stored.len()
            && self.frames.iter().zip(stored).all(|(seen, told)| seen.told() == *told)
    }

    /// Without what came before this place and after that one.
    pub(crate) fn within(mut self, first: u64, last: u64) -> Self {
        self.frames.retain(|frame| (first..=last).contains(&frame.sequence()));
        self
    }
}

/// Milliseconds since the Unix epoch, by the clock that frames have their time from.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}
