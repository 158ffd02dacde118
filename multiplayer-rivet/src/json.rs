//! JSON text as a value for clients in JavaScript, also where only text can say it.

use sandbox_agent_multiplayer::{Error, ErrorKind, Result};
use serde_json::Value;

/// What every number of JavaScript has exactly.
const EXACT: u64 = 1 << 53;

/// The value of a JSON text. Half of a surrogate pair, which no value can have, becomes U+FFFD. An integer
/// of more than 32 bits that a number of JavaScript has exactly becomes such: as CBOR's it would be a `BigInt`
/// there.
pub(crate) fn value(text: &str) -> Result<Value> {
    let mut value = serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&without_halves(text)))
        .map_err(|error| Error::new(ErrorKind::Protocol, "an answer is no JSON").with_source(error))?;
    without_long_integers(&mut value);
    Ok(value)
}

/// As deep as the parser lets a text be, which is 128 levels.
fn without_long_integers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_long_integers),
        Value::Object(members) => members.values_mut().for_each(without_long_integers),
        Value::Number(number) => {
            let size = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
            if size.is_some_and(|size| size > u64::from(u32::MAX) && size <= EXACT)
                && let Some(float) = number.as_f64().and_then(serde_json::Number::from_f64)
            {
                *number = float;
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
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
    fn integers_are_what_javascript_has_for_numbers() {
        let text = r#"{"at":1700000000000,"small":[7,-7,4294967295],"large":9007199254740993,"half":0.5}"#;
        let read = value(text).unwrap();
        assert!(read["at"].is_f64() && read["at"] == 1_700_000_000_000f64);
        assert_eq!(read["small"], serde_json::json!([7, -7, 4_294_967_295u64]));
        assert!(read["large"].is_u64() && read["half"] == 0.5);
    }

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
