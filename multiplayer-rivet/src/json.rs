//! JSON text as a value, also where only text can say it.

use sandbox_agent_multiplayer::{Error, ErrorKind, Result};
use serde_json::Value;

/// The value of a JSON text. Half of a surrogate pair, which no value can have, becomes U+FFFD.
pub(crate) fn value(text: &str) -> Result<Value> {
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&without_halves(text)))
        .map_err(|error| Error::new(ErrorKind::Protocol, "an answer is no JSON").with_source(error))
}

/// The text with U+FFFD in the place of each `\uD800` to `\uDFFF` that has no other half.
fn without_halves(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        whole.push_str(before);
        let taken = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                whole.push_str("\\ufffd");
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            (Some(_), _) => 6,
            // The backslash, and the ASCII character that it escapes.
            (None, _) => 2,
        };
        let (taken, behind) = escape.split_at_checked(taken).unwrap_or((escape, ""));
        whole.push_str(taken);
        rest = behind;
    }
    whole.push_str(rest);
    whole
}

/// The unit that an escape at the beginning of the text stands for.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_pairs_are_replaced_and_all_else_stays() {
        let cases = [
            (r#""a\ud83d\ude00b""#, "a😀b"),
            (r#""a\ud83db""#, "a\u{fffd}b"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\\ud83d\ud83d\n\"é""#, "\\ud83d\u{fffd}\n\"é"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
        ];
        for (text, said) in cases {
            assert_eq!(value(text).unwrap(), Value::from(said), "{text}");
        }
        assert!(value("{").is_err());
    }
}
