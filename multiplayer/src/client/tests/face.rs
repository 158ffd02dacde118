//! Callbacks, waiting, and the end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::host::Host;
use super::{EVER, becomes, client, connected, next, up_to};
use crate::client::{Status, Why};
use crate::error::{Error, ErrorKind};
use crate::frame::{Activity, ChatUser, FrameBody, State};
use crate::prompt::{Phase, PromptState};

fn chat(prompt_id: &str) -> FrameBody {
    FrameBody::ChatUser(ChatUser {
        session_id: "default".to_owned(),
        prompt_id: prompt_id.to_owned(),
        user_id: "ada".to_owned(),
        name: None,
        text: "plum".to_owned(),
        proposed: false,
        created_at: 0,
    })
}

fn prompt(prompt_id: &str, phase: Phase) -> FrameBody {
    FrameBody::State(Box::new(State {
        session_id: "default".to_owned(),
        agent: "mock".to_owned(),
        state: Activity::Idle,
        prompt: Some(PromptState::new(prompt_id, "default", "ada", phase, 1)),
    }))
}

#[tokio::test]
async fn callbacks_see_each_frame_of_their_kind_from_when_they_began_until_they_end() {
    let host = Host::with(1);
    let client = connected(&host).await;
    let (seen, mut saw) = mpsc::unbounded_channel();
    let first = client.on("chat.user", {
        let seen = seen.clone();
        move |frame| seen.send(("first", frame.sequence)).unwrap()
    });
    host.tell(chat("a"));
    host.append(3);
    host.tell(chat("b"));
    assert_eq!(saw.recv().await, Some(("first", 2)));
    assert_eq!(saw.recv().await, Some(("first", 6)));
    let second = client.on("chat.user", {
        let seen = seen.clone();
        move |frame| {
            seen.send(("second", frame.sequence)).unwrap();
            assert!(frame.sequence < 8, "it was told to");
        }
    });
    host.tell(chat("c"));
    assert_eq!(saw.recv().await, Some(("first", 7)));
    assert_eq!(saw.recv().await, Some(("second", 7)));
    first.off();
    host.tell(chat("d"));
    host.tell(chat("e"));
    assert_eq!(saw.recv().await, Some(("second", 8)), "the first is off");
    let third = client.on("chat.user", move |frame| seen.send(("third", frame.sequence)).unwrap());
    host.tell(chat("f"));
    assert_eq!(saw.recv().await, Some(("third", 10)), "the second has panicked");
    client.off("chat.user");
    host.tell(chat("g"));
    let mut frames = client.frames_after(10);
    up_to(&mut frames, 11).await;
    assert_eq!(saw.recv().await, None, "what a callback held is dropped with it");
    drop((second, third));
}

#[tokio::test(start_paused = true)]
async fn once_gives_the_next_of_a_kind_also_where_it_is_awaited_late() {
    let host = Host::with(1);
    let client = connected(&host).await;
    host.tell(chat("before"));
    let mut frames = client.frames();
    up_to(&mut frames, 2).await;
    let once = client.once("chat.user");
    let never = client.once("shell.data");
    host.append(2);
    host.tell(chat("a"));
    host.tell(chat("b"));
    up_to(&mut frames, 6).await;
    assert_eq!(once.await.unwrap().sequence, 5);
    client.dispose();
    let error = timeout(EVER, never).await.unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_prompt_is_waited_for_to_its_end_across_a_lost_connection() {
    let host = Host::with(1);
    let client = connected(&host).await;
    // The client has not heard of it when it is asked.
    host.state().deaf = true;
    host.tell(chat("a"));
    let going_on = async {
        sleep(Duration::from_secs(60)).await;
        host.state().deaf = false;
        host.tell(prompt("other", Phase::Done));
        host.tell(prompt("a", Phase::Running));
        host.cut();
        host.tell(prompt("a", Phase::Failed));
    };
    let (state, ()) = tokio::join!(client.wait_for_prompt("a"), going_on);
    assert_eq!(state.unwrap().phase, Phase::Failed);
    assert_eq!(client.wait_for_prompt("a").await.unwrap().phase, Phase::Failed);
    let error = client.wait_for_prompt("unknown").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_prompt_whose_end_was_evicted_is_looked_up() {
    let host = Host::with(1);
    let client = connected(&host).await;
    host.tell(chat("a"));
    let evicting = async {
        sleep(Duration::from_secs(1)).await;
        host.cut();
        host.tell(prompt("a", Phase::Done));
        host.append(1);
        host.state().evicted = 4;
    };
    let (state, ()) = tokio::join!(client.wait_for_prompt("a"), evicting);
    assert_eq!(state.unwrap().phase, Phase::Done);
}

#[tokio::test(start_paused = true)]
async fn disposing_and_dropping_the_last_clone_end_everything() {
    for dispose in [true, false] {
        let host = Host::with(1);
        let client = connected(&host).await;
        let other = client.clone();
        let mut status = client.status();
        let mut frames = client.frames();
        let stream = client.frames_after(0).into_stream();
        host.append(1);
        assert_eq!(next(&mut frames).await.sequence, 2);
        drop(client);
        host.append(1);
        assert_eq!(next(&mut frames).await.sequence, 3, "a clone lives");
        match dispose {
            true => other.dispose(),
            false => drop(other),
        }
        let over = timeout(EVER, status.wait_for(Status::is_over)).await.unwrap().unwrap().clone();
        assert!(matches!(over, Status::Disposed { why: Why::Asked }));
        assert!(timeout(EVER, frames.recv()).await.unwrap().is_none());
        assert_eq!(timeout(EVER, stream.count()).await.unwrap(), 0);
        assert_eq!(host.state().closed, 1);
        assert_eq!(host.holders(), 1, "nothing of the client is left");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_no_connection_ends_as_well() {
    let host = Host::with(1);
    host.state().refuse = Some(Error::new(ErrorKind::Disconnected, "away"));
    let client = client(&host);
    becomes(&client, |status| matches!(status, Status::Reconnecting { attempt: 3.., .. })).await;
    let mut frames = client.frames();
    assert_eq!(frames.position(), None);
    client.dispose();
    assert!(timeout(EVER, frames.recv()).await.unwrap().is_none());
    becomes(&client, Status::is_over).await;
}

#[tokio::test]
async fn a_callback_may_end_itself_and_hold_what_it_likes() {
    let host = Host::with(1);
    let client = connected(&host).await;
    let (seen, mut saw) = mpsc::unbounded_channel();
    let own = Arc::new(Mutex::new(None));
    let subscription = client.on("presence", {
        let own = own.clone();
        let client = client.clone();
        move |frame| {
            seen.send((frame.sequence, client.snapshot().sequence)).unwrap();
            drop(own.lock().unwrap().take());
        }
    });
    *own.lock().unwrap() = Some(subscription);
    host.append(2);
    let (at, _) = timeout(EVER, saw.recv()).await.unwrap().unwrap();
    assert_eq!(at, 2);
    assert_eq!(timeout(EVER, saw.recv()).await.unwrap(), None);
}
