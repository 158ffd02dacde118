//! Frames on their way to all who look on.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use sandbox_agent_multiplayer::{Error, ErrorKind, Frame, Frames};
use tokio::time::{Instant, sleep, sleep_until};

use super::host::Host;
use super::pace::Pace;
use crate::cbor;

/// How many frames are taken at once.
const FRAMES: usize = 1024;
/// How many messages go out at once.
const MESSAGES: usize = 8;
/// When the last frame's number is told again after nothing came: an engine that dropped a message says so to
/// nobody, and the last one leaves no hole that is seen. Then at the last of these intervals.
const BEATS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];

/// Tells all frames, until the line ends; gives why it did.
pub(super) async fn run(host: &Host, mut frames: Frames) -> Error {
    let limits = &host.settings.actor_limits;
    let mut pace = Pace::new(limits.window, limits.messages, Instant::now());
    let mut beats = 0;
    loop {
        let silence = BEATS[beats.min(BEATS.len() - 1)];
        let first = tokio::select! {
            first = frames.recv_many(FRAMES) => first,
            () = sleep(silence) => {
                beats += 1;
                tell(host, &[], frames.position(), &mut pace);
                continue;
            }
        };
        beats = 0;
        let mut batch = match first {
            Some(Ok(frames)) => frames,
            Some(Err(error)) => return error,
            None => return Error::new(ErrorKind::Closed, "the workspace's line has ended"),
        };
        sleep_until(pace.next()).await;
        let most = limits.message_bytes.saturating_mul(MESSAGES);
        let mut bytes: usize = batch.iter().map(|frame| size(frame, limits.message_bytes)).sum();
        // Those that came meanwhile. One that fails now fails the next time as well.
        while bytes < most
            && let Some(Some(Ok(more))) = frames.recv_many(FRAMES).now_or_never()
        {
            bytes += more.iter().map(|frame| size(frame, limits.message_bytes)).sum::<usize>();
            batch.extend(more);
        }
        tell(host, &batch, frames.position(), &mut pace);
    }
}

fn tell(host: &Host, frames: &[Arc<Frame>], last: u64, pace: &mut Pace) {
    let seats = host.doors.seats();
    if seats == 0 {
        return;
    }
    let messages = pack(frames, last, host.settings.actor_limits.message_bytes);
    for message in &messages {
        match cbor::write(&[message]) {
            Ok(args) => host.engine.tell(&args),
            Err(error) => tracing::error!(workspace = %host.key.id, %error, "frames could not be told"),
        }
    }
    pace.told(messages.len(), seats, Instant::now());
}

fn size(frame: &Frame, most: usize) -> usize {
    frame.json_within(most).len()
}

/// The messages that have these frames: at least one, and each with at most so many bytes.
fn pack(frames: &[Arc<Frame>], last: u64, most: usize) -> Vec<String> {
    // What is around the frames.
    let most = most.saturating_sub(64);
    let mut messages = Vec::new();
    let mut open = String::new();
    for frame in frames {
        let json = frame.json_within(most);
        if !open.is_empty() && open.len() + json.len() >= most {
            messages.push(message(&std::mem::take(&mut open), last));
        }
        if !open.is_empty() {
            open.push(',');
        }
        open.push_str(&String::from_utf8_lossy(&json));
    }
    if messages.is_empty() || !open.is_empty() {
        messages.push(message(&open, last));
    }
    messages
}

fn message(frames: &str, last: u64) -> String {
    format!(r#"{{"last":{last},"frames":[{frames}]}}"#)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn frame(sequence: u64, bytes: usize) -> Arc<Frame> {
        let text = "x".repeat(bytes);
        let json = format!(r#"{{"sequence":{sequence},"at":1,"type":"other","data":"{text}"}}"#);
        Arc::new(Frame::from_json(&json).unwrap())
    }

    #[test]
    fn messages_are_within_their_size_and_have_every_frame_once_in_order() {
        let frames: Vec<_> =
            (1..=20).map(|sequence| frame(sequence, if sequence == 7 { 5000 } else { 100 })).collect();
        let messages = pack(&frames, 20, 1000);
        assert!(messages.len() > 2);
        let mut told = Vec::new();
        for message in &messages {
            assert!(message.len() <= 1000, "{}", message.len());
            let message: Value = serde_json::from_str(message).unwrap();
            assert_eq!(message["last"], 20);
            told.extend(message["frames"].as_array().unwrap().clone());
        }
        let numbers: Vec<_> = told.iter().map(|frame| frame["sequence"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
        assert_eq!(told[6]["type"], "large");
        assert_eq!(told[6]["data"]["bytes"].as_u64().unwrap(), frames[6].json().len() as u64);
        assert_eq!(told[5].to_string().len(), frames[5].json().len());
    }

    #[test]
    fn nothing_is_told_by_one_message() {
        assert_eq!(pack(&[], 7, 1000), [r#"{"last":7,"frames":[]}"#]);
    }
}
