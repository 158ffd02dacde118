//! What the SDK and its relay in the sandbox say to each other: a letter, a number of four bytes, and data where the
//! number says how much.

use bytes::{Buf, Bytes};

use crate::error::{Error, Result};

/// The letter and the number.
pub(super) const HEAD: usize = 5;
/// No text of a relay's is longer.
const MOST_TEXT: u32 = 4096;

/// What a relay says.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// It is connected.
    Opened,
    /// What the service sent. One frame may be told in parts.
    Data(Bytes),
    /// The service sends no more; so many bytes it sent, modulo 2³².
    End(u32),
    /// The service, or its connection, has taken so much more.
    Taken(u32),
    /// The service was told that nothing more comes.
    Shut,
    /// It can't go on.
    Failed(String),
}

/// What a relay is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word<'a> {
    Data(&'a [u8]),
    /// Nothing more comes; so many bytes came, modulo 2³².
    End(u32),
    /// The application has taken so much in all, modulo 2³².
    Taken(u32),
    /// There is still somebody.
    Alive,
    /// The connection broke: the service is not to take what came for whole.
    Broken,
}

impl Word<'_> {
    pub(super) fn print(self, into: &mut Vec<u8>) {
        let (kind, number, data) = match self {
            // Never more than fits into one input.
            Self::Data(data) => (b'd', u32::try_from(data.len()).unwrap_or(u32::MAX), data),
            Self::End(count) => (b'e', count, &[][..]),
            Self::Taken(count) => (b'a', count, &[][..]),
            Self::Alive => (b'p', 0, &[][..]),
            Self::Broken => (b'r', 0, &[][..]),
        };
        into.push(kind);
        into.extend_from_slice(&number.to_be_bytes());
        into.extend_from_slice(data);
    }
}

/// Reads frames from pieces that are cut anywhere; it holds no more than one head, or one text.
#[derive(Debug, Default)]
pub(super) struct Reader {
    input: Bytes,
    head: Vec<u8>,
    /// How much of the data, or of the text, is still to come.
    left: u32,
    text: Option<Vec<u8>>,
}

impl Reader {
    /// Takes another piece. All frames of the one before have to be read.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.input = piece;
    }

    /// The next frame, or part of one, of what was pushed.
    pub(super) fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if self.left > 0 {
                let length = self.input.len().min(self.left as usize);
                if length == 0 {
                    return Ok(None);
                }
                let part = self.input.split_to(length);
                // No more than it was.
                self.left -= length as u32;
                match &mut self.text {
                    None => return Ok(Some(Frame::Data(part))),
                    Some(text) => text.extend_from_slice(&part),
                }
            }
            if let Some(text) = self.text.take_if(|_| self.left == 0) {
                return Ok(Some(Frame::Failed(String::from_utf8_lossy(&text).into_owned())));
            }
            if self.left > 0 {
                continue;
            }
            let length = self.input.len().min(HEAD - self.head.len());
            self.head.extend_from_slice(&self.input[..length]);
            self.input.advance(length);
            let &[kind, a, b, c, d] = &self.head[..] else { return Ok(None) };
            self.head.clear();
            let number = u32::from_be_bytes([a, b, c, d]);
            match kind {
                b'o' => return Ok(Some(Frame::Opened)),
                b'e' => return Ok(Some(Frame::End(number))),
                b'a' => return Ok(Some(Frame::Taken(number))),
                b's' => return Ok(Some(Frame::Shut)),
                b'd' => self.left = number,
                b'x' if number <= MOST_TEXT => (self.left, self.text) = (number, Some(Vec::new())),
                _ => return Err(Error::protocol("the relay in the sandbox said what can't be read")),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, number: u32, data: &[u8]) -> Vec<u8> {
        [&[kind][..], &number.to_be_bytes(), data].concat()
    }

    /// All frames of these pieces, data put together again.
    fn read(pieces: &[&[u8]]) -> Result<Vec<Frame>> {
        let (mut reader, mut frames) = (Reader::default(), Vec::new());
        for piece in pieces {
            reader.push(Bytes::copy_from_slice(piece));
            while let Some(frame) = reader.next()? {
                match (frames.last_mut(), frame) {
                    (Some(Frame::Data(before)), Frame::Data(more)) => {
                        *before = [&before[..], &more[..]].concat().into();
                    }
                    (_, frame) => frames.push(frame),
                }
            }
        }
        Ok(frames)
    }

    #[test]
    fn what_the_relay_is_told_is_a_letter_a_number_and_data() {
        let mut told = Vec::new();
        for word in [Word::Data(b"\xff\n"), Word::End(2), Word::Taken(258), Word::Alive, Word::Broken] {
            word.print(&mut told);
        }
        assert_eq!(told, b"d\0\0\0\x02\xff\ne\0\0\0\x02a\0\0\x01\x02p\0\0\0\0r\0\0\0\0");
    }

    #[test]
    fn what_can_not_be_read_is_an_error() {
        assert!(read(&[b"?\0\0\0\0"]).is_err());
        assert!(read(&[b"x\xff\0\0\0"]).is_err(), "no text is that long");
        assert_eq!(read(&[b"x\0\0\0\0"]).unwrap(), [Frame::Failed(String::new())]);
    }

    proptest! {
        #[test]
        fn frames_are_the_same_wherever_they_are_cut(
            data in prop::collection::vec(any::<u8>(), 1..50),
            cuts in prop::collection::vec(1_usize..9, 0..40),
        ) {
            let length = data.len() as u32;
            let all = [
                frame(b'o', 0, b""),
                frame(b'd', length, &data),
                frame(b'a', 7, b""),
                frame(b's', 0, b""),
                frame(b'e', length, b""),
                frame(b'x', 6, b"broken"),
            ].concat();
            let (mut pieces, mut rest) = (Vec::new(), &all[..]);
            for cut in cuts {
                let (piece, more) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = more;
            }
            pieces.push(rest);
            let expected = [
                Frame::Opened,
                Frame::Data(data.into()),
                Frame::Taken(7),
                Frame::Shut,
                Frame::End(length),
                Frame::Failed("broken".into()),
            ];
            prop_assert_eq!(read(&pieces).unwrap(), expected);
        }

        #[test]
        fn nothing_panics(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..10)) {
            let pieces: Vec<_> = pieces.iter().map(|piece| &piece[..]).collect();
            let _ = read(&pieces);
        }
    }
}
