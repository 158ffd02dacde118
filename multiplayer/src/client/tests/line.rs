//! Every frame, once, in order.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::host::Host;
use super::{EVER, becomes, client, connected, frame, is_connected, next, up_to};
use crate::client::arrival::Large;
use crate::client::{ClientLimits, Pushed, Status, Why, WorkspaceClient, fetch};
use crate::error::{Error, ErrorKind};
use crate::frame::{Frame, FrameBody, Presence};
use crate::participant::Person;

#[tokio::test(start_paused = true)]
async fn what_is_pushed_is_told_once_and_the_snapshot_follows() {
    let host = Host::with(5);
    let client = connected(&host).await;
    assert_eq!(client.snapshot(), host.snapshot());
    let mut frames = client.frames();
    let mut all = client.frames_after(0);
    host.append(3);
    host.push(Pushed::Frames(vec![frame(7), frame(6), frame(8)]));
    up_to(&mut frames, 8).await;
    up_to(&mut all, 8).await;
    assert_eq!(client.snapshot(), host.snapshot());
    assert_eq!(host.called("getSequencedEvents"), 1, "only who reads the past asks");
}

#[tokio::test(start_paused = true)]
async fn a_hole_is_filled_at_once() {
    let host = Host::with(5);
    let client = connected(&host).await;
    let mut frames = client.frames();
    host.state().deaf = true;
    host.append(4);
    host.state().deaf = false;
    host.append(1);
    let start = Instant::now();
    up_to(&mut frames, 10).await;
    assert!(start.elapsed() < Duration::from_millis(10));
    assert_eq!(client.snapshot(), host.snapshot());
}

#[tokio::test(start_paused = true)]
async fn the_last_message_that_was_lost_is_found_by_the_check() {
    let host = Host::with(5);
    let client = connected(&host).await;
    let mut frames = client.frames();
    host.append(1);
    up_to(&mut frames, 6).await;
    host.state().deaf = true;
    host.append(1);
    let start = Instant::now();
    up_to(&mut frames, 7).await;
    let took = start.elapsed();
    assert!(took <= Duration::from_millis(5_100) && took > Duration::from_secs(4), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_cut_is_made_again_and_subscribers_go_on() {
    let host = Host::with(5);
    let client = connected(&host).await;
    let mut frames = client.frames();
    for round in 1..=5 {
        host.append(1);
        up_to(&mut frames, host.last()).await;
        host.cut();
        host.append(2);
        up_to(&mut frames, host.last()).await;
        assert_eq!(host.state().connections, round + 1);
    }
    assert_eq!(host.state().resumed[..3], [None, Some(6), Some(9)]);
    assert_eq!(client.snapshot(), host.snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_hangs_without_a_notice_is_replaced() {
    let host = Host::with(5);
    let client = connected(&host).await;
    let mut frames = client.frames();
    let start = Instant::now();
    host.state().deaf = true;
    host.mute(true);
    host.append(1);
    let gone = becomes(&client, |status| matches!(status, Status::Reconnecting { .. })).await;
    let Status::Reconnecting { error, .. } = gone else { panic!("{gone:?}") };
    assert_eq!(*error.kind(), ErrorKind::TimedOut);
    host.mute(false);
    up_to(&mut frames, 6).await;
    assert!(start.elapsed() < Duration::from_secs(16), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_and_pushes_nothing_is_replaced() {
    let host = Host::with(5);
    let client = connected(&host).await;
    let mut frames = client.frames();
    host.state().deaf = true;
    for _ in 0..3 {
        host.append(1);
        up_to(&mut frames, host.last()).await;
    }
    becomes(&client, |status| matches!(status, Status::Reconnecting { .. })).await;
    becomes(&client, is_connected).await;
    assert_eq!(host.state().connections, 2);
}

#[tokio::test(start_paused = true)]
async fn frames_too_large_for_a_message_are_fetched_by_parts() {
    let host = Host::with(2);
    host.state().message = Some(200);
    let client = connected(&host).await;
    let mut live = client.frames();
    let here = vec![Person::new("a name that is long ".repeat(50))];
    host.tell(FrameBody::Presence(Presence { here: here.clone() }));
    host.append(1);
    let large = next(&mut live).await;
    assert!(matches!(&large.body, FrameBody::Presence(presence) if presence.here == here));
    up_to(&mut live, 4).await;
    let mut past = client.frames_after(0);
    up_to(&mut past, 4).await;
    assert_eq!(client.page(2, 1).await.unwrap().frames[0].json(), large.json());

    let limits = ClientLimits::default().frame_bytes(300);
    let client = WorkspaceClient::builder(host.clone()).limits(limits).connect().await.unwrap();
    let mut frames = client.frames_after(2);
    let withheld = next(&mut frames).await;
    assert_eq!(withheld.body.kind(), "large");
    up_to(&mut frames, 4).await;
    host.tell(FrameBody::Presence(Presence { here }));
    up_to(&mut frames, 5).await;
    timeout(EVER, async {
        while client.snapshot() != host.snapshot() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("what a frame hides is asked for");
}

/// A host whose frames 3 to 5 are one, which is too large for a message.
fn with_large_run() -> Host {
    let host = Host::with(2);
    let here = vec![Person::new("a name that is long ".repeat(50))];
    let body = FrameBody::Presence(Presence { here });
    host.state().message = Some(200);
    host.state().line.push(Arc::new(Frame::standing_from(3, 5, 0, body)));
    host
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_that_stands_for_a_run_is_fetched_whole_and_from_within() {
    let host = with_large_run();
    let client = connected(&host).await;
    for after in 2..5 {
        let page = client.page(after, 1).await.unwrap();
        let [frame] = &page.frames[..] else { panic!("{page:?}") };
        assert_eq!((frame.from, frame.sequence), (after + 1, 5));
        assert_eq!(frame.body.kind(), "presence");
    }
    let mut past = client.frames_after(0);
    up_to(&mut past, 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_gives_only_the_end_of_a_run_is_not_asked_for_it_for_ever() {
    let host = Host::with(2);
    let client = connected(&host).await;
    let run = with_large_run().state().line[2].clone();
    let large = Large { from: 3, sequence: 5, bytes: run.json().len() };
    {
        let mut state = host.state();
        (state.message, state.clips) = (Some(200), true);
        state.line.push(run);
    }
    let fetched = fetch::large(&host, large, usize::MAX).await.unwrap();
    assert!(fetched.is_none(), "the rest of a run is not the run: {fetched:?}");
    let asked = host.called("getFramePart");
    let status = becomes(&client, |status| matches!(status, Status::Reconnecting { .. })).await;
    let Status::Reconnecting { error, .. } = status else { panic!("{status:?}") };
    assert_eq!(*error.kind(), ErrorKind::Protocol);
    assert!(host.called("getFramePart") <= 4 * asked);
}

#[tokio::test(start_paused = true)]
async fn what_the_host_no_longer_stores_is_told_and_the_snapshot_is_right_all_the_same() {
    let host = Host::with(5);
    let client = connected(&host).await;
    let mut frames = client.frames();
    host.cut();
    host.append(20);
    host.state().evicted = 15;
    let evicted = next(&mut frames).await;
    assert!(matches!(evicted.body, FrameBody::Evicted));
    assert_eq!((evicted.from, evicted.sequence), (6, 15));
    up_to(&mut frames, 25).await;
    assert_eq!(client.snapshot(), host.snapshot());
}

#[tokio::test(start_paused = true)]
async fn after_a_long_time_away_the_client_is_there_at_once_and_subscribers_read_on() {
    let host = Host::with(5);
    let client = connected(&host).await;
    let mut frames = client.frames();
    host.cut();
    host.append(20_000);
    becomes(&client, |status| !is_connected(status)).await;
    becomes(&client, is_connected).await;
    timeout(EVER, async {
        while client.snapshot() != host.snapshot() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    assert!(host.called("getSequencedEvents") < 5);
    up_to(&mut frames, 20_005).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_reads_from_the_host_and_memory_is_bounded() {
    let host = Host::with(0);
    let limits = ClientLimits::default().window_bytes(64 * 1024);
    let client = WorkspaceClient::builder(host.clone()).limits(limits).connect().await.unwrap();
    let mut slow = client.frames();
    let mut fast = client.frames();
    for _ in 0..50 {
        host.append(20);
        up_to(&mut fast, host.last()).await;
    }
    let mut here = std::collections::VecDeque::new();
    assert!(!client.inner.window.after(0, 1000, &mut here), "the window has dropped the first");
    up_to(&mut slow, 1000).await;
    assert!(host.called("getSequencedEvents") >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_not_there_yet_is_an_error_and_the_last_one_is_none() {
    let host = Host::with(5);
    let client = connected(&host).await;
    let mut future = client.frames_after(7);
    let error = timeout(EVER, future.recv()).await.unwrap().unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::FutureSequence { last: 5 });
    assert!(future.recv().await.is_none());
    // The client has not heard of this one, but it is there.
    host.state().deaf = true;
    host.append(1);
    let mut frames = client.frames_after(6);
    host.append(1);
    up_to(&mut frames, 7).await;
}

#[tokio::test(start_paused = true)]
async fn what_no_try_can_mend_ends_the_client_with_the_error() {
    let host = Host::with(5);
    host.state().refuse = Some(Error::refused("no"));
    let error = WorkspaceClient::builder(host.clone()).connect().await.unwrap_err();
    assert_eq!((error.kind(), host.state().connections), (&ErrorKind::Refused, 3));

    host.state().refuse = None;
    let client = connected(&host).await;
    let mut frames = client.frames();
    host.state().line.truncate(3);
    let error = timeout(EVER, frames.recv()).await.unwrap().unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::FutureSequence { last: 3 });
    assert!(frames.recv().await.is_none());
    let over = becomes(&client, Status::is_over).await;
    assert!(matches!(over, Status::Disposed { why: Why::Failed(_) }));
}

/// Its numbers go on where the client is, and mean something else.
#[tokio::test(start_paused = true)]
async fn a_line_that_was_begun_anew_is_not_taken_for_the_same() {
    let host = Host::with(5);
    host.state().name = "first".to_owned();
    let client = connected(&host).await;
    let mut frames = client.frames();
    host.append(1);
    up_to(&mut frames, 6).await;
    host.state().name = "second".to_owned();
    host.mute(true);
    host.cut();
    while host.state().connections < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    // Pushed before any answer says which line it is.
    host.append(3);
    sleep(Duration::from_millis(1)).await;
    host.mute(false);
    let error = timeout(EVER, frames.recv()).await.unwrap().unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::OtherLine);
    assert!(frames.recv().await.is_none());
    becomes(&client, Status::is_over).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_another_has_taken_over_from_is_waited_out() {
    let host = Host::with(50);
    let client = connected(&host).await;
    let mut behind = client.frames_after(20);
    host.state().stale = Some(10);
    let replacing = async {
        becomes(&client, |status| matches!(status, Status::Reconnecting { attempt: 2.., .. })).await;
        host.state().stale = None;
        host.append(1);
    };
    tokio::join!(up_to(&mut behind, 51), replacing);
}

#[tokio::test(start_paused = true)]
async fn a_page_with_a_hole_is_not_told() {
    let host = Host::with(5);
    let client = connected(&host).await;
    host.state().holes = true;
    let mut frames = client.frames_after(0);
    let error = timeout(EVER, frames.recv()).await.unwrap().unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Protocol);
    assert!(frames.recv().await.is_none(), "an error is the last item");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_fails_for_a_while_ends_no_subscriber() {
    let host = Host::with(50);
    let client = connected(&host).await;
    let mut behind = client.frames_after(20);
    for kind in [ErrorKind::Store, ErrorKind::Sandbox, ErrorKind::Closed, ErrorKind::Full] {
        host.state().fail = Some(Error::new(kind, "for a while"));
        let early = timeout(Duration::from_secs(20), behind.recv()).await;
        assert!(early.is_err(), "{early:?}");
    }
    host.state().fail = None;
    up_to(&mut behind, 50).await;
}

#[tokio::test(start_paused = true)]
async fn tries_to_connect_are_bounded_and_go_on_for_ever() {
    let host = Host::with(5);
    host.state().stuck = true;
    let error = WorkspaceClient::builder(host.clone()).connect().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TimedOut);
    let client = client(&host);
    let before = host.state().connections;
    sleep(Duration::from_secs(600)).await;
    let tries = host.state().connections - before;
    assert!((20..60).contains(&tries), "{tries}");
    host.state().stuck = false;
    let mut frames = client.frames();
    becomes(&client, is_connected).await;
    host.append(1);
    assert_eq!(next(&mut frames).await.sequence, 6);
}
