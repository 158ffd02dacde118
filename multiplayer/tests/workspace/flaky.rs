//! A store whose answers get lost: what it was asked to do it may have done, or a part of it.

use std::sync::Mutex;

use async_trait::async_trait;
use sandbox_agent_multiplayer::{FrameBody, Limits, NewPrompt};
use sandbox_agent_sdk::persist::{Capabilities, Inserted, PersistError, PersistErrorKind};
use sandbox_agent_sdk::{
    ListEventsRequest, ListPage, ListSessionsRequest, MemorySessionPersistDriver, SessionEvent,
    SessionPersistDriver, SessionRecord, SessionState,
};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::{PATIENCE, ask, builder, join, of_prompt, said, sandbox, until, whole_line};

#[derive(Debug)]
struct Flaky {
    store: MemorySessionPersistDriver,
    /// None for a store that answers.
    dice: Option<Mutex<fastrand::Rng>>,
    /// Whether events of sessions may come into the line.
    open: watch::Receiver<bool>,
}

impl Flaky {
    /// One of so many; 0 to 2 are faults.
    fn roll(&self, sides: usize) -> usize {
        match &self.dice {
            Some(dice) => dice.lock().unwrap().usize(..sides),
            None => sides - 1,
        }
    }
}

fn lost() -> PersistError {
    PersistError::new(PersistErrorKind::Unavailable, "the answer was lost")
}

#[async_trait]
impl SessionPersistDriver for Flaky {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        self.store.get_session(id).await
    }

    async fn list_sessions(
        &self,
        asked: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        self.store.list_sessions(asked).await
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        if self.roll(10) == 0 {
            return Err(lost());
        }
        self.store.update_session(record).await
    }

    async fn list_events(&self, asked: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        if self.roll(10) == 0 {
            return Err(lost());
        }
        self.store.list_events(asked).await
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        self.insert_events(session_id, vec![event]).await
    }

    async fn insert_events(
        &self,
        session_id: &str,
        mut events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        if events.iter().any(|event| event.payload.get().contains("_sandbox_agent/frames")) {
            self.open.clone().wait_for(|open| *open).await.unwrap();
        }
        match self.roll(10) {
            0 => Err(lost()),
            1 => {
                events.truncate(self.roll(events.len()));
                let _unheard = self.store.insert_events(session_id, events).await?;
                Err(lost())
            }
            2 => {
                let _unheard = self.store.insert_events(session_id, events).await?;
                Err(lost())
            }
            _ => self.store.insert_events(session_id, events).await,
        }
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        self.store.delete_session(id).await
    }
}

#[tokio::test]
async fn answers_of_the_store_that_get_lost_neither_lose_nor_double_a_frame() {
    for seed in 0..6 {
        let sandbox = sandbox().await;
        let dice = Some(Mutex::new(fastrand::Rng::with_seed(seed)));
        let (_open, open) = watch::channel(true);
        let store = Flaky { store: MemorySessionPersistDriver::new(), dice, open };
        let limits = Limits::default().tail_bytes(2048);
        let workspace = builder(&sandbox, store).await.limits(limits).open().await.unwrap();
        let ada = join(&workspace, "ada").await;
        for turn in 0..4 {
            ask(&ada, &format!("stream 20; say turn{turn}")).await;
        }
        let line = whole_line(&ada).await;
        let words: String = (1..=20).map(|n| format!("u{n} ")).collect();
        let turns: String = (0..4).map(|turn| format!("{words}turn{turn}")).collect();
        assert_eq!(said(&line), turns, "seed {seed}");
        let chats = line.iter().filter(|frame| matches!(frame.body, FrameBody::ChatUser(_))).count();
        assert_eq!(chats, 4, "seed {seed}");
    }
}

#[tokio::test]
async fn the_end_of_a_turn_waits_for_events_that_are_on_their_way_into_the_line() {
    let sandbox = sandbox().await;
    let (hold, open) = watch::channel(true);
    let store = Flaky { store: MemorySessionPersistDriver::new(), dice: None, open };
    let workspace = builder(&sandbox, store).await.open().await.unwrap();
    let ada = join(&workspace, "ada").await;
    let mut frames = ada.frames().unwrap();
    ada.prompt(NewPrompt::with_id("p", "think 300; stream 600; say end")).await.unwrap();
    hold.send_replace(false);
    let mut state = workspace.session("default").unwrap().state();
    timeout(PATIENCE, state.wait_for(|state| *state == SessionState::Running)).await.unwrap().unwrap();
    timeout(PATIENCE, state.wait_for(|state| *state == SessionState::Idle)).await.unwrap().unwrap();
    hold.send_replace(true);
    let seen = until(&mut frames, |body| of_prompt(body, "p").is_some_and(|it| it.phase.is_over())).await;
    assert!(said(&seen).ends_with("u600 end"), "the end came before the rest");
}
