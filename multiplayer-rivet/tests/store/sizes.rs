//! What is longer than the engine takes in one go.

use rivetkit_core::ActorContext;
use sandbox_agent_engine_harness::{PATIENCE, with_idle_actors};
use sandbox_agent_persist::{
    Inserted, ListEventsRequest, ListSessionsRequest, PersistErrorKind, SessionPersistDriver, SessionRecord,
    SessionUpkeep,
};
use serde_json::json;

use crate::kit::{LARGEST, Store, event, held, insert, pieces};

async fn with_store<F: Future<Output = ()> + Send>(
    scenario: impl FnOnce(ActorContext, Store) -> F + Send + 'static,
) {
    with_idle_actors(PATIENCE, |actors| async move {
        let actor = actors.awake("one").await;
        let store = Store::open(&actor).await.unwrap();
        scenario(actor, store).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn payloads_of_any_length_come_back_as_they_came() {
    with_store(async |actor, store| {
        let piece = 96 * 1024;
        let sizes =
            [2, 32_768, 32_769, piece - 1, piece, piece + 1, 131_072, 131_073, 1_000_001, 9, 5_000_000];
        let events: Vec<_> = (1..).zip(sizes).map(|(index, bytes)| event(index, bytes)).collect();
        assert_eq!(insert(&store, &events).await, Inserted::Stored);
        let longest = event(12, LARGEST);
        assert_eq!(insert(&store, std::slice::from_ref(&longest)).await, Inserted::Stored);
        let all = [events, vec![longest]].concat();
        assert!(held(&store).await == all);
        let newest = store.list_events(ListEventsRequest::new("s").descending().limit(3)).await.unwrap();
        assert!(newest.items.iter().eq(all.iter().rev().take(3)));

        let refused = store.insert_event("s", event(13, LARGEST + 1)).await.unwrap_err();
        assert_eq!(refused.kind(), PersistErrorKind::TooLarge);
        let mut unnamed = event(13, 9);
        unnamed.id = "x".repeat(20_000);
        let refused = store.insert_events("s", vec![event(13, 9), unnamed]).await.unwrap_err();
        assert_eq!(refused.kind(), PersistErrorKind::TooLarge);

        store.delete_session("s").await.unwrap();
        assert_eq!(pieces(&actor).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_batch_of_many_requests_stops_at_the_first_refusal() {
    with_store(async |_, store| {
        // 9 MB in all, so that it takes several statements and several requests.
        let size = |index: u64| if index.is_multiple_of(50) { 200_000 } else { 3_000 };
        let events: Vec<_> = (1..=2_000).map(|index| event(index, size(index))).collect();
        assert_eq!(insert(&store, &events[..10]).await, Inserted::Stored);
        assert_eq!(insert(&store, &events).await, Inserted::Duplicate);
        assert_eq!(insert(&store, &events[11..]).await, Inserted::Conflict { next_index: 11 });
        assert_eq!(held(&store).await.len(), 10);

        for known in [11, 12, 50, 51, 77, 1_000] {
            let mut batch = events[10..].to_vec();
            batch[known - 11].id = "e1".to_owned();
            store.delete_session("s").await.unwrap();
            assert_eq!(insert(&store, &events[..10]).await, Inserted::Stored);
            assert_eq!(insert(&store, &batch).await, Inserted::Duplicate, "at {known}");
            assert!(held(&store).await == events[..known - 1], "at {known}");
        }
        let mut hole = events[999..].to_vec();
        hole.remove(700);
        assert_eq!(insert(&store, &hole).await, Inserted::Conflict { next_index: 1_700 });
        assert!(held(&store).await == events[..1_699]);
        assert_eq!(insert(&store, &events[1_699..]).await, Inserted::Stored);
        assert!(held(&store).await == events);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_fold_of_long_events_leaves_no_piece_of_them() {
    with_store(async |actor, store| {
        let long = 300_000;
        let events: Vec<_> = (1..=5).map(|index| event(index, long)).collect();
        assert_eq!(insert(&store, &events).await, Inserted::Stored);
        let mut folded = event(4, long + 1).standing_from(2);
        folded.id = "folded".to_owned();
        assert!(store.fold("s", folded.clone()).await.unwrap());
        assert!(!store.fold("s", folded.clone()).await.unwrap());
        let expected = [event(1, long), folded, event(5, long)];
        assert!(held(&store).await == expected);
        assert_eq!(pieces(&actor).await, 3 * 4);

        let mut short = event(5, 9).standing_from(1);
        short.id = "short".to_owned();
        assert!(store.fold("s", short.clone()).await.unwrap());
        assert!(held(&store).await == [short]);
        assert_eq!(pieces(&actor).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn records_of_any_length_are_replaced_whole() {
    with_store(async |actor, store| {
        let record = |id: &str, bytes: usize| {
            let mut record = SessionRecord::new(id, "codex", 7);
            record.modes = Some(json!({ "all": "é".repeat(bytes / 2) }));
            record
        };
        for bytes in [400_000, 10, 5_000_000, 200_000] {
            store.update_session(record("s", bytes)).await.unwrap();
            assert!(store.get_session("s").await.unwrap() == Some(record("s", bytes)));
        }
        let others: Vec<_> = (0..40).map(|number| record(&format!("t{number:02}"), 500_000)).collect();
        for other in &others {
            store.update_session(other.clone()).await.unwrap();
        }
        // More bytes than are read together.
        let listed = store.list_sessions(ListSessionsRequest::new().limit(usize::MAX)).await.unwrap();
        assert!(listed.items.split_first() == Some((&record("s", 200_000), others.as_slice())));
        let refused = store.update_session(record("s", LARGEST)).await.unwrap_err();
        assert_eq!(refused.kind(), PersistErrorKind::TooLarge);
        for session in listed.items {
            store.delete_session(&session.id).await.unwrap();
        }
        assert_eq!(pieces(&actor).await, 0);
    })
    .await;
}
