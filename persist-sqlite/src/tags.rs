//! Tags: a JSON array in a column, in which SQLite finds a whole tag as a piece of text.

use std::collections::BTreeSet;

/// The array with each tag in a line of its own; `None` when there is none.
///
/// A tag can so be found by [`piece`]. SQLite's own functions for JSON end a text at a NUL.
pub(crate) fn print(tags: &BTreeSet<String>) -> Option<String> {
    // Strings always print.
    (!tags.is_empty()).then(|| serde_json::to_string_pretty(tags).ok()).flatten()
}

/// The JSON array of what each of these tags looks like in a printed array; `None` when there is none.
pub(crate) fn pieces(tags: &[String]) -> Option<String> {
    let pieces: Vec<_> = tags.iter().map(|tag| piece(tag)).collect();
    (!pieces.is_empty()).then(|| serde_json::Value::from(pieces).to_string())
}

/// It begins where a line begins, and ends with the quote that ends the tag: the piece of no other tag has it.
fn piece(tag: &str) -> String {
    format!("\n  {}", serde_json::Value::from(tag))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_whole_and_no_other() {
        let tricky =
            ["a", "b", "ab", "", ",", "\",\n  \"a", "\"", "\\", "\\\"", "\n  ", "a\0b", "ü", "  \"a\""];
        for held in tricky {
            for also in tricky {
                let printed = print(&[held, also].map(str::to_owned).into()).unwrap();
                for wanted in tricky {
                    let found = printed.contains(&piece(wanted));
                    assert_eq!(found, wanted == held || wanted == also, "{wanted:?} in {printed}");
                }
            }
        }
        assert_eq!(print(&BTreeSet::new()), None);
        assert_eq!(pieces(&[]), None);
    }

    #[test]
    fn the_pieces_are_the_same_in_json() {
        let tags = ["a\0b", "\"\n"].map(str::to_owned);
        let read: Vec<String> = serde_json::from_str(&pieces(&tags).unwrap()).unwrap();
        assert_eq!(read, tags.map(|tag| piece(&tag)));
        assert!(read.iter().all(|piece| !piece.contains('\0')));
    }
}
