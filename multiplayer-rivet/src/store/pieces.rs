//! Long texts, cut into pieces that the engine takes.

use super::limits::{INLINE, PIECE};

/// A text as it is stored.
pub(super) enum Stored<'t> {
    /// In its row.
    Inline(&'t str),
    /// In pieces beside it.
    Pieces(Vec<&'t str>),
}

impl<'t> Stored<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        if text.len() <= INLINE { Self::Inline(text) } else { Self::Pieces(cut(text)) }
    }

    /// What its row has of it.
    pub(super) fn inline(&self) -> Option<&'t str> {
        match self {
            Self::Inline(text) => Some(text),
            Self::Pieces(_) => None,
        }
    }

    pub(super) fn pieces(&self) -> &[&'t str] {
        match self {
            Self::Inline(_) => &[],
            Self::Pieces(pieces) => pieces,
        }
    }
}

fn cut(mut text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while text.len() > PIECE {
        // A character has at most four bytes.
        let end = (PIECE - 3..=PIECE).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
        let (piece, rest) = text.split_at(end);
        pieces.push(piece);
        text = rest;
    }
    pieces.push(text);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_within_their_size_and_make_the_text() {
        for width in ["x", "é", "€", "😀", "x😀"] {
            for size in [INLINE + 4, PIECE, PIECE + 1, 3 * PIECE + 5] {
                let text = width.repeat(size.div_ceil(width.len()));
                let stored = Stored::of(&text);
                assert_eq!(stored.inline(), None);
                assert!(stored.pieces().iter().all(|piece| (1..=PIECE).contains(&piece.len())));
                assert_eq!(stored.pieces().concat(), text);
            }
        }
    }

    #[test]
    fn a_short_text_stays_whole() {
        let text = "x".repeat(INLINE);
        let stored = Stored::of(&text);
        assert_eq!((stored.inline(), stored.pieces().len()), (Some(text.as_str()), 0));
    }
}
