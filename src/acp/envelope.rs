//! JSON-RPC envelopes: made for the way out, read on the way in.

use sandbox_agent_persist::RawValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::error::{Delivery, Error, ErrorKind, Result};

/// An envelope of ours, with the id under which it is stored.
#[derive(Debug)]
pub(crate) struct Outbound {
    /// The JSON text of the JSON-RPC id, where an answer is wanted.
    pub(crate) rpc_id: Option<String>,
    pub(crate) payload: Box<RawValue>,
}

#[derive(Serialize)]
struct Call<'a, P> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    method: &'a str,
    params: P,
}

#[derive(Serialize)]
struct Reply<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

impl Outbound {
    /// A request. Its id is unique for ever: the server hangs two that share one.
    pub(crate) fn request(method: &str, params: impl Serialize) -> Result<Self> {
        let id = raw(&Uuid::new_v4().to_string())?;
        let payload = raw(&Call { jsonrpc: "2.0", id: Some(&id), method, params })?;
        Ok(Self { rpc_id: Some(id.get().to_owned()), payload })
    }

    pub(crate) fn notification(method: &str, params: impl Serialize) -> Result<Self> {
        let payload = raw(&Call { jsonrpc: "2.0", id: None, method, params })?;
        Ok(Self { rpc_id: None, payload })
    }

    /// The answer to a request of the agent's, whose id is given as its JSON text.
    pub(crate) fn reply(id: &str, answer: Result<Value, Value>) -> Result<Self> {
        let id: &RawValue = serde_json::from_str(id).map_err(unreadable)?;
        let (result, error) = match answer {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error)),
        };
        Ok(Self { rpc_id: None, payload: raw(&Reply { jsonrpc: "2.0", id, result, error })? })
    }
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>> {
    serde_json::value::to_raw_value(value)
        .map_err(|error| Error::invalid("the parameters can't be written as JSON").with_source(error))
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::protocol("the agent's message is not what the protocol says").with_source(error)
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(default, borrow)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
    message: String,
    #[serde(default)]
    data: Value,
}

/// How much of what an agent adds to an error is kept, in characters.
const DETAILS: usize = 500;

/// What an agent adds to an error: often only that tells what is wrong. It may repeat what it was sent, such as the
/// headers of an MCP server, so that it is a layer of its own, which the SDK's own log doesn't show.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Details(String);

impl RpcError {
    fn details(&self) -> Option<Details> {
        let details = self.data.as_str().or(self.data["details"].as_str()).or(self.data["message"].as_str());
        let details = details.map(str::trim).filter(|text| !text.is_empty() && *text != self.message)?;
        Some(Details(details.chars().take(DETAILS).collect()))
    }
}

/// The result in a response, or the agent's error.
pub(crate) fn read_answer<T: DeserializeOwned>(payload: &RawValue) -> Result<T> {
    let response: Response<'_> = serde_json::from_str(payload.get()).map_err(unreadable)?;
    if let Some(error) = response.error {
        let message = format!("the agent answered with error {}: {}", error.code, error.message);
        let kind = ErrorKind::Agent { code: error.code };
        let failure = Error::new(kind, message).with_delivery(Delivery::Executed);
        return Err(match error.details() {
            Some(details) => failure.with_source(details),
            None => failure,
        });
    }
    let result = response.result.map_or("null", RawValue::get);
    serde_json::from_str(result).map_err(|error| unreadable(error).with_delivery(Delivery::Executed))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What the agent adds, where anything.
    fn details_of(data: Value) -> Option<String> {
        let error = json!({ "code": -32603, "message": "Internal error", "data": data });
        let answer = raw(&json!({ "jsonrpc": "2.0", "id": 1, "error": error })).unwrap();
        let error = read_answer::<Value>(&answer).unwrap_err();
        assert_eq!(error.to_string(), "the agent answered with error -32603: Internal error");
        std::error::Error::source(&error).map(ToString::to_string)
    }

    #[test]
    fn what_an_agent_adds_to_its_error_is_the_cause_and_not_in_the_message() {
        for nothing in [Value::Null, json!(""), json!({ "details": 5 }), json!([1]), json!("Internal error")]
        {
            assert_eq!(details_of(nothing), None);
        }
        let exited = "the process exited with code 1";
        for added in [json!(exited), json!({ "details": exited }), json!({ "message": exited })] {
            assert_eq!(details_of(added).as_deref(), Some(exited));
        }
        assert_eq!(details_of(json!("x".repeat(9_000))).unwrap().len(), DETAILS);
    }
}
