//! What is tried again, how often and when, on paused time.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::VecDeque;

use super::*;
use crate::http::Problem;

fn refused(status: u16, body: &str) -> Error {
    Error::new(ErrorKind::Refused(Problem::read(status, body.as_bytes())), "refused")
}

fn unreachable() -> Error {
    Error::new(ErrorKind::Unreachable, "away")
}

fn retry(repeats: Repeats) -> (Retry, Instant) {
    let now = Instant::now();
    (Retry::new(repeats, &Limits::default(), now), now)
}

#[test]
fn an_idempotent_call_is_tried_so_often_and_no_more() {
    let (mut retry, now) = retry(Repeats::Yes);
    let again = std::iter::from_fn(|| retry.failed(&unreachable(), now)).count();
    assert_eq!(again + 1, Limits::default().tries);
}

#[test]
fn any_other_call_is_tried_once() {
    let (mut retry, now) = retry(Repeats::No);
    assert_eq!(retry.failed(&unreachable(), now), None);
}

#[test]
fn no_try_begins_when_the_time_is_used_up() {
    let (mut retry, now) = retry(Repeats::Yes);
    assert_eq!(retry.failed(&unreachable(), now + Limits::default().reconnect), None);
}

#[test]
fn what_the_server_itself_refuses_is_the_outcome() {
    let (mut retry, now) = retry(Repeats::Yes);
    let document = r#"{"type":"urn:sandbox-agent:error:stream_error","title":"T","status":502}"#;
    assert_eq!(retry.failed(&refused(502, document), now), None);
    assert_eq!(retry.failed(&refused(404, ""), now), None);
    assert!(retry.failed(&refused(502, "a proxy's page"), now).is_some());
}

#[test]
fn a_server_that_says_when_is_not_asked_earlier() {
    let (mut retry, now) = retry(Repeats::Yes);
    let busy = refused(429, "").with_retry_after(Some(Duration::from_secs(7)));
    assert!(retry.failed(&busy, now).unwrap() >= Duration::from_secs(7));
    let later = refused(503, "").with_retry_after(Some(Duration::from_secs(3600)));
    assert_eq!(retry.failed(&later, now), None, "longer than it may take in all");
}

const LOOK: Operation<(), (), ()> = Operation::get("/v1/look");
const START: Operation<(), (), ()> = Operation::post("/v1/start");

/// A call whose tries end so, one after the other; how it ended, and when each try began.
async fn call(
    operation: &Operation<(), (), ()>,
    limits: &Limits,
    tries: Vec<Result<()>>,
) -> (Result<()>, Vec<Duration>) {
    let (begin, outcomes) = (Instant::now(), RefCell::new(VecDeque::from(tries)));
    let began = RefCell::new(Vec::new());
    let outcome = tried(operation, limits, limits.call, || {
        began.borrow_mut().push(begin.elapsed());
        let outcome = outcomes.borrow_mut().pop_front();
        async move {
            match outcome {
                Some(outcome) => outcome,
                None => std::future::pending().await,
            }
        }
    })
    .await;
    (outcome, began.into_inner())
}

fn busy(after: u64) -> Error {
    refused(503, "").with_retry_after(Some(Duration::from_secs(after)))
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_again_until_it_goes_well() {
    let tries = vec![Err(unreachable()), Err(busy(7)), Ok(())];
    let (outcome, began) = call(&LOOK, &Limits::default(), tries).await;
    outcome.unwrap();
    assert_eq!(began.len(), 3);
    assert!(began[1] < Duration::from_secs(1), "{began:?}");
    let waited = began[2] - began[1];
    assert!(
        (Duration::from_secs(7)..Duration::from_secs(8)).contains(&waited),
        "as the server said: {waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_count_is_what_is_set() {
    for tries in 1..5 {
        let limits = Limits::default().tries(tries);
        let (outcome, began) = call(&LOOK, &limits, vec![Err(unreachable()); 9]).await;
        assert!(outcome.unwrap_err().is_unreachable());
        assert_eq!(began.len(), tries);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_is_what_is_set() {
    let limits = Limits::default().tries(1000).retry(Duration::from_secs(20));
    let (outcome, began) = call(&LOOK, &limits, vec![Err(busy(3)); 1000]).await;
    assert_eq!(outcome.unwrap_err().retry_after(), Some(Duration::from_secs(3)));
    let last = began.last().unwrap();
    assert!((Duration::from_secs(10)..Duration::from_secs(20)).contains(last), "{began:?}");
    // Whatever it is, a server that is away for longer than may be is away.
    let limits = limits.retry(Duration::from_secs(3600)).reconnect(Duration::from_secs(5));
    let (_, began) = call(&LOOK, &limits, vec![Err(busy(3)); 1000]).await;
    assert_eq!(began.len(), 2, "{began:?}");
}

#[tokio::test(start_paused = true)]
async fn what_may_do_something_twice_is_made_once() {
    let (outcome, began) = call(&START, &Limits::default(), vec![Err(busy(1)), Ok(())]).await;
    assert_eq!(outcome.unwrap_err().retry_after(), Some(Duration::from_secs(1)));
    assert_eq!(began.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_is_not_answered_ends_within_its_time() {
    let begin = Instant::now();
    let (outcome, began) = call(&LOOK, &Limits::default().call(Duration::from_secs(4)), vec![]).await;
    assert!(outcome.unwrap_err().is_timeout());
    assert_eq!((began.len(), begin.elapsed().as_secs()), (1, 4));
}

/// Tries of a call that is dear to lose: how long each lasts, and its end. How it ended, and when.
#[cfg(feature = "files")]
async fn dear(tries: Vec<(u64, Result<()>)>) -> (Result<(), ErrorKind>, Duration) {
    let (begin, tries) = (Instant::now(), RefCell::new(VecDeque::from(tries)));
    let limits = patient(&Limits::default());
    let outcome = tried(&LOOK, &limits, limits.transfer, || {
        let (lasts, outcome) = tries.borrow_mut().pop_front().unwrap();
        async move {
            sleep(Duration::from_secs(lasts)).await;
            outcome
        }
    })
    .await;
    (outcome.map_err(|error| error.kind().clone()), begin.elapsed())
}

#[cfg(feature = "files")]
fn broken() -> Error {
    unreachable().with_delivery(crate::error::Delivery::Unknown)
}

#[cfg(feature = "files")]
#[tokio::test(start_paused = true)]
async fn what_breaks_late_is_sent_again_as_often_as_it_takes() {
    for lasts in [31, 61, 110] {
        let (outcome, _) = dear(vec![
            (lasts, Err(broken())),
            (lasts, Err(broken())),
            (lasts, Err(broken())),
            (lasts, Ok(())),
        ])
        .await;
        assert_eq!(outcome, Ok(()), "{lasts}");
    }
    // The server is away from when it broke, and may be so for as long as at any other time.
    let mut tries = vec![(110, Err(broken()))];
    tries.extend(vec![(0, Err(unreachable())); 7]);
    tries.push((0, Ok(())));
    let (outcome, took) = dear(tries).await;
    assert_eq!(outcome, Ok(()));
    assert!(took > Duration::from_secs(120), "{took:?}");
}

#[cfg(feature = "files")]
#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_too_long_ends_what_is_dear_too() {
    let away = Limits::default().reconnect;
    for error in [unreachable(), refused(502, "a proxy's page")] {
        let (outcome, took) = dear(vec![(0, Err(error.clone())); 1000]).await;
        assert_eq!(outcome, Err(error.kind().clone()));
        assert!(took < away, "{took:?}");
    }
    // Who waits for somebody else to be there, or asks somebody who does, has not had it.
    for error in [unreachable().with_delivery(crate::error::Delivery::NotSent), refused(504, "")] {
        let (outcome, took) = dear(vec![(20, Err(error.clone())); 1000]).await;
        assert_eq!(outcome, Err(error.kind().clone()));
        assert!(took < away + Duration::from_secs(20), "{took:?}");
    }
    // What breaks late each time ends as well.
    let (outcome, took) = dear(vec![(61, Err(broken())); 1000]).await;
    assert_eq!(outcome, Err(ErrorKind::Unreachable));
    assert!(took < Limits::default().transfer + Duration::from_secs(61), "{took:?}");
}
