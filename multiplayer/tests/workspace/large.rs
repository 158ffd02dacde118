//! Frames that are too large for a message.

use sandbox_agent_multiplayer::{Call, ControlPolicy, ErrorKind, Frame, FrameBody, Limits, Member};
use sandbox_agent_sdk::MemorySessionPersistDriver;
use serde_json::json;

use crate::{ask, builder, join, open, request, sandbox, sdk, until, whole_line};

/// A frame as a client gets it for which it is too large.
async fn by_parts(member: &Member, sequence: u64, from: Option<u64>) -> String {
    let mut text = String::new();
    loop {
        let call = Call::GetFramePart { sequence, from, offset: text.len() };
        let part: serde_json::Value =
            serde_json::from_str(member.call(call, 12_000).await.unwrap().get()).unwrap();
        assert!(part.to_string().len() < 12_500);
        text.push_str(part["text"].as_str().unwrap());
        if text.len() as u64 == part["total"].as_u64().unwrap() {
            return text;
        }
    }
}

#[tokio::test]
async fn a_frame_that_is_too_large_for_a_message_comes_in_parts() {
    let sandbox = sandbox().await;
    let workspace = open(&sandbox, ControlPolicy::default()).await;
    let ada = join(&workspace, "ada").await;
    ask(&ada, "big 50000").await;
    let frame = whole_line(&ada).await.into_iter().find(|frame| frame.json().len() > 50_000).unwrap();
    let text = by_parts(&ada, frame.sequence, None).await;
    assert_eq!(text.as_bytes(), &frame.json()[..]);
    let call = Call::GetFramePart { sequence: 1_000_000, from: None, offset: 0 };
    assert!(ada.call(call, 1000).await.is_err());
}

#[tokio::test]
async fn folded_events_that_are_too_large_for_a_message_come_in_parts() {
    let sandbox = sandbox().await;
    let driver = MemorySessionPersistDriver::new();
    let sdk = sdk(&sandbox, driver.clone()).await;
    sdk.create_session(request()).await.unwrap().prompt("stream 100 size=500").await.unwrap();
    sdk.compact_session("default").await.unwrap();
    sdk.detach().await.unwrap();
    // So small that reading reads the store.
    let limits = Limits::default().tail_bytes(1);
    let workspace = builder(&sandbox, driver).await.limits(limits).open().await.unwrap();
    let mut frames = workspace.host().frames_after(0).unwrap();
    let is_large = |body: &FrameBody| matches!(body, FrameBody::SessionEvent(event) if event.size() > 40_000);
    let folded = until(&mut frames, is_large).await.pop().unwrap();
    assert!(folded.from < folded.sequence);
    let ada = join(&workspace, "ada").await;
    ask(&ada, "say more").await;

    for after in [folded.from - 1, folded.from + 5] {
        let call = Call::GetSequencedEvents { since: after, limit: Some(1) };
        let page: serde_json::Value =
            serde_json::from_str(ada.call(call, 12_000).await.unwrap().get()).unwrap();
        let stub = &page["frames"][0];
        assert_eq!((&stub["type"], stub["from"].as_u64()), (&json!("large"), Some(after + 1)));
        assert_eq!(stub["sequence"], folded.sequence);
        let text = by_parts(&ada, folded.sequence, stub["from"].as_u64()).await;
        assert_eq!(text.len() as u64, stub["data"]["bytes"].as_u64().unwrap());
        let frame = Frame::from_json(&text).unwrap();
        assert_eq!((frame.from, frame.sequence), (after + 1, folded.sequence));
    }
    assert_eq!(by_parts(&ada, folded.sequence, Some(folded.from)).await.as_bytes(), &folded.json()[..]);
    // A place within is the end of no frame.
    let call = Call::GetFramePart { sequence: folded.sequence - 1, from: Some(folded.from), offset: 0 };
    assert_eq!(*ada.call(call, 12_000).await.unwrap_err().kind(), ErrorKind::NotFound);
}
