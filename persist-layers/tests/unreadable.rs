//! Records that can't be read: they stop nobody who goes on behind them, and are passed over in silence by nobody.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Memory, event, insert, record};
use sandbox_agent_persist::{
    ListSessionsRequest, PersistErrorKind, PruneReport, Retention, SessionFilter, SessionPersistDriver,
    SessionPersistDriverExt, SparedBecause,
};
use sandbox_agent_persist_layers::{EncryptedDriver, Keys, RedactingDriver, Secrets};

const SESSIONS: usize = 9;

fn encrypted(store: &Memory) -> EncryptedDriver<Memory> {
    EncryptedDriver::new(store.clone(), Keys::new("march", &[3; 32]))
}

fn id(place: usize) -> String {
    format!("s{place}")
}

fn ids(places: &[usize]) -> Vec<String> {
    places.iter().map(|place| id(*place)).collect()
}

/// Sessions of which those at these places have another key.
async fn spoilt(places: &[usize]) -> (Memory, EncryptedDriver<Memory>) {
    let store = Memory::new();
    let sessions = encrypted(&store);
    let others = EncryptedDriver::new(store.clone(), Keys::new("march", &[4; 32]));
    for place in 0..SESSIONS {
        let mut record = record(&id(place));
        record.created_at = 1;
        record.tags = [format!("{}", place % 2)].into();
        match places.contains(&place) {
            true => others.update_session(record).await.unwrap(),
            false => sessions.update_session(record).await.unwrap(),
        }
        insert(&sessions, event(&id(place), 1)).await;
    }
    (store, sessions)
}

/// What a list has, and what can't be read, by whoever goes on behind that.
async fn walked(
    sessions: &impl SessionPersistDriver,
    mut request: ListSessionsRequest,
) -> (Vec<String>, Vec<String>) {
    let (mut read, mut unreadable) = (Vec::new(), Vec::new());
    loop {
        let next = match sessions.list_sessions(request.clone()).await {
            Ok(page) => {
                assert!(page.items.len() <= request.page_size());
                read.extend(page.items.into_iter().map(|record| record.id));
                page.next_cursor
            }
            Err(error) => {
                assert_eq!(error.kind(), PersistErrorKind::Corrupt);
                let at = error.unreadable().expect("it says where to go on").clone();
                let message = error.to_string();
                assert!(message.contains(&format!("{:?}", at.session_id)), "{message}");
                assert!(message.contains("delete_session"), "{message}");
                unreadable.push(at.session_id);
                at.next_cursor
            }
        };
        match next {
            Some(cursor) => request.cursor = Some(cursor),
            None => return (read, unreadable),
        }
    }
}

#[tokio::test]
async fn a_list_goes_on_behind_each_record_that_cannot_be_read_and_names_it_once() {
    let all: Vec<_> = (0..SESSIONS).collect();
    for places in [&[0][..], &[8], &[4], &[3, 4, 5], &[0, 1, 7, 8], &[0, 2, 4, 6, 8], &all] {
        let (_store, sessions) = spoilt(places).await;
        // Whatever is around it hands its errors on.
        let outer = RedactingDriver::new(sessions.clone(), Secrets::new());
        for (filter, tag) in [(SessionFilter::new(), None), (SessionFilter::new().tag("1"), Some(1))] {
            let readable = all.iter().filter(|place| !places.contains(place));
            let readable: Vec<_> =
                readable.filter(|place| tag.is_none_or(|tag| **place % 2 == tag)).copied().collect();
            for size in [1, 2, 5, 100] {
                let request = ListSessionsRequest::new().filter(filter.clone()).limit(size);
                let want = (ids(&readable), ids(places));
                assert_eq!(walked(&sessions, request.clone()).await, want, "{places:?} by {size}");
                assert_eq!(walked(&outer, request.clone()).await, want, "{places:?} by {size}");
                let (mut read, mut unreadable) = walked(&sessions, request.descending()).await;
                read.reverse();
                unreadable.reverse();
                assert_eq!((read, unreadable), want, "{places:?} by {size}, downwards");
            }
        }
    }
}

fn failed(report: &PruneReport) -> Vec<String> {
    let is_corrupt = |because: &SparedBecause| matches!(because, SparedBecause::Failed(error) if error.kind() == PersistErrorKind::Corrupt);
    assert!(report.spared.iter().all(|spared| is_corrupt(&spared.because)), "{report:?}");
    report.spared.iter().map(|spared| spared.session_id.clone()).collect()
}

#[tokio::test]
async fn retention_goes_on_and_names_what_it_cannot_read_until_that_is_deleted() {
    let (store, sessions) = spoilt(&[0, 4, 8]).await;
    let all = Retention::new().max_sessions(0);
    let report = sessions.prune(&all.clone().dry_run()).await.unwrap();
    assert_eq!((report.pruned.len(), report.kept), (6, 3));
    let report = sessions.prune(&all).await.unwrap();
    assert_eq!((report.pruned.len(), report.kept), (6, 3));
    assert_eq!(failed(&report), ids(&[0, 4, 8]));
    let left = store.list_sessions(ListSessionsRequest::new()).await.unwrap().items;
    assert_eq!(left.into_iter().map(|record| record.id).collect::<Vec<_>>(), ids(&[0, 4, 8]));

    for id in ids(&[0, 4, 8]) {
        sessions.delete_session(&id).await.unwrap();
    }
    let report = sessions.prune(&all).await.unwrap();
    assert!(report.pruned.is_empty() && report.spared.is_empty());
}

#[tokio::test]
async fn a_copy_of_all_brings_the_others_and_names_each_once() {
    let all: Vec<_> = (0..SESSIONS).collect();
    for places in [&[0, 4][..], &[7, 8], &[8], &[0, 2, 4, 6, 8], &all] {
        let (_store, sessions) = spoilt(places).await;
        let to = Memory::new();
        for _ in 0..2 {
            let report = sessions.copy_to(&to).all().await.unwrap();
            assert_eq!(report.sessions as usize, SESSIONS - places.len());
            let mut failed: Vec<_> = report.failed.iter().map(|failed| failed.session_id.clone()).collect();
            failed.sort();
            assert_eq!(failed, ids(places));
        }
        let copied = to.list_sessions(ListSessionsRequest::new()).await.unwrap().items;
        assert!(copied.iter().all(|record| !ids(places).contains(&record.id)));
    }
}

#[tokio::test]
async fn rotation_goes_on_and_names_what_it_cannot_read() {
    let (store, _sessions) = spoilt(&[0, 4]).await;
    let keys = Keys::new("june", &[6; 32]).older("march", &[3; 32]).unwrap();
    let rotated = EncryptedDriver::new(store, keys).rotate_records().await.unwrap();
    assert_eq!((rotated.records, rotated.unreadable), (7, ids(&[0, 4])));
}
