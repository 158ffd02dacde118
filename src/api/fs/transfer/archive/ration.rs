//! So much of an archive is read for one step.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use crate::error::{Error, ErrorKind};

/// What may stand before an entry: long names, of which the longest on Linux has 4 KiB, and attributes.
const MOST_HEAD: u64 = 1024 * 1024;
/// What is in an entry is filled up to as much.
const BLOCK: u64 = 512;

/// A reader that gives what was allowed and no more: who reads an archive has a long name in memory before anybody can
/// count it.
pub(in super::super) struct Rationed<R> {
    reader: R,
    left: Rc<Cell<u64>>,
}

/// What such a reader may still give.
pub(super) struct Ration(Rc<Cell<u64>>);

impl<R> Rationed<R> {
    pub(super) fn new(reader: R) -> (Self, Ration) {
        let left = Rc::new(Cell::new(MOST_HEAD));
        (Self { reader, left: left.clone() }, Ration(left))
    }
}

impl Ration {
    /// Allows what is in an entry of this size, and the head of the one behind it.
    pub(super) fn allow(&self, size: u64) {
        self.0.set(size.saturating_add(BLOCK).saturating_add(MOST_HEAD));
    }

    /// What it is when reading failed.
    pub(super) fn failed(&self, error: io::Error) -> Error {
        if self.0.get() > 0 {
            return Error::new(ErrorKind::Io, "the archive can't be read").with_source(error);
        }
        let limit = usize::try_from(MOST_HEAD).unwrap_or(usize::MAX);
        let message = format!("the names before an entry of the archive are beyond {MOST_HEAD} bytes");
        Error::new(ErrorKind::TooLarge { limit }, message)
    }
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.left.get()).unwrap_or(usize::MAX);
        if left == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let length = buffer.len().min(left);
        let read = self.reader.read(&mut buffer[..length])?;
        self.left.set(self.left.get().saturating_sub(read as u64));
        Ok(read)
    }
}
