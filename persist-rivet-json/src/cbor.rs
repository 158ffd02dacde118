//! From JSON text to CBOR and back.

use std::borrow::Cow;

use ciborium::Value;

use crate::json::{Token, Tokens, unquoted};
use crate::print::Object;

/// JavaScript has integers of 32 bits in CBOR and takes larger ones for a type of their own, which JSON does
/// not know. So they are written as it writes them, as floats, for as long as a float has them exactly.
const LARGEST_INTEGER: u64 = u32::MAX as u64;
const LARGEST_EXACT: u64 = 1 << 53;

const TEXT: u8 = 3;
const LIST: u8 = 4;
const OBJECT: u8 = 5;

/// Writes valid JSON text as CBOR, with all members in their order. Half of a surrogate pair becomes
/// U+FFFD, and a number beyond all floats `null`.
pub(crate) fn write(json: &str, cbor: &mut Vec<u8>) {
    let mut counts = counts(json).into_iter();
    for token in Tokens::of(json) {
        match token {
            Token::BeginObject => head(cbor, OBJECT, counts.next().unwrap_or_default() / 2),
            Token::BeginArray => head(cbor, LIST, counts.next().unwrap_or_default()),
            Token::End => {}
            Token::Text(quoted) => text(cbor, &unquoted(quoted)),
            Token::Number(digits) => number(cbor, digits),
            Token::Word("true") => cbor.push(0xf5),
            Token::Word("false") => cbor.push(0xf4),
            Token::Word(_) => cbor.push(0xf6),
        }
    }
}

pub(crate) fn text(cbor: &mut Vec<u8>, text: &str) {
    head(cbor, TEXT, text.len() as u64);
    cbor.extend_from_slice(text.as_bytes());
}

/// The beginning of an object with so many members.
pub(crate) fn object(cbor: &mut Vec<u8>, members: usize) {
    head(cbor, OBJECT, members as u64);
}

/// How many names and values each object has, and values each list, in the order in which they begin.
fn counts(json: &str) -> Vec<u64> {
    let mut counts = Vec::new();
    let mut open = Vec::new();
    for token in Tokens::of(json) {
        if token == Token::End {
            open.pop();
            continue;
        }
        if let Some(count) = open.last().and_then(|at: &usize| counts.get_mut(*at)) {
            *count += 1;
        }
        if matches!(token, Token::BeginObject | Token::BeginArray) {
            open.push(counts.len());
            counts.push(0);
        }
    }
    counts
}

fn head(cbor: &mut Vec<u8>, kind: u8, value: u64) {
    let kind = kind << 5;
    let bytes = value.to_be_bytes();
    match value {
        0..24 => cbor.push(kind | bytes[7]),
        24..0x100 => cbor.extend([kind | 24, bytes[7]]),
        0x100..0x1_0000 => {
            cbor.push(kind | 25);
            cbor.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..0x1_0000_0000 => {
            cbor.push(kind | 26);
            cbor.extend_from_slice(&bytes[4..]);
        }
        _ => {
            cbor.push(kind | 27);
            cbor.extend_from_slice(&bytes);
        }
    }
}

fn number(cbor: &mut Vec<u8>, digits: &str) {
    let is_exact = |size: u64| size > LARGEST_INTEGER && size <= LARGEST_EXACT;
    // JSON has a zero below zero, and integers don't.
    if digits != "-0" {
        if let Ok(number) = digits.parse::<u64>()
            && !is_exact(number)
        {
            return head(cbor, 0, number);
        }
        if let Ok(number) = digits.parse::<i64>()
            && number < 0
            && !is_exact(number.unsigned_abs())
        {
            return head(cbor, 1, !number.cast_unsigned());
        }
    }
    match digits.parse::<f64>() {
        Ok(float) if float.is_finite() => {
            cbor.push(0xfb);
            cbor.extend_from_slice(&float.to_be_bytes());
        }
        _ => cbor.push(0xf6),
    }
}

/// Prints a value as JSON text, as JavaScript would.
pub(crate) fn print(value: &Value, json: &mut Vec<u8>) {
    match value {
        Value::Integer(number) => json.extend(i128::from(*number).to_string().bytes()),
        // A whole number is written without a fraction, however it was kept.
        Value::Float(float) if float.fract() == 0.0 && float.abs() <= LARGEST_EXACT as f64 => {
            json.extend(format!("{float:.0}").bytes());
        }
        Value::Float(float) => json.extend(serde_json::Value::from(*float).to_string().bytes()),
        Value::Text(text) => json.extend(serde_json::Value::from(text.as_str()).to_string().bytes()),
        Value::Bool(truth) => json.extend(truth.to_string().bytes()),
        Value::Bytes(bytes) => list(&bytes.iter().map(|byte| Value::from(*byte)).collect::<Vec<_>>(), json),
        Value::Array(values) => list(values, json),
        Value::Map(members) => {
            let mut object = Object::begin(json);
            for (name, value) in members {
                print(value, object.name(&name_of(name)));
            }
            object.end();
        }
        Value::Tag(_, value) => print(value, json),
        _ => json.extend(b"null"),
    }
}

fn list(values: &[Value], json: &mut Vec<u8>) {
    json.push(b'[');
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            json.push(b',');
        }
        print(value, json);
    }
    json.push(b']');
}

/// JavaScript has only texts for names.
fn name_of(name: &Value) -> Cow<'_, str> {
    match name {
        Value::Text(text) => Cow::Borrowed(text),
        other => {
            let mut json = Vec::new();
            print(other, &mut json);
            Cow::Owned(String::from_utf8(json).unwrap_or_default())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::measure;

    fn written(json: &str) -> Vec<u8> {
        let mut cbor = Vec::new();
        write(json, &mut cbor);
        cbor
    }

    fn there_and_back(json: &str) -> String {
        let cbor = written(json);
        let value: Value = ciborium::from_reader(&*cbor).unwrap();
        let mut back = Vec::new();
        print(&value, &mut back);
        String::from_utf8(back).unwrap()
    }

    #[test]
    fn what_javascript_prints_comes_back_as_it_was() {
        let long = format!("{{\"long\":\"{}\"}}", "x".repeat(70_000));
        let many = serde_json::to_string(&(0..300).collect::<Vec<_>>()).unwrap();
        for json in [
            r#"{"z":1,"a":{"b":[],"c":{},"":null},"z":3}"#,
            r#"[0,-1,23,24,-24,-25,255,256,65535,65536,4294967295,4294967296,-4294967296,-4294967297]"#,
            r#"[9007199254740992,9007199254740993,18446744073709551615,-9223372036854775808,1700000000000]"#,
            r#"[0.1,-2.5,1e+300,5e-324,true,false,null]"#,
            r#"["é😀\n\"\\\u0001",""]"#,
            &long,
            &many,
            r#""text""#,
        ] {
            assert_eq!(there_and_back(json).replace("1e300", "1e+300"), json);
        }
    }

    #[test]
    fn other_ways_to_write_it_become_those() {
        assert_eq!(there_and_back(" { \"a\" : [ 1e2, 1.50 , -0, 2.0 ] } "), r#"{"a":[100,1.5,-0,2]}"#);
        assert_eq!(
            there_and_back(r#"["\ud800",1e999,12345678901234567890123]"#),
            r#"["\ufffd",null,1.2345678901234568e+22]"#.replace("\\ufffd", "\u{FFFD}")
        );
    }

    #[test]
    fn numbers_beyond_32_bits_are_floats_for_javascript() {
        assert_eq!(written("4294967295"), [0x1a, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(written("1700000000000")[0], 0xfb);
        assert_eq!(written("-1700000000000")[0], 0xfb);
        assert_eq!(written("9007199254740993")[0], 0x1b);
    }

    #[test]
    fn it_is_never_longer_than_what_is_counted() {
        let random = &mut fastrand::Rng::with_seed(7);
        let long = serde_json::Value::from("x".repeat(70_000)).to_string();
        let many = format!("[{}]", vec!["0"; 70_000].join(","));
        let random = std::iter::repeat_with(|| any_json(random, 0)).take(1_000);
        for json in [long, many].into_iter().chain(random) {
            let counted = measure::json(&json).size;
            let length = written(&json).len();
            assert!(length <= counted && json.len() <= counted, "{length} > {counted}: {json}");
        }
    }

    fn any_json(random: &mut fastrand::Rng, depth: usize) -> String {
        let kinds = if depth > 2 { 5 } else { 7 };
        match random.usize(..kinds) {
            0 => "null".to_owned(),
            1 => random.i64(..).wrapping_shr(random.u32(..64)).to_string(),
            2 => serde_json::Value::from(random.f64() * 10f64.powi(random.i32(-5..5))).to_string(),
            3 => ["0.5", "-0", "1e1", "0E0", "-1.5e-3"][random.usize(..5)].to_owned(),
            4 => {
                let length = [0, 3, 30, 120, 130, 250, 260][random.usize(..7)];
                let text: String = (0..length).map(|_| random.char('\0'..'é')).collect();
                serde_json::Value::from(text).to_string()
            }
            5 => {
                let items: Vec<_> = (0..random.usize(..12)).map(|_| any_json(random, depth + 1)).collect();
                format!("[{}]", items.join(","))
            }
            _ => {
                let items = (0..random.usize(..4))
                    .map(|number| format!("\"{number}\":{}", any_json(random, depth + 1)));
                format!("{{{}}}", items.collect::<Vec<_>>().join(","))
            }
        }
    }
}
