//! JSON text as a value, whatever it says.

use serde_json::{Map, Number, Value};

use crate::json::{Token, Tokens, unquoted};

/// A list or an object that is not at its end.
enum Open {
    List(Vec<Value>),
    Object(Map<String, Value>, Option<String>),
}

impl Open {
    fn add(&mut self, value: Value) {
        match self {
            Self::List(values) => values.push(value),
            Self::Object(members, name) => {
                members.insert(name.take().unwrap_or_default(), value);
            }
        }
    }
}

/// Reads valid JSON text. Unlike a parser it has no limit of depth and refuses no text or number.
pub(crate) fn read(json: &str) -> Value {
    let mut open: Vec<Open> = Vec::new();
    for token in Tokens::of(json) {
        let value = match token {
            Token::BeginObject => {
                open.push(Open::Object(Map::new(), None));
                continue;
            }
            Token::BeginArray => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Token::Text(text) => match open.last_mut() {
                Some(Open::Object(_, name @ None)) => {
                    *name = Some(unquoted(text).into_owned());
                    continue;
                }
                _ => Value::String(unquoted(text).into_owned()),
            },
            Token::End => match open.pop() {
                Some(Open::List(values)) => Value::Array(values),
                Some(Open::Object(members, _)) => Value::Object(members),
                None => Value::Null,
            },
            Token::Number(number) => number.parse::<Number>().map_or(Value::Null, Value::Number),
            Token::Word("true") => Value::Bool(true),
            Token::Word("false") => Value::Bool(false),
            Token::Word(_) => Value::Null,
        };
        match open.last_mut() {
            Some(open) => open.add(value),
            None => return value,
        }
    }
    Value::Null
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_parser_reads_is_read_the_same() {
        for text in [
            r#"{"a":{"b":[1,-2,3.5,1e2,-0,12345678901234567890,123456789012345678901]},"":[[],{}],"x":"y"}"#,
            r#" [ true , false , null , "é\n\ud83d\ude00" ] "#,
            r#""text""#,
            "7",
            r#"{"twice":1,"twice":2}"#,
        ] {
            assert_eq!(read(text), serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn what_a_parser_refuses_is_read_as_javascript_would_write_it() {
        assert_eq!(read(r#"{"\ud800":["\udc00", 1e999]}"#), json!({ "\u{FFFD}": ["\u{FFFD}", null] }));
        let mut deep = &read(&format!("{}{}", "[".repeat(1000), "]".repeat(1000)));
        let mut depth = 1;
        while let Some(inner) = deep.get(0) {
            (deep, depth) = (inner, depth + 1);
        }
        assert_eq!(depth, 1000);
    }
}
