//! Records that are also in the actor's state.

use std::time::Duration;

use rivetkit_core::{ActorConfig, ActorContext, ActorEvent, ActorFactory, ActorStart};
use sandbox_agent_engine_harness::{Actors, PATIENCE, play_within};
use sandbox_agent_multiplayer_rivet::{
    MirroredSessionPersistDriver, RecordMirror, RivetSqlSessionPersistDriver,
};
use sandbox_agent_persist::{ListSessionsRequest, SessionPersistDriver, SessionRecord};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

const ACTOR: &str = "mirror";
/// Above this the engine never saves a state, and only its log says so.
const NEVER_SAVED: usize = 131_072;
/// What the copy may have.
const MOST: usize = 96 * 1024;
const SESSIONS: i64 = 500;

type Store = MirroredSessionPersistDriver<RivetSqlSessionPersistDriver>;

struct Awake {
    actor: ActorContext,
    store: Store,
    snapshot: Vec<u8>,
}

async fn run(start: ActorStart, starts: mpsc::UnboundedSender<Awake>) -> anyhow::Result<()> {
    let ActorStart { ctx, snapshot, mut events, .. } = start;
    let snapshot = snapshot.unwrap_or_default();
    let mirror = RecordMirror::open(&ctx, Some(&snapshot)).await;
    let sql = RivetSqlSessionPersistDriver::open(&ctx).await?;
    let store = MirroredSessionPersistDriver::open(sql, mirror.clone()).await;
    // The test may be over.
    let _ = starts.send(Awake { actor: ctx, store, snapshot });
    while let Some(event) = events.recv().await {
        match event {
            ActorEvent::SerializeState { reply, .. } => {
                reply.send(Ok(mirror.as_ref().map(RecordMirror::deltas).unwrap_or_default()));
            }
            ActorEvent::Action { reply, .. } => reply.send(Ok(vec![0xf6])),
            ActorEvent::ConnectionPreflight { reply, .. }
            | ActorEvent::ConnectionOpen { reply, .. }
            | ActorEvent::RunGracefulCleanup { reply, .. } => reply.send(Ok(())),
            _ => {}
        }
    }
    Ok(())
}

async fn awake(actors: &Actors, id: &str, started: &mut mpsc::UnboundedReceiver<Awake>) -> Awake {
    let since = tokio::time::Instant::now();
    loop {
        let answer = actors.call(id, "ping").await;
        if let Ok(awake) = started.try_recv() {
            return awake;
        }
        assert!(since.elapsed() < PATIENCE, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn record(number: i64) -> SessionRecord {
    let mut record = SessionRecord::new(format!("s{number}"), "codex", number);
    record.session_init = Some(json!({ "cwd": "x".repeat(2000) }));
    record
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn ten_times_what_the_state_holds_is_in_the_database_and_the_newest_in_the_state() {
    let (starts, mut started) = mpsc::unbounded_channel();
    let config = ActorConfig {
        name: Some(ACTOR.to_owned()),
        remote_sqlite: true,
        sleep_timeout: Duration::from_secs(3_600),
        ..ActorConfig::default()
    };
    let factory = ActorFactory::new(config, move |start| Box::pin(run(start, starts.clone())));
    play_within(Duration::from_secs(120), [(ACTOR, factory)], |actors| async move {
        let id = actors.create(ACTOR, "one").await;
        let Awake { actor, store, .. } = awake(&actors, &id, &mut started).await;
        for number in 1..=SESSIONS {
            store.update_session(record(number)).await.unwrap();
            assert!(actor.state().len() <= NEVER_SAVED);
        }
        store.delete_session(&format!("s{SESSIONS}")).await.unwrap();
        // Larger than all that the state may have.
        let mut large = record(SESSIONS + 1);
        large.session_init = Some(json!({ "cwd": "x".repeat(200_000) }));
        store.update_session(large.clone()).await.unwrap();
        actor.sleep().unwrap();
        timeout(PATIENCE, actor.actor_abort_signal().cancelled()).await.unwrap();

        let Awake { store, snapshot, .. } = awake(&actors, &id, &mut started).await;
        assert!(snapshot.len() > MOST / 2 && snapshot.len() <= MOST + 1024, "{}", snapshot.len());
        let saved: Value = ciborium::from_reader(&snapshot[..]).unwrap();
        let saved = saved["_sandboxAgentPersist"]["sessions"].as_object().unwrap();
        assert!(saved.len() > 20, "{}", saved.len());
        assert!(saved.contains_key(&format!("s{}", SESSIONS - 1)));
        assert!(!saved.contains_key("s1") && !saved.contains_key(&large.id));
        assert!(!saved.contains_key(&format!("s{SESSIONS}")));
        let kept = store.list_sessions(ListSessionsRequest::new().limit(1000)).await.unwrap().items;
        assert_eq!(kept.len(), usize::try_from(SESSIONS).unwrap());
        assert_eq!(store.get_session("s1").await.unwrap(), Some(record(1)));
        assert_eq!(store.get_session(&large.id).await.unwrap(), Some(large));
    })
    .await;
}
