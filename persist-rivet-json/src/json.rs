//! JSON text that is known to be valid, piece by piece.

use std::borrow::Cow;
use std::fmt;

use sandbox_agent_persist::RawValue;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::print::Object;

/// A piece of JSON text. Commas and colons say nothing that the others don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    BeginObject,
    BeginArray,
    End,
    /// With its quotes and escapes.
    Text(&'a str),
    Number(&'a str),
    /// `true`, `false` or `null`.
    Word(&'a str),
}

/// The pieces of valid JSON text, in their order. Of other text it gives something, and ends.
#[derive(Clone)]
pub(crate) struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self(text)
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (token, rest) = self.0.split_at_checked(length).unwrap_or((self.0, ""));
        self.0 = rest;
        token
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.0.as_bytes();
        let skip = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':'));
        let skip = skip.count();
        self.take(skip);
        let bytes = self.0.as_bytes();
        let one = |token| (1, token);
        let (length, token) = match bytes.first()? {
            b'{' => one(Token::BeginObject),
            b'[' => one(Token::BeginArray),
            b'}' | b']' => one(Token::End),
            b'"' => (text_length(bytes), Token::Text("")),
            b't' | b'f' | b'n' => {
                (bytes.iter().take_while(|byte| byte.is_ascii_lowercase()).count(), Token::Word(""))
            }
            _ => {
                let in_number = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                (bytes.iter().take_while(in_number).count().max(1), Token::Number(""))
            }
        };
        let piece = self.take(length);
        Some(match token {
            Token::Text(_) => Token::Text(piece),
            Token::Word(_) => Token::Word(piece),
            Token::Number(_) => Token::Number(piece),
            other => other,
        })
    }
}

/// How many bytes the text that begins here takes, with its quotes.
fn text_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// What a text says. Half of a surrogate pair, which JavaScript can write and Unicode has no
/// character for, becomes U+FFFD.
pub(crate) fn unquoted(text: &str) -> Cow<'_, str> {
    if let Ok(read) = serde_json::from_str::<Cow<'_, str>>(text) {
        return read;
    }
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let mut said = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((before, escape)) = rest.split_once('\\') {
        said.push_str(before);
        // A pair is one character, and takes two escapes.
        let lengths = if escape.starts_with('u') { [11, 5] } else { [1, 1] };
        let read = lengths.into_iter().find_map(|length| {
            let (escape, rest) = escape.split_at_checked(length)?;
            let read = serde_json::from_str::<String>(&format!("\"\\{escape}\"")).ok()?;
            Some((read, rest)).filter(|(read, _)| read.chars().count() == 1)
        });
        match read {
            Some((character, behind)) => {
                said.push_str(&character);
                rest = behind;
            }
            None => {
                said.push(char::REPLACEMENT_CHARACTER);
                rest = escape.get(5..).unwrap_or_default();
            }
        }
    }
    said.push_str(rest);
    Cow::Owned(said)
}

/// The members of an object as they stand in the text, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members(pub(crate) Vec<(String, Box<RawValue>)>);

impl Members {
    pub(crate) fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The member with this name; of several the last, which is the one that JavaScript sees.
    pub(crate) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().rev().find(|(held, _)| held == name).map(|(_, value)| &**value)
    }

    /// Takes each member with this name out, and gives the last.
    pub(crate) fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        let mut found = None;
        self.0.retain_mut(|(held, value)| {
            let other = held != name;
            if !other {
                found = Some(std::mem::take(value));
            }
            other
        });
        found
    }

    /// Keeps the place of a member, and nothing of its value.
    pub(crate) fn forget(&mut self, name: &str) {
        for (_, value) in self.0.iter_mut().filter(|(held, _)| held == name) {
            *value = Box::default();
        }
    }

    /// The text of the object with this value for a member, in its place or behind all others.
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        let mut text = Vec::with_capacity(value.len() + 64);
        let mut object = Object::begin(&mut text);
        let mut is_written = false;
        for (held, other) in &self.0 {
            if held != name {
                object.raw(held, other.get());
            } else if !std::mem::replace(&mut is_written, true) {
                object.raw(name, value);
            }
        }
        if !is_written {
            object.raw(name, value);
        }
        object.end();
        // All of it came from texts.
        String::from_utf8(text).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_in_its_pieces() {
        let text = "{\"a\\\"}\" :[1,-2.5e+3,\ttrue, null ,{}],\"\":\"\\\\\"}";
        let got: Vec<_> = Tokens::of(text).collect();
        let want = [
            Token::BeginObject,
            Token::Text("\"a\\\"}\""),
            Token::BeginArray,
            Token::Number("1"),
            Token::Number("-2.5e+3"),
            Token::Word("true"),
            Token::Word("null"),
            Token::BeginObject,
            Token::End,
            Token::End,
            Token::Text("\"\""),
            Token::Text("\"\\\\\""),
            Token::End,
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn other_text_comes_to_an_end() {
        for text in ["\"", "\"\\", "é", "[é", "\"é\\", "{]", "+", "tr\u{1F600}"] {
            assert!(Tokens::of(text).count() < 10, "{text}");
        }
    }

    #[test]
    fn half_a_pair_is_no_character() {
        for (text, want) in [
            (r#""plain é\n""#, "plain é\n"),
            (r#""\ud83d\ude00\"\u0041""#, "😀\"A"),
            (r#""a\ud800b""#, "a\u{FFFD}b"),
            (r#""\ud800\ud83d\ude00\udc00\\\ud800\u0041""#, "\u{FFFD}😀\u{FFFD}\\\u{FFFD}A"),
            (r#""\ud800""#, "\u{FFFD}"),
        ] {
            assert_eq!(unquoted(text), want, "{text}");
        }
    }

    #[test]
    fn members_stay_as_they_stand() {
        let mut members = Members::read(r#"{"b":1.0, "a":{ "x" : 1e2 },"b":"é"}"#).unwrap();
        assert_eq!(members.get("a").unwrap().get(), r#"{ "x" : 1e2 }"#);
        assert_eq!(members.get("b").unwrap().get(), r#""é""#);
        assert_eq!(members.take("b").unwrap().get(), r#""é""#);
        assert!(members.take("b").is_none());
        assert_eq!(members.0.len(), 1);
        Members::read("[]").unwrap_err();
    }
}
