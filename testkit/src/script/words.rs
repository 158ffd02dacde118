//! Cutting a script into commands, and a command into its arguments.

use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

/// The commands of a script, trimmed; empty ones are left out.
pub(super) fn commands(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(split_outside_quotes).map(str::trim).filter(|command| !command.is_empty())
}

fn split_outside_quotes(line: &str) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, char) in line.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => {
                parts.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&line[start..]);
    parts
}

/// Reads a number that must be whole and in range.
pub(super) fn number<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("`{word}` is not a whole number"))
}

/// What is left of a command's line.
pub(super) struct Args<'a> {
    rest: &'a str,
}

impl<'a> Args<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line }
    }

    pub(super) fn word(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        self.rest = &rest[end..];
        Some(&rest[..end])
    }

    pub(super) fn number<T: FromStr>(&mut self, what: &str) -> Result<T, String> {
        number(self.word().ok_or_else(|| format!("needs {what}"))?)
    }

    pub(super) fn millis(&mut self, what: &str) -> Result<Duration, String> {
        self.number(what).map(Duration::from_millis)
    }

    /// Everything that is left.
    pub(super) fn text(&mut self, what: &str) -> Result<String, String> {
        let text = std::mem::take(&mut self.rest).trim();
        if text.is_empty() {
            return Err(format!("needs {what}"));
        }
        Ok(text.to_owned())
    }

    /// A method and its parameters, which may be left out.
    pub(super) fn method(&mut self) -> Result<(String, Value), String> {
        let method = self.word().ok_or("needs a method")?.to_owned();
        let json = std::mem::take(&mut self.rest).trim();
        if json.is_empty() {
            return Ok((method, Value::Null));
        }
        let params: Value =
            serde_json::from_str(json).map_err(|error| format!("its parameters are not JSON: {error}"))?;
        if !params.is_object() && !params.is_array() {
            return Err("its parameters must be an object or an array".to_owned());
        }
        Ok((method, params))
    }

    pub(super) fn end(&self) -> Result<(), String> {
        match self.rest.trim() {
            "" => Ok(()),
            rest => Err(format!("`{rest}` is too much")),
        }
    }
}
