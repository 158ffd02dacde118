//! What the frames of an input are, found the slow way with all bytes at hand.

use super::{Frame, Framer, HEAD};

/// The events in the input: each ends with an empty line.
pub(in crate::sse) fn events(input: &[u8]) -> Vec<&[u8]> {
    let (mut events, mut start) = (Vec::new(), 0);
    for end in 1..=input.len() {
        let event = &input[start..end];
        if event.ends_with(b"\n\n") || event.ends_with(b"\n\r\n") {
            events.push(event);
            start = end;
        }
    }
    events
}

/// Panics unless the framer finds these events in chunks of these sizes, with the rest at once.
pub(in crate::sse) fn check(max: usize, input: &[u8], sizes: &[usize]) {
    let (frames, events) = (cut(max, input, sizes), events(input));
    assert_eq!(frames.len(), events.len());
    for (frame, event) in frames.iter().zip(events) {
        match frame {
            Frame::Whole(bytes) => {
                assert!(event.len() <= max);
                assert_eq!(bytes, event);
            }
            Frame::TooLarge(head) => {
                assert!(event.len() > max);
                assert!(event.starts_with(head));
                // All that had come when the cap was passed, of which only the beginning is kept.
                assert!(head.len() > max.min(HEAD - 1) && head.len() <= HEAD, "a head of {}", head.len());
            }
        }
    }
}

fn cut(max: usize, mut input: &[u8], sizes: &[usize]) -> Vec<Frame> {
    let mut framer = Framer::new(max);
    let mut frames = Vec::new();
    for size in sizes.iter().copied().chain([usize::MAX]) {
        let (chunk, rest) = input.split_at(size.min(input.len()));
        framer.push(chunk);
        frames.extend(std::iter::from_fn(|| framer.next()));
        // A line feed and a carriage return may have to wait for what follows.
        assert!(framer.buffer.len() <= max.max(2), "{} bytes wait, over {max}", framer.buffer.len());
        input = rest;
    }
    frames
}
