//! Requests and what becomes of them, beside a reference that keeps each one's state.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sandbox_agent_persist::Sender;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::error::ErrorKind;

#[derive(Clone, Copy, Debug)]
enum Move {
    Register,
    SetLeft(u8, bool),
    Hint(u8),
    TakeHint(u8),
    Complete(u8),
    Forget(u8),
    /// Whoever waited is gone.
    Hang(u8),
    FailAll,
}

fn any_move() -> impl Strategy<Value = Move> {
    let id = 0..12_u8;
    prop_oneof![
        4 => Just(Move::Register),
        2 => (id.clone(), any::<bool>()).prop_map(|(id, left)| Move::SetLeft(id, left)),
        2 => id.clone().prop_map(Move::Hint),
        2 => id.clone().prop_map(Move::TakeHint),
        2 => id.clone().prop_map(Move::Complete),
        1 => id.clone().prop_map(Move::Forget),
        1 => id.prop_map(Move::Hang),
        1 => Just(Move::FailAll),
    ]
}

/// What is to be seen of a request that waits.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    left: bool,
    hint: Option<usize>,
    gone: bool,
}

/// How a request ended.
#[derive(Debug, PartialEq)]
enum End {
    Answered(u64),
    Failed(Option<Delivery>),
    Forgotten,
}

#[derive(Default)]
struct World {
    pending: Pending,
    waiting: BTreeMap<String, Expected>,
    receivers: Vec<Option<oneshot::Receiver<Answer>>>,
    /// How each one that ended is expected to have ended.
    ended: BTreeMap<usize, End>,
    hints: usize,
}

fn text(hint: usize) -> Box<RawValue> {
    RawValue::from_string(format!("{{\"result\":{hint}}}")).unwrap()
}

fn answer(index: u64) -> Arc<SessionEvent> {
    Arc::new(SessionEvent::new("e", index, "s", 0, "c", Sender::Agent, text(0)))
}

impl World {
    fn step(&mut self, next: Move) {
        match next {
            Move::Register => {
                self.waiting.insert(self.receivers.len().to_string(), Expected::default());
                self.receivers.push(Some(self.pending.register((self.receivers.len()).to_string())));
            }
            Move::SetLeft(id, left) => {
                self.pending.set_left(&id.to_string(), left);
                if let Some(one) = self.waiting.get_mut(&id.to_string()) {
                    one.left = left;
                }
            }
            Move::Hint(id) => {
                self.hints += 1;
                let kept = self.pending.hint(&id.to_string(), text(self.hints));
                let one = self.waiting.get_mut(&id.to_string());
                assert_eq!(kept, one.is_some());
                one.into_iter().for_each(|one| one.hint = Some(self.hints));
            }
            Move::TakeHint(id) => {
                let hint = self.waiting.get_mut(&id.to_string()).and_then(|one| one.hint.take());
                let taken = self.pending.take_hint(&id.to_string());
                assert_eq!(
                    taken.map(|hint| hint.get().to_owned()),
                    hint.map(|hint| text(hint).get().to_owned())
                );
            }
            Move::Complete(id) => {
                let one = self.waiting.remove(&id.to_string());
                let heard = self.pending.complete(&id.to_string(), Ok(answer(id.into())));
                assert_eq!(heard, one.is_some_and(|one| !one.gone));
                one.into_iter().for_each(|_| self.end(id.into(), End::Answered(id.into())));
            }
            Move::Forget(id) => {
                self.pending.forget(&id.to_string());
                if self.waiting.remove(&id.to_string()).is_some() {
                    self.end(id.into(), End::Forgotten);
                }
            }
            Move::Hang(id) => {
                self.receivers.get_mut(usize::from(id)).into_iter().for_each(|receiver| *receiver = None);
                self.waiting.get_mut(&id.to_string()).into_iter().for_each(|one| one.gone = true);
            }
            Move::FailAll => self.fail_all(),
        }
        self.look();
    }

    fn fail_all(&mut self) {
        self.pending.fail_all(&Error::new(ErrorKind::ProcessGone, "gone").with_delivery(Delivery::Unknown));
        for (id, one) in std::mem::take(&mut self.waiting) {
            let delivery = if one.left { Delivery::Unknown } else { Delivery::NotSent };
            self.end(id.parse().unwrap(), End::Failed(Some(delivery)));
        }
    }

    fn end(&mut self, id: usize, end: End) {
        assert!(self.ended.insert(id, end).is_none(), "request {id} ended twice");
    }

    /// What can be seen from outside is what the reference says.
    fn look(&mut self) {
        assert_eq!(self.pending.is_empty(), self.waiting.is_empty());
        let mut hinted = self.pending.hinted();
        hinted.sort();
        let expected = self.waiting.iter().filter(|(_, one)| one.hint.is_some()).map(|(id, _)| id.clone());
        assert_eq!(hinted, expected.collect::<Vec<_>>());
        for (id, receiver) in self.receivers.iter_mut().enumerate() {
            let waits = self.waiting.contains_key(&id.to_string());
            assert_eq!(self.pending.contains(&id.to_string()), waits);
            // An answer that was taken out leaves a receiver that has ended for good.
            let Some(open) = receiver else { continue };
            let end = match open.try_recv() {
                Err(TryRecvError::Empty) => {
                    assert!(waits, "request {id} was left without an answer");
                    continue;
                }
                Err(TryRecvError::Closed) => End::Forgotten,
                Ok(Ok(event)) => End::Answered(event.event_index),
                Ok(Err(error)) => End::Failed(error.delivery()),
            };
            assert_eq!(Some(&end), self.ended.get(&id), "request {id}");
            *receiver = None;
        }
    }
}

proptest! {
    #[test]
    fn each_request_ends_once_and_as_it_should(moves in vec(any_move(), 0..80)) {
        let mut world = World::default();
        moves.into_iter().for_each(|next| world.step(next));
        world.step(Move::FailAll);
        assert!(world.pending.is_empty());
    }
}
