//! The calls of one connection: those that change something one after the other, others beside them.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use sandbox_agent_multiplayer::{Call, Error, ErrorKind, Member, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::protocol;

/// A call that was taken, with its place among the unanswered.
struct Taken {
    id: u64,
    call: Call,
    place: OwnedSemaphorePermit,
}

/// An answer on its way. The call's place is free when it is written.
pub(super) struct Answer {
    pub(super) text: String,
    _place: Option<OwnedSemaphorePermit>,
}

impl Answer {
    pub(super) fn of(text: String) -> Self {
        Self { text, _place: None }
    }
}

/// Takes calls, as many as may be unanswered.
pub(super) struct Calls {
    places: Arc<Semaphore>,
    most: usize,
    in_order: mpsc::Sender<Taken>,
    beside: mpsc::Sender<Taken>,
}

/// Makes the calls that were taken.
pub(super) struct Work {
    in_order: mpsc::Receiver<Taken>,
    beside: mpsc::Receiver<Taken>,
    answers: mpsc::Sender<Answer>,
}

impl Work {
    /// Ends when nobody can take a call any more, and all are answered.
    pub(super) async fn run(self, member: &Member, max_bytes: usize) {
        let Self { mut in_order, mut beside, answers } = self;
        let ordered = async {
            while let Some(taken) = in_order.recv().await {
                make(member, taken, max_bytes, &answers).await;
            }
        };
        let others = async {
            let mut running = FuturesUnordered::new();
            loop {
                tokio::select! {
                    Some(taken) = beside.recv() => running.push(make(member, taken, max_bytes, &answers)),
                    Some(()) = running.next() => {}
                    else => break,
                }
            }
        };
        tokio::join!(ordered, others);
    }
}

async fn make(member: &Member, taken: Taken, max_bytes: usize, answers: &mpsc::Sender<Answer>) {
    let answer = member.call(taken.call, max_bytes).await;
    let text = protocol::answer(taken.id, answer);
    // Where nobody writes any more, nobody waits for it.
    let _ = answers.send(Answer { text, _place: Some(taken.place) }).await;
}

impl Calls {
    pub(super) fn new(most: usize, answers: mpsc::Sender<Answer>) -> (Self, Work) {
        let most = most.max(1);
        let (in_order, ordered) = mpsc::channel(most);
        let (beside, others) = mpsc::channel(most);
        let calls = Self { places: Arc::new(Semaphore::new(most)), most, in_order, beside };
        (calls, Work { in_order: ordered, beside: others, answers })
    }

    pub(super) fn take(&self, id: u64, call: Call) -> Result<()> {
        let full = || {
            let message =
                format!("{} calls are unanswered, which are as many as may; wait for one", self.most);
            Error::new(ErrorKind::Full, message)
        };
        let place = self.places.clone().try_acquire_owned().map_err(|_| full())?;
        let lane = if is_beside(&call) { &self.beside } else { &self.in_order };
        lane.try_send(Taken { id, call, place }).map_err(|_| full())
    }
}

/// Whether others need not wait for it: it only reads, or takes as long as an agent or a command does.
fn is_beside(call: &Call) -> bool {
    matches!(
        call,
        Call::GetSessionInfo {}
            | Call::GetSequencedEvents { .. }
            | Call::GetFramePart { .. }
            | Call::RespondPermission { .. }
            | Call::CreateSession { .. }
            | Call::ListFiles { .. }
            | Call::ReadFile { .. }
            | Call::Exec(_)
    )
}
