//! Values of a schema: with all that it has, and with what a newer server may have.

use serde_json::{Map, Value, json};

use super::document::Document;

/// A text that no version knows.
const NEW: &str = "of-a-newer-server";

/// Values that must come back as they are: every member is set, and each choice is made once.
pub(super) fn of(document: &Document, schema: &Value) -> Vec<Value> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or_default();
        return of(document, &document.schema(name));
    }
    if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
        return of(document, only);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().flat_map(|choice| of(document, choice)).collect();
    }
    if let Some(values) = schema["enum"].as_array() {
        let mut values = values.clone();
        values.push(json!(NEW));
        return values;
    }
    match schema["type"].as_str() {
        Some("string") => vec![json!("text")],
        Some("boolean") => vec![json!(true), json!(false)],
        Some("integer") => vec![json!(7)],
        Some("number") => vec![json!(0.5)],
        Some("array") => vec![Value::Array(of(document, &schema["items"]))],
        Some("object") => objects(document, schema),
        // Left open by the document.
        None => vec![json!({"any": [1]})],
        other => panic!("a schema of type {other:?}"),
    }
}

fn objects(document: &Document, schema: &Value) -> Vec<Value> {
    if let (None, Some(values)) = (schema.get("properties"), schema.get("additionalProperties")) {
        return of(document, values).into_iter().map(|value| json!({"name": value})).collect();
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    let choices: Vec<_> = properties.map(|(name, schema)| (name, of(document, schema))).collect();
    let first: Map<_, _> =
        choices.iter().map(|(name, values)| ((*name).clone(), values[0].clone())).collect();
    let others = choices.iter().flat_map(|(name, values)| {
        let with = |value: &Value| {
            let mut object = first.clone();
            object.insert((*name).clone(), value.clone());
            object.into()
        };
        values[1..].iter().map(with).collect::<Vec<_>>()
    });
    std::iter::once(first.clone().into()).chain(others).collect()
}

/// Values that must be read, whatever is left of them: with no more than must be there, and with a member
/// that is new.
pub(super) fn tolerated(document: &Document, schema: &Value) -> Vec<Value> {
    let Some(name) = schema["$ref"].as_str() else {
        return if schema["type"] == "object" { of_object(document, schema) } else { Vec::new() };
    };
    let schema = document.schema(name.rsplit('/').next().unwrap_or_default());
    if schema["type"] == "object" { of_object(document, &schema) } else { Vec::new() }
}

fn of_object(document: &Document, schema: &Value) -> Vec<Value> {
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
    objects(document, schema)
        .into_iter()
        .flat_map(|value| {
            let mut more = value.clone();
            more[NEW] = json!({"a": 1});
            let mut least = value;
            if let Value::Object(members) = &mut least {
                members.retain(|name, _| required.iter().any(|required| *required == name));
            }
            [more, least]
        })
        .collect()
}

/// What is not set is the same as what is not there.
pub(super) fn without_nulls(mut value: Value) -> Value {
    fn remove(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|_, member| !member.is_null());
                members.values_mut().for_each(remove);
            }
            Value::Array(values) => values.iter_mut().for_each(remove),
            _ => {}
        }
    }
    remove(&mut value);
    value
}
