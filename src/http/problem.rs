//! The server's error documents (`application/problem+json`).

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

/// Why the server refused a request.
///
/// Not every refusal comes as a problem document; the text of one that doesn't is the `title`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// The kind, such as `urn:sandbox-agent:error:agent_not_installed`; empty when the server gave none.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// A short sentence.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What happened in this case.
    #[serde(default)]
    pub detail: Option<String>,
    /// Further members, such as `agent` and `details`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Enough to understand a page of HTML from a proxy, too little to fill a log.
const MAX_TITLE: usize = 200;

impl Problem {
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        let mut problem = serde_json::from_slice(body).unwrap_or_else(|_| Self {
            title: String::from_utf8_lossy(body).trim().chars().take(MAX_TITLE).collect(),
            ..Self::default()
        });
        problem.status = status;
        problem
    }

    /// Whether the server itself says it, and nobody in front of it, who knows nothing of what is there.
    pub(crate) fn is_the_servers(&self) -> bool {
        self.kind.starts_with("urn:sandbox-agent:error:")
    }

    /// Changes every text in it but the server's own kind, which others act on.
    pub(crate) fn redact(&mut self, redact: &impl Fn(&str) -> String) {
        if !self.is_the_servers() {
            self.kind = redact(&self.kind);
        }
        self.title = redact(&self.title);
        self.detail = self.detail.as_deref().map(redact);
        self.extra.values_mut().for_each(|value| redact_value(value, redact));
    }

    /// The last part of the kind, such as `agent_not_installed`.
    pub fn code(&self) -> &str {
        self.kind.rsplit(':').next().unwrap_or_default()
    }
}

fn redact_value(value: &mut Value, redact: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = redact(text),
        Value::Array(values) => values.iter_mut().for_each(|value| redact_value(value, redact)),
        Value::Object(members) => members.values_mut().for_each(|value| redact_value(value, redact)),
        _ => {}
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        match (&self.detail, self.title.as_str()) {
            (Some(detail), _) => write!(f, " {detail}"),
            (None, "") => Ok(()),
            (None, title) => write!(f, " {title}"),
        }?;
        match self.extra.get("details").and_then(|details| details["stderr"].as_str()) {
            Some(stderr) if !stderr.is_empty() => {
                write!(f, ": {}", stderr.trim().chars().take(MAX_TITLE).collect::<String>())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_document_and_keeps_its_further_members() {
        let problem = Problem::read(
            404,
            br#"{"type":"urn:sandbox-agent:error:agent_not_installed","title":"T","status":404,"detail":"no codex","agent":"codex"}"#,
        );
        assert_eq!(problem.code(), "agent_not_installed");
        assert_eq!(problem.to_string(), "404 no codex");
        assert_eq!(problem.extra["agent"], "codex");
    }

    #[test]
    fn reads_what_is_no_document() {
        assert_eq!(Problem::read(413, b"length limit exceeded\n").to_string(), "413 length limit exceeded");
        assert_eq!(Problem::read(502, &[b'x'; 5000]).title.len(), MAX_TITLE);
        assert_eq!(Problem::read(500, b"").to_string(), "500");
    }
}
