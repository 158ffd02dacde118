//! Rewrites strings in a JSON text, and leaves every other byte as it is.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error, Visitor};

/// How the next value is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A JSON-RPC message, of which the members that make it one stay.
    Envelope,
    /// Strings are searched.
    Searched,
    /// No string and no number in it stays.
    Hidden,
    /// Each member, or the `value` of each item, is hidden.
    Bag,
    /// An item of a bag.
    Item,
    /// It stays.
    Kept,
}

/// What is to be rewritten.
pub(super) trait Rules {
    /// How the value of a member of this name is treated.
    fn member(&self, name: &str) -> Mode;
    /// The text to put in the place of this one; `None` if it may stay.
    fn search(&self, text: &str) -> Option<String>;
    /// What stands for a hidden string or number.
    fn mask(&self) -> &str;
}

impl Mode {
    fn of_member(self, name: &str, rules: &impl Rules) -> Self {
        match self {
            Self::Hidden | Self::Bag => Self::Hidden,
            Self::Kept => Self::Kept,
            Self::Envelope if matches!(name, "jsonrpc" | "id" | "method") => Self::Kept,
            Self::Item if name == "value" => Self::Hidden,
            Self::Envelope | Self::Item | Self::Searched => rules.member(name),
        }
    }

    fn of_item(self) -> Self {
        match self {
            Self::Bag => Self::Item,
            Self::Hidden | Self::Item => Self::Hidden,
            Self::Kept => Self::Kept,
            Self::Envelope | Self::Searched => Self::Searched,
        }
    }

    fn hides_scalars(self) -> bool {
        matches!(self, Self::Hidden | Self::Item)
    }
}

/// An object or array that the text is within.
struct Level {
    mode: Mode,
    is_object: bool,
    /// The next string is a member's name.
    at_name: bool,
    /// How the next value is treated.
    next: Mode,
}

/// The text with what the rules say in place; `None` if that is the text itself.
///
/// One pass, which takes memory only for what it changes and for the depth.
pub(super) fn rewrite(text: &str, mode: Mode, rules: &impl Rules) -> Option<String> {
    let bytes = text.as_bytes();
    let mut output = Output { text, written: String::new(), read: 0 };
    let mut levels: Vec<Level> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let value_mode = levels.last().map_or(mode, |level| level.next);
        let start = at;
        at += 1;
        match byte {
            b'{' => levels.push(Level { mode: value_mode, is_object: true, at_name: true, next: value_mode }),
            b'[' => {
                let next = value_mode.of_item();
                levels.push(Level { mode: value_mode, is_object: false, at_name: false, next });
            }
            b'}' | b']' => drop(levels.pop()),
            b',' => {
                if let Some(level) = levels.last_mut() {
                    level.at_name = level.is_object;
                }
            }
            b'"' => {
                at = end_of_string(bytes, at);
                let token = text.get(start..at).unwrap_or_default();
                match levels.last_mut().filter(|level| level.at_name) {
                    Some(level) => {
                        level.at_name = false;
                        let name = unescape(token).unwrap_or(Cow::Borrowed(token));
                        level.next = level.mode.of_member(&name, rules);
                        if level.mode != Mode::Kept
                            && let Some(other) = rules.search(&name)
                        {
                            output.replace(start, at, &other);
                        }
                    }
                    None => {
                        if let Some(other) = string(token, value_mode, rules) {
                            output.replace(start, at, &other);
                        }
                    }
                }
            }
            b'-' | b'0'..=b'9' => {
                while bytes
                    .get(at)
                    .is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
                {
                    at += 1;
                }
                if value_mode.hides_scalars() {
                    output.replace(start, at, rules.mask());
                }
            }
            _ => {}
        }
    }
    output.finish()
}

/// What to put in the place of a string value.
fn string(token: &str, mode: Mode, rules: &impl Rules) -> Option<String> {
    if mode == Mode::Kept {
        return None;
    }
    match unescape(token) {
        Some(text) if mode.hides_scalars() => {
            (!text.is_empty() && text != rules.mask()).then(|| rules.mask().to_owned())
        }
        Some(text) => rules.search(&text),
        // What can't be read can't be searched.
        None => Some(rules.mask().to_owned()),
    }
}

/// The place behind the quotation mark that ends the string which goes on here.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => return at,
            b'\\' => at += 1,
            _ => {}
        }
    }
    bytes.len()
}

/// The text that a string's token stands for. A half of a surrogate pair becomes a replacement character.
fn unescape(token: &str) -> Option<Cow<'_, str>> {
    if !token.contains('\\') {
        return token.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed);
    }
    let bytes = serde_json::Deserializer::from_str(token).deserialize_bytes(Bytes).ok()?;
    Some(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Takes a string as bytes, so that it need not be valid Unicode.
struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

/// The text, copied from where something was replaced.
struct Output<'a> {
    text: &'a str,
    written: String,
    read: usize,
}

impl Output<'_> {
    /// Puts a string in the place of a token.
    fn replace(&mut self, start: usize, end: usize, string: &str) {
        self.written.push_str(self.text.get(self.read..start).unwrap_or_default());
        // A string always prints.
        self.written.push_str(&serde_json::to_string(string).unwrap_or_default());
        self.read = end;
    }

    fn finish(mut self) -> Option<String> {
        if self.read == 0 {
            return None;
        }
        self.written.push_str(self.text.get(self.read..).unwrap_or_default());
        Some(self.written)
    }
}
