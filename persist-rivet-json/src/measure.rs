//! How much JSON takes where an actor's state is kept.
//!
//! Sizes are those of the JSON text, and of what CBOR takes beyond that: a number with a fraction or
//! an exponent has 9 bytes there, and a text of 256 bytes or more up to 3 bytes more than its
//! quotes. All else is shorter in CBOR than in JSON, so that a size is below neither.

use std::io;

use serde::Serialize;

use crate::json::{Token, Tokens};

/// How deep JSON may nest that is kept as it is. Readers stop somewhat deeper, at 128 levels the most
/// common one, and a state that can't be read is lost whole.
pub(crate) const DEEPEST: usize = 100;

/// What a number takes in CBOR at the most.
const CBOR_NUMBER: usize = 9;

/// What valid JSON text takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) size: usize,
    pub(crate) depth: usize,
}

pub(crate) fn json(text: &str) -> Measured {
    let mut measured = Measured { size: text.len(), depth: 0 };
    let mut depth: usize = 0;
    for token in Tokens::of(text) {
        match token {
            Token::BeginObject | Token::BeginArray => {
                depth += 1;
                measured.depth = measured.depth.max(depth);
            }
            Token::End => depth = depth.saturating_sub(1),
            Token::Text(text) => measured.size += beyond_quotes(text.len()),
            Token::Number(number) => measured.size += beyond_digits(number),
            Token::Word(_) => {}
        }
    }
    measured
}

/// A text as a member's name or value.
pub(crate) fn text(text: &str) -> usize {
    quoted(text) + beyond_quotes(quoted(text))
}

/// How long a text is with its quotes and escapes.
pub(crate) fn quoted(text: &str) -> usize {
    let escaped: usize = text.chars().map(escaped_length).sum();
    escaped + 2
}

/// The length of the JSON of a value that always prints.
pub(crate) fn length(value: &impl Serialize) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // Counting fails never, and what is counted has only texts for names.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// Of a text that is this long with its quotes.
fn beyond_quotes(length: usize) -> usize {
    if length < 256 { 0 } else { 3 }
}

fn beyond_digits(number: &str) -> usize {
    let is_whole = number != "-0" && number.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    // The digits of a whole number are never fewer than its bytes in CBOR.
    if is_whole { 0 } else { CBOR_NUMBER.saturating_sub(number.len()) }
}

fn escaped_length(character: char) -> usize {
    match character {
        '"' | '\\' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_the_length_and_what_cbor_takes_beyond() {
        let of = |size, depth| Measured { size, depth };
        assert_eq!(json(r#"{"a":[1,true,"x"]}"#), of(18, 2));
        assert_eq!(json("0.5"), of(9, 0));
        assert_eq!(json("[-0,1e2]"), of(8 + 7 + 6, 1));
        assert_eq!(json("1234567.12345"), of(13, 0));
        let long = format!("\"{}\"", "x".repeat(254));
        assert_eq!(json(&long), of(259, 0));
        assert_eq!(json(&"[".repeat(7)).depth, 7);
    }

    #[test]
    fn a_text_is_as_long_as_it_prints() {
        for plain in ["", "a.b/ü'%_\"\\", "\u{8}\u{c}\n\r\t\0\u{1f}\u{7f}\u{2028}😀", &"ü".repeat(126)] {
            let printed = serde_json::to_string(plain).unwrap();
            assert_eq!(text(plain), printed.len(), "{printed}");
            assert_eq!(length(&plain), printed.len());
        }
        assert_eq!(text(&"x".repeat(254)), 259);
    }
}
