//! Cuts the socket's bytes into whole events, in time linear in their size.

use bytes::{Bytes, BytesMut};

/// How much of an event over the cap is kept, to read its id.
const HEAD: usize = 1024;

#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    /// One event with its closing blank line.
    Whole(Bytes),
    /// The beginning of an event over the cap; the rest was dropped as it came.
    TooLarge(Bytes),
}

/// Finds the blank lines between events. Each byte is looked at once, however the socket cuts them.
#[derive(Debug)]
pub(crate) struct Framer {
    buffer: BytesMut,
    /// Up to here no event ends.
    scanned: usize,
    /// The head of the event that is being dropped.
    dropping: Option<Bytes>,
    max: usize,
}

impl Framer {
    pub(crate) fn new(max: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, dropping: None, max }
    }

    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next frame that is whole.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        match self.find_end() {
            Some(end) => {
                self.scanned = 0;
                let event = self.buffer.split_to(end).freeze();
                Some(match self.dropping.take() {
                    Some(head) => Frame::TooLarge(head),
                    None if event.len() > self.max => Frame::TooLarge(head_of(&event)),
                    None => Frame::Whole(event),
                })
            }
            None => {
                if self.dropping.is_some() || self.buffer.len() > self.max {
                    self.drop_scanned();
                }
                None
            }
        }
    }

    /// Where the first event ends: after a line feed that is followed by an empty line.
    fn find_end(&mut self) -> Option<usize> {
        while let Some(found) = self.buffer[self.scanned..].iter().position(|&byte| byte == b'\n') {
            let feed = self.scanned + found;
            match &self.buffer[feed + 1..] {
                [b'\n', ..] => return Some(feed + 2),
                [b'\r', b'\n', ..] => return Some(feed + 3),
                // The line feed is looked at again when more has come.
                [] | [b'\r'] => {
                    self.scanned = feed;
                    return None;
                }
                _ => self.scanned = feed + 1,
            }
        }
        self.scanned = self.buffer.len();
        None
    }

    fn drop_scanned(&mut self) {
        if self.dropping.is_none() {
            self.dropping = Some(head_of(&self.buffer));
        }
        let _ = self.buffer.split_to(self.scanned);
        self.scanned = 0;
    }
}

fn head_of(event: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&event[..event.len().min(HEAD)])
}

#[cfg(any(test, fuzzing))]
pub(super) mod reference;

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(max: usize, input: &[u8], step: usize) -> Vec<Frame> {
        let mut framer = Framer::new(max);
        let mut out = Vec::new();
        for chunk in input.chunks(step) {
            framer.push(chunk);
            while let Some(frame) = framer.next() {
                out.push(frame);
            }
        }
        out
    }

    #[test]
    fn cuts_alike_however_the_bytes_come() {
        let input =
            b"event: message\nid: 1\ndata: {}\n\n: heartbeat\n\nid: 2\r\ndata: a\r\n\r\nid: 3\ndata: no end";
        let whole = frames(1000, input, input.len());
        assert_eq!(whole.len(), 3);
        for step in 1..input.len() {
            assert_eq!(frames(1000, input, step), whole, "step {step}");
        }
    }

    #[test]
    fn an_event_over_the_cap_is_dropped_and_the_next_one_read() {
        let mut input = b"id: 7\ndata: ".to_vec();
        input.extend([b'x'; 5000]);
        input.extend(b"\n\nid: 8\ndata: y\n\n");
        for step in [1, 7, 1000, input.len()] {
            let mut framer = Framer::new(100);
            let mut out = Vec::new();
            for chunk in input.chunks(step) {
                framer.push(chunk);
                while let Some(frame) = framer.next() {
                    out.push(frame);
                }
                assert!(framer.buffer.len() <= 100 + step, "the buffer is bounded");
            }
            assert_eq!(out.len(), 2, "step {step}");
            assert!(matches!(&out[0], Frame::TooLarge(head) if head.starts_with(b"id: 7\n")));
            assert_eq!(out[1], Frame::Whole(Bytes::from_static(b"id: 8\ndata: y\n\n")));
        }
    }
}
