//! A server as small as it can be: a ring, one running stream, and GETs beside it.

use std::collections::VecDeque;

use super::moves::FetchMove;

pub(super) struct Server {
    pub(super) written: u64,
    /// Before this id it never had any.
    start: u64,
    ring: u64,
    channel: usize,
    /// What is on its way to the reader.
    pub(super) stream: Option<VecDeque<u64>>,
}

impl Server {
    pub(super) fn new(start: u64, ring: u64, channel: usize) -> Self {
        Self { written: start, start, ring, channel, stream: None }
    }

    fn held(&self, after: u64) -> impl Iterator<Item = u64> + use<> {
        let oldest = self.written.saturating_sub(self.ring).max(self.start).max(after) + 1;
        oldest..=self.written
    }

    pub(super) fn write(&mut self, count: u64, lost: u64) {
        for number in 0..count {
            self.written += 1;
            let Some(stream) = self.stream.as_mut().filter(|_| number >= lost) else { continue };
            stream.push_back(self.written);
            if stream.len() > self.channel {
                stream.pop_front();
            }
        }
    }

    pub(super) fn read(&mut self, count: usize) -> Vec<u64> {
        let Some(stream) = &mut self.stream else { return Vec::new() };
        stream.drain(..count.min(stream.len())).collect()
    }

    pub(super) fn connect(&mut self, after: u64, doubled: u64, missed: u64) {
        let snapshot = self.held(after.saturating_sub(doubled)).collect();
        self.stream = None;
        self.write(missed, 0);
        self.stream = Some(snapshot);
    }
}

/// A GET beside the stream, for a refill or a probe.
pub(super) struct Fetch {
    pub(super) after: u64,
    pub(super) until: u64,
    /// Up to here it saw all that the server held.
    pub(super) covered: u64,
    /// What the server held when it was opened.
    pub(super) held: Option<Vec<u64>>,
    given: usize,
    pub(super) ended: bool,
}

impl Fetch {
    pub(super) fn new(after: u64, until: u64) -> Self {
        Self { after, until, covered: after, held: None, given: 0, ended: false }
    }

    /// What it brings in this step.
    pub(super) fn step(&mut self, next: FetchMove, server: &Server) -> Vec<u64> {
        match next {
            FetchMove::Give(count) => return self.give(count, server),
            // One that brought nothing is tried again.
            FetchMove::Break if self.covered == self.after => *self = Self::new(self.after, self.until),
            FetchMove::NoRoom => {
                let held = self.open(server);
                let Some(next) = held.get(self.given).copied() else { return Vec::new() };
                self.covered = self.covered.max(next - 1);
                self.ended = true;
            }
            FetchMove::Quiet => {
                self.open(server);
                self.ended = true;
            }
            FetchMove::Break | FetchMove::Refuse => self.ended = true,
        }
        Vec::new()
    }

    fn open(&mut self, server: &Server) -> Vec<u64> {
        self.held.get_or_insert_with(|| server.held(self.after).collect()).clone()
    }

    fn give(&mut self, count: usize, server: &Server) -> Vec<u64> {
        let held = self.open(server);
        let mut given = Vec::new();
        for id in held.into_iter().skip(self.given).take(count) {
            self.given += 1;
            self.covered = id;
            if id <= self.until {
                given.push(id);
            }
            self.ended = id >= self.until;
            if self.ended {
                break;
            }
        }
        given
    }
}
