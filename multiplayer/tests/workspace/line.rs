//! The line: without a hole, without a double, however slow the reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sandbox_agent_multiplayer::{ControlPolicy, ErrorKind, Frame, FrameBody, Limits, NewPrompt, Snapshot};
use sandbox_agent_persist_memory::MemoryOptions;
use sandbox_agent_sdk::MemorySessionPersistDriver;
use tokio::time::timeout;

use crate::{
    PATIENCE, ask, assert_without_hole, builder, join, next, open, said, sandbox, until, whole_line,
};

#[tokio::test]
async fn everybody_gets_every_frame_in_order_also_who_comes_late_or_is_slow() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    // So small that whoever reads late reads the store.
    let limits = Limits::default().tail_bytes(4096);
    let workspace = builder(&sandbox, driver).await.limits(limits).open().await.unwrap();
    let ada = join(&workspace, "ada").await;
    let bob = join(&workspace, "bob").await;
    let (snapshot, mut slow) = bob.subscribe().unwrap();
    ask(&ada, "stream 500; say end").await;
    let last = workspace.snapshot().sequence;
    let mut seen = Vec::new();
    while slow.position() < last {
        seen.push(next(&mut slow).await);
    }
    assert_eq!(seen[0].from, snapshot.sequence + 1);
    assert_without_hole(&seen);
    let words: String = (1..=500).map(|n| format!("u{n} ")).collect();
    assert_eq!(said(&seen), format!("{words}end"));
    let line = whole_line(&ada).await;
    assert_eq!(said(&line), said(&seen));
    assert_eq!((line[0].from, line.last().unwrap().sequence), (1, last));
}

#[tokio::test]
async fn a_snapshot_and_the_frames_behind_it_come_to_the_next_snapshot() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    let (mut snapshot, mut frames) = ada.subscribe().unwrap();
    let _bob = join(&workspace, "bob").await;
    ask(&ada, "say one; tool two").await;
    ada.release_control(None).await.unwrap();
    let now = workspace.snapshot();
    while snapshot.sequence < now.sequence {
        let frame = next(&mut frames).await;
        snapshot.apply(frame.sequence, &frame.body);
    }
    assert_eq!(snapshot, now);
    let json = serde_json::to_string(&now).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), now);
}

#[tokio::test]
async fn a_frame_comes_through_json_as_it_was() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    ask(&ada, "say \"a ü \u{1F600}\"; tool t").await;
    for frame in whole_line(&ada).await {
        let json = String::from_utf8(frame.json().to_vec()).unwrap();
        let read = Frame::from_json(&json).unwrap();
        assert!(!matches!(read.body, FrameBody::Other { .. }), "{json}");
        assert_eq!(read.json(), frame.json());
    }
    let later = r#"{"sequence":9,"at":1,"type":"hologram","data":{"x":[1.50]},"new":true}"#;
    let read = Frame::from_json(later).unwrap();
    assert!(matches!(&read.body, FrameBody::Other { kind, .. } if kind == "hologram"));
    assert_eq!(*Frame::from_json("[1]").unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_sequence_of_the_future_is_refused() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    let last = workspace.snapshot().sequence;
    assert!(ada.frames_after(last).is_ok());
    let error = ada.frames_after(last + 1).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::FutureSequence { last });
}

#[tokio::test]
async fn a_page_has_as_many_frames_as_fit_and_at_least_one() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    ask(&ada, "stream 300; big 100000").await;
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let page = ada.page(after, 100, 20_000).await.unwrap();
        let Some(last) = page.frames.last() else { break };
        let bytes: usize = page.frames.iter().map(|frame| frame.json().len()).sum();
        assert!(page.frames.len() <= 100 && (bytes <= 20_000 || page.frames.len() == 1));
        after = last.sequence;
        seen.extend(page.frames);
    }
    assert_without_hole(&seen);
    assert_eq!(seen.last().unwrap().sequence, workspace.snapshot().sequence);
}

#[tokio::test]
async fn the_hook_runs_once_for_each_frame_however_many_look_on() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let (calls, last) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (count, reached) = (calls.clone(), last.clone());
    let workspace = builder(&sandbox, driver)
        .await
        .on_frame(move |_, frame| {
            count.fetch_add(frame.sequence - frame.from + 1, Ordering::SeqCst);
            reached.store(frame.sequence, Ordering::SeqCst);
            async {}
        })
        .open()
        .await
        .unwrap();
    let ada = join(&workspace, "ada").await;
    let _readers: Vec<_> = (0..20).map(|_| ada.frames_after(0).unwrap()).collect();
    ask(&ada, "stream 50").await;
    let mut frames = ada.frames_after(0).unwrap();
    timeout(PATIENCE, async {
        while last.load(Ordering::SeqCst) < workspace.snapshot().sequence {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), workspace.snapshot().sequence);
    next(&mut frames).await;
}

#[tokio::test]
async fn what_the_store_dropped_is_said() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::with_options(MemoryOptions::new().max_events_per_session(20));
    let limits = Limits::default().tail_bytes(1);
    let workspace = builder(&sandbox, driver).await.limits(limits).open().await.unwrap();
    let ada = join(&workspace, "ada").await;
    for _ in 0..30 {
        ask(&ada, "say word").await;
    }
    let line = whole_line(&ada).await;
    assert_eq!(line[0].from, 1);
    assert!(line.iter().any(|frame| matches!(frame.body, FrameBody::Evicted)));
}

#[tokio::test]
async fn subscribers_are_told_of_the_end() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    let mut frames = ada.frames().unwrap();
    timeout(PATIENCE, workspace.close()).await.unwrap().unwrap();
    timeout(PATIENCE, async { while frames.recv().await.is_some() {} }).await.unwrap();
    let error = ada.prompt(NewPrompt::new("say no")).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_store_that_fails_ends_the_workspace_by_an_error() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let workspace = builder(&sandbox, driver.clone()).await.open().await.unwrap();
    let ada = join(&workspace, "ada").await;
    let mut frames = ada.frames().unwrap();
    // Another process that runs the same workspace.
    let other = builder(&sandbox, driver).await.open().await.unwrap();
    let eve = join(&other, "eve").await;
    eve.request_control().await.unwrap();
    let error = ada.request_control().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Overtaken);
    let end = timeout(PATIENCE, async {
        loop {
            match frames.recv().await {
                Some(Ok(_)) => {}
                other => return other,
            }
        }
    });
    assert_eq!(*end.await.unwrap().unwrap().unwrap_err().kind(), ErrorKind::Overtaken);
    until(&mut eve.frames_after(0).unwrap(), |body| matches!(body, FrameBody::Control(_))).await;
}

#[tokio::test]
async fn no_payload_is_copied_for_a_subscriber() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    let (mut one, mut two) = (ada.frames().unwrap(), ada.frames().unwrap());
    ask(&ada, "stream 300").await;
    let last = workspace.snapshot().sequence;
    while one.position() < last {
        assert!(Arc::ptr_eq(&next(&mut one).await, &next(&mut two).await));
    }
}
