//! Text as PostgreSQL keeps it: without U+0000, which its `text` can't hold.

use std::borrow::Cow;

/// Begins a pair that stands for one of the two characters which are written as pairs.
const MARK: char = '\u{1}';
const NUL: char = '\u{1}';
const ONE: char = '\u{2}';

/// The text with U+0000 as U+0001 U+0001, and U+0001 as U+0001 U+0002. Of two texts the same one
/// comes first before and after, and nearly all stay as they are.
pub(crate) fn stored(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte <= 1) {
        return Cow::Borrowed(text);
    }
    let mut stored = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => stored.extend([MARK, NUL]),
            MARK => stored.extend([MARK, ONE]),
            other => stored.push(other),
        }
    }
    Cow::Owned(stored)
}

/// The text that was stored so; `None` for one that never was.
pub(crate) fn restored(stored: &str) -> Option<String> {
    let mut text = String::with_capacity(stored.len());
    let mut rest = stored.chars();
    while let Some(character) = rest.next() {
        text.push(match character {
            MARK => match rest.next()? {
                NUL => '\0',
                ONE => MARK,
                _ => return None,
            },
            other => other,
        });
    }
    Some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn any_text_comes_back_and_stays_in_its_order() {
        let parts = ["", "a", "\0", "\u{1}", "\u{2}", "é", "\u{10ffff}"];
        let mut texts = Vec::new();
        for first in parts {
            for second in parts {
                texts.extend(parts.map(|third| format!("{first}{second}{third}")));
            }
        }
        texts.sort();
        texts.dedup();
        let held: Vec<_> = texts.iter().map(|text| stored(text)).collect();
        assert!(held.iter().all(|text| !text.contains('\0')));
        assert!(held.is_sorted_by(|a, b| a < b), "the same order, and none twice");
        let back: Vec<_> = held.iter().map(|text| restored(text).unwrap()).collect();
        assert_eq!(back, texts);
    }

    #[test]
    fn what_was_never_stored_is_told() {
        for text in ["\u{1}", "a\u{1}b", "\u{1}\u{1}\u{1}"] {
            assert_eq!(restored(text), None, "{text:?}");
        }
    }
}
