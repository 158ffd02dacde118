//! The server's document, as far as it is compared.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// What the server of version 0.5.5 generates of itself.
const DOCUMENT: &str = include_str!("../../../tests/openapi/sandbox-agent-0.5.5.json");

pub(super) struct Document(Value);

/// One operation.
pub(super) struct Parts {
    pub(super) query: Option<Vec<Parameter>>,
    pub(super) body: Content,
    pub(super) answer: Content,
}

pub(super) struct Parameter {
    pub(super) name: String,
    required: bool,
    schema: Value,
}

pub(super) enum Content {
    None,
    Octets,
    Channel,
    Json(Value),
}

impl Content {
    /// A query, as an object.
    pub(super) fn of(parameters: Vec<Parameter>) -> Self {
        if parameters.is_empty() {
            return Self::None;
        }
        let required: Vec<_> =
            parameters.iter().filter(|parameter| parameter.required).map(|one| one.name.clone()).collect();
        let properties: Map<_, _> =
            parameters.into_iter().map(|parameter| (parameter.name, parameter.schema)).collect();
        Self::Json(json!({"type": "object", "properties": properties, "required": required}))
    }
}

impl Document {
    #[allow(clippy::unwrap_used)]
    pub(super) fn read() -> Self {
        let mut document: Value = serde_json::from_str(DOCUMENT).unwrap();
        // It refers to these and has them not; so they were on the wire.
        let missing = json!({
            "McpCommand": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            "McpRemoteTransport": {"type": "string", "enum": ["http", "sse"]},
            "McpOAuthConfigOrDisabled": {"oneOf": [{"type": "boolean"}, {"type": "object", "properties": {
                "clientId": {"type": "string"}, "clientSecret": {"type": "string"}, "scope": {"type": "string"},
            }}]},
        });
        let schemas = document["components"]["schemas"].as_object_mut().unwrap();
        for (name, schema) in missing.as_object().unwrap() {
            assert_eq!(schemas.insert(name.clone(), schema.clone()), None, "the document has {name} by now");
        }
        Self(document)
    }

    pub(super) fn schema(&self, name: &str) -> Value {
        let schema = self.0["components"]["schemas"].get(name);
        schema.unwrap_or_else(|| panic!("the document has no {name}")).clone()
    }

    /// The names of all enums.
    pub(super) fn enums(&self) -> Vec<String> {
        let schemas = self.0["components"]["schemas"].as_object().into_iter().flatten();
        schemas.filter(|(_, schema)| schema.get("enum").is_some()).map(|(name, _)| name.clone()).collect()
    }

    /// The names of all operations: method and path.
    pub(super) fn operations(&self) -> BTreeSet<String> {
        let paths = self.0["paths"].as_object().into_iter().flatten();
        let methods = |(path, methods): (&String, &Value)| {
            let names = methods.as_object().into_iter().flatten();
            names.map(|(method, _)| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
        };
        paths.flat_map(methods).collect()
    }

    pub(super) fn operation(&self, name: &str) -> Option<Parts> {
        let (method, path) = name.split_once(' ')?;
        let operation = self.0["paths"].get(path)?.get(method.to_lowercase())?;
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let query: Vec<_> = parameters
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| Parameter {
                name: parameter["name"].as_str().unwrap_or_default().to_owned(),
                required: parameter["required"] == true,
                schema: parameter["schema"].clone(),
            })
            .collect();
        let body = match operation.get("requestBody") {
            None => Content::None,
            Some(body) => match body["content"].get("application/json") {
                Some(json) => Content::Json(json["schema"].clone()),
                None => Content::Octets,
            },
        };
        let (status, answer) =
            operation["responses"].as_object()?.iter().find(|(status, _)| status.as_str() < "300")?;
        let answer = match (status.as_str(), answer["content"].get("application/json")) {
            ("101", _) => Content::Channel,
            ("204", _) => Content::None,
            (_, Some(json)) => Content::Json(json["schema"].clone()),
            // The document says nothing of answers that are no JSON.
            (_, None) => Content::Octets,
        };
        Some(Parts { query: Some(query), body, answer })
    }
}
