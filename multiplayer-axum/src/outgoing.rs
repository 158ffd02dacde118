//! Frames on their way out, shared by all who get them.

use bytes::Bytes;

/// JSON on one line: what an agent wrote may have line breaks between its tokens, and only there.
pub(crate) fn line(json: Bytes) -> Bytes {
    if !json.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return json;
    }
    json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_one_line_is_not_copied() {
        let json = Bytes::from_static(br#"{"a":"b\nc"}"#);
        assert_eq!(line(json.clone()).as_ptr(), json.as_ptr());
        assert_eq!(line(Bytes::from_static(b"{\"a\":\r\n1}")), "{\"a\":  1}");
    }
}
