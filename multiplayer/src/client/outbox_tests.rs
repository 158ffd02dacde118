#![allow(clippy::unwrap_used)]

use tokio::sync::oneshot::Receiver;

use super::*;
use crate::prompt::NewPrompt;

type Answer = Receiver<Result<Box<RawValue>>>;

fn request(call: Call) -> (Request, Answer) {
    let (reply, answer) = oneshot::channel();
    let deadline = Instant::now() + Duration::from_secs(30);
    (Request { call, reply, sending: Sending::default(), deadline, own: false, left: false }, answer)
}

fn outbox() -> Outbox {
    Outbox::new(WhileAway::Queue, 3)
}

fn prompt(id: &str) -> Call {
    Call::Prompt(NewPrompt::with_id(id, "plum"))
}

fn ok() -> Result<Box<RawValue>> {
    Ok(RawValue::NULL.to_owned())
}

fn gone() -> Error {
    Error::new(ErrorKind::Disconnected, "gone")
}

fn failed(answer: &mut Answer) -> Error {
    answer.try_recv().unwrap().unwrap_err()
}

#[test]
fn what_waited_is_sent_in_order_one_after_the_other() {
    let (mut outbox, now) = (outbox(), Instant::now());
    let (first, _first) = request(Call::TakeControl {});
    let (second, _second) = request(prompt("a"));
    outbox.take_away(first);
    outbox.take_away(second);
    let sent = outbox.next(now).unwrap();
    assert_eq!(sent.call, Call::TakeControl {});
    assert!(outbox.next(now).is_none(), "the first is not answered");
    // Who comes now goes behind, unless they only read.
    let (late, _late) = request(prompt("b"));
    assert!(outbox.take(late, now).is_none());
    let (read, _read) = request(Call::GetSessionInfo {});
    assert!(outbox.take(read, now).is_some());
    assert!(outbox.answered(sent.id, ok()).is_none());
    assert_eq!(outbox.next(now).unwrap().call, prompt("a"));
    assert!(outbox.next(now).is_none());
    assert_eq!(outbox.turn(), Some(now + TURN));
    assert_eq!(outbox.next(now + TURN).unwrap().call, prompt("b"), "nobody waits for ever");
}

#[test]
fn only_so_many_wait_and_none_where_the_policy_says_so() {
    let mut outbox = outbox();
    let mut answers: Vec<_> = (0..4)
        .map(|_| {
            let (request, answer) = request(Call::TakeControl {});
            outbox.take_away(request);
            answer
        })
        .collect();
    let error = failed(&mut answers[3]);
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::Full, Some(Delivery::NotSent)));
    // Who gave up makes room.
    answers.remove(0);
    let (request_, mut answer) = request(Call::TakeControl {});
    outbox.take_away(request_);
    assert!(answer.try_recv().is_err());

    let mut outbox = Outbox::new(WhileAway::Fail, 3);
    let (request, mut answer) = request(prompt("a"));
    outbox.take_away(request);
    let error = failed(&mut answer);
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::Disconnected, Some(Delivery::NotSent)));
}

#[test]
fn after_a_loss_only_what_is_safe_is_sent_again_and_before_what_waits() {
    let (mut outbox, now) = (outbox(), Instant::now());
    let (taking, mut taken) = request(Call::TakeControl {});
    let (prompting, mut prompted) = request(prompt("a"));
    let (reading, _read) = request(Call::GetSessionInfo {});
    for request in [taking, prompting, reading] {
        assert!(outbox.take(request, now).is_some());
    }
    outbox.lost(&gone());
    let (late, _late) = request(prompt("b"));
    outbox.take_away(late);
    let error = failed(&mut taken);
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::Disconnected, Some(Delivery::Unknown)));
    let mut sent = Vec::new();
    while let Some(send) = outbox.next(now) {
        outbox.answered(send.id, ok());
        sent.push(send.call);
    }
    assert_eq!(sent, [prompt("a"), Call::GetSessionInfo {}, prompt("b")]);
    prompted.try_recv().unwrap().unwrap();
}

#[test]
fn a_file_is_read_again_after_a_loss_and_not_before_what_waits_to_write_it() {
    let (mut outbox, now) = (outbox(), Instant::now());
    let (reading, _read) = request(Call::ReadFile { path: "a".to_owned() });
    assert!(outbox.take(reading, now).is_some());
    outbox.lost(&gone());
    let (deleting, _deleted) = request(Call::DeleteFile { path: "a".to_owned() });
    outbox.take_away(deleting);
    assert_eq!(outbox.next(now).unwrap().call.action(), "readFile");
    let (listing, _listed) = request(Call::ListFiles { path: "/".to_owned() });
    assert!(outbox.take(listing, now).is_none(), "it waits behind what may change it");
}

#[test]
fn a_call_that_never_left_is_sent_when_there_is_a_connection() {
    let (mut outbox, now) = (outbox(), Instant::now());
    let (request, mut answer) = request(Call::TakeControl {});
    let send = outbox.take(request, now).unwrap();
    let never_left = gone().with_delivery(Delivery::NotSent);
    assert!(outbox.answered(send.id, Err(never_left.clone())).is_some());
    outbox.lost(&never_left);
    let send = outbox.next(now).unwrap();
    assert_eq!(send.call, Call::TakeControl {});
    outbox.answered(send.id, Err(gone()));
    outbox.lost(&gone());
    assert_eq!(failed(&mut answer).delivery(), Some(Delivery::Unknown));
    assert!(outbox.next(now).is_none());
}

#[test]
fn what_may_have_left_is_never_said_not_to_have() {
    let (mut outbox, now) = (outbox(), Instant::now());
    let (request, mut answer) = request(prompt("a"));
    let sending = request.sending.clone();
    let send = outbox.take(request, now).unwrap();
    outbox.answered(send.id, Err(gone()));
    outbox.lost(&gone());
    // The second try certainly did not leave; the first may have.
    let send = outbox.next(now).unwrap();
    outbox.answered(send.id, Err(gone().with_delivery(Delivery::NotSent)));
    outbox.lost(&gone());
    assert!(!sending.give_up());
    outbox.close(&Error::closed());
    assert_eq!(failed(&mut answer).delivery(), Some(Delivery::Unknown));
}

#[test]
fn a_call_that_was_given_up_or_is_too_old_is_not_sent() {
    let (mut outbox, now) = (outbox(), Instant::now());
    let (given_up, _answer) = request(Call::TakeControl {});
    assert!(given_up.sending.give_up());
    outbox.take_away(given_up);
    let (dropped, answer) = request(Call::TakeControl {});
    drop(answer);
    outbox.take_away(dropped);
    let (old, _answer2) = request(Call::TakeControl {});
    outbox.take_away(old);
    assert!(outbox.next(now + Duration::from_secs(31)).is_none());
}

#[test]
fn at_the_end_each_call_fails_with_what_is_known_of_it() {
    let (mut outbox, now) = (outbox(), Instant::now());
    let (sent, mut sent_answer) = request(Call::TakeControl {});
    outbox.take(sent, now);
    let (waiting, mut waiting_answer) = request(Call::TakeControl {});
    outbox.take_away(waiting);
    outbox.close(&Error::closed());
    assert_eq!(failed(&mut sent_answer).delivery(), Some(Delivery::Unknown));
    assert_eq!(failed(&mut waiting_answer).delivery(), Some(Delivery::NotSent));
}
