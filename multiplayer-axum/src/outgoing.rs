//! Frames on their way out, shared by all who get them.

use bytes::Bytes;
use sandbox_agent_multiplayer::Frame;
use serde_json::json;

/// A frame's JSON, or, where that is above the limit, what names it.
pub(crate) fn json(frame: &Frame, limit: usize) -> Bytes {
    let json = frame.json();
    if json.len() <= limit {
        return json;
    }
    let data = json!({ "type": frame.body.kind(), "bytes": json.len() });
    let (from, at, sequence) = (frame.from, frame.at, frame.sequence);
    json!({ "sequence": sequence, "from": from, "at": at, "type": "large", "data": data }).to_string().into()
}

/// The same on one line: what an agent wrote may have line breaks between its tokens, and only there.
pub(crate) fn line(json: Bytes) -> Bytes {
    if !json.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return json;
    }
    json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_one_line_is_not_copied() {
        let json = Bytes::from_static(br#"{"a":"b\nc"}"#);
        assert_eq!(line(json.clone()).as_ptr(), json.as_ptr());
        assert_eq!(line(Bytes::from_static(b"{\"a\":\r\n1}")), "{\"a\":  1}");
    }

    #[test]
    fn what_is_above_the_limit_is_named() {
        let text = r#"{"sequence":7,"type":"chat.user","data":{"sessionId":"s","promptId":"p","userId":"u","text":"hello","createdAt":1}}"#;
        let frame = Frame::from_json(text).unwrap();
        assert_eq!(json(&frame, 1024).as_ptr(), frame.json().as_ptr());
        let named: serde_json::Value = serde_json::from_slice(&json(&frame, 20)).unwrap();
        assert_eq!(
            (&named["type"], &named["sequence"], &named["data"]["type"]),
            (&"large".into(), &7.into(), &"chat.user".into())
        );
    }
}
