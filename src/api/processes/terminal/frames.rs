//! What is said on a terminal's WebSocket.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::api::processes::TerminalSize;

/// To the server.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum ClientFrame<'a> {
    Input { data: &'a str, encoding: &'static str },
    Resize { cols: u16, rows: u16 },
}

/// From the server. What is of a type that this version doesn't know is passed over.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(super) enum ServerFrame {
    /// Input is taken from now on.
    Ready,
    /// The process has ended.
    Exit,
    /// A frame of ours was not taken.
    Error {
        #[serde(default)]
        message: String,
    },
    #[serde(other)]
    Unknown,
}

pub(super) fn input(bytes: &[u8]) -> String {
    print(&ClientFrame::Input { data: &BASE64_STANDARD.encode(bytes), encoding: "base64" })
}

pub(super) fn resize(size: TerminalSize) -> String {
    print(&ClientFrame::Resize { cols: size.cols, rows: size.rows })
}

fn print(frame: &ClientFrame<'_>) -> String {
    // Strings and numbers alone: there is nothing that JSON could not hold.
    serde_json::to_string(frame).unwrap_or_default()
}

pub(super) fn read(text: &str) -> ServerFrame {
    serde_json::from_str(text).unwrap_or(ServerFrame::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_the_server_has_them() {
        assert_eq!(input(b"\xff\n"), r#"{"type":"input","data":"/wo=","encoding":"base64"}"#);
        assert_eq!(resize(TerminalSize { cols: 80, rows: 24 }), r#"{"type":"resize","cols":80,"rows":24}"#);
        assert_eq!(read(r#"{"exitCode":5,"type":"exit"}"#), ServerFrame::Exit);
        assert_eq!(read(r#"{"type":"ready","processId":"p"}"#), ServerFrame::Ready);
        assert_eq!(read(r#"{"type":"error","message":"m"}"#), ServerFrame::Error { message: "m".into() });
        assert_eq!(read(r#"{"type":"bell"}"#), ServerFrame::Unknown);
        assert_eq!(read("no JSON"), ServerFrame::Unknown);
    }
}
