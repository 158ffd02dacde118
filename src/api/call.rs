//! One call: sent within its time, tried again where that can do no harm, its answer read within its size.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::operation::{Operation, Repeats};
use super::retry::tried;
use crate::client::Guard;
use crate::error::{Delivery, Error, ErrorKind, Limit, Result};
use crate::http::{Http, NO_LIMIT, read_capped};
use crate::limits::Limits;

const JSON: &str = "application/json";

/// The server as the handles of all areas see it.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) http: Http,
    pub(crate) limits: Limits,
    pub(crate) runtime: Handle,
    pub(crate) stop: CancellationToken,
    /// A handle in use keeps the SDK from ending.
    pub(crate) _guard: Arc<Guard>,
}

/// The bytes of a body, and what they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content(Option<(Bytes, &'static str)>);

impl Content {
    pub(crate) fn new(bytes: Bytes, kind: &'static str) -> Self {
        Self(Some((bytes, kind)))
    }

    fn json<B: Serialize>(body: &B) -> Result<Self> {
        let unfit = |error| Error::invalid("the request can't be put into JSON").with_source(error);
        match serde_json::to_value(body).map_err(unfit)? {
            // `()` is no body.
            Value::Null => Ok(Self::default()),
            mut value => {
                leave_out_nulls(&mut value);
                Ok(Self::new(value.to_string().into(), JSON))
            }
        }
    }

    fn attach(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.0 {
            Some((bytes, kind)) => request.header(CONTENT_TYPE, *kind).body(bytes.clone()),
            None => request,
        }
    }
}

impl Api {
    /// Calls an operation that takes and gives JSON, or nothing: then the type is `()`.
    pub(crate) async fn call<Q: Serialize, B: Serialize, R: DeserializeOwned>(
        &self,
        operation: &Operation<Q, B, R>,
        arguments: &[&str],
        query: &Q,
        body: &B,
    ) -> Result<R> {
        self.call_within(self.limits.call, operation, arguments, query, body).await
    }

    /// The same for one that may take longer than others.
    pub(crate) async fn call_within<Q: Serialize, B: Serialize, R: DeserializeOwned>(
        &self,
        limit: Duration,
        operation: &Operation<Q, B, R>,
        arguments: &[&str],
        query: &Q,
        body: &B,
    ) -> Result<R> {
        let bytes = self.exchange(limit, operation, arguments, query, Content::json(body)?).await?;
        let bytes = if bytes.is_empty() { b"null" } else { &bytes[..] };
        serde_json::from_slice(bytes).map_err(|error| {
            Error::protocol(format!("the server's answer to {} can't be read", operation.path))
                .with_source(error)
        })
    }

    /// Calls an operation, and reads its whole answer as it comes.
    pub(crate) async fn exchange<Q: Serialize, B, R>(
        &self,
        limit: Duration,
        operation: &Operation<Q, B, R>,
        arguments: &[&str],
        query: &Q,
        content: Content,
    ) -> Result<Vec<u8>> {
        let request = self.request(operation, arguments, query)?;
        let (request, content) = (&request, &content);
        let answer = || async move {
            let response = self.send(request.builder(&self.http), content).await?;
            read_capped(response, self.limits.answer_bytes).await
        };
        tried(operation, &self.limits, limit, answer).await
    }

    /// The address of an operation with its arguments, for as many requests as it takes.
    pub(crate) fn request<'a, Q: Serialize, B, R>(
        &self,
        operation: &Operation<Q, B, R>,
        arguments: &[&'a str],
        query: &Q,
    ) -> Result<Address<'a>> {
        let segments = operation.segments(arguments)?;
        let (method, repeats) = (operation.method.clone(), operation.repeats);
        Ok(Address { method, repeats, segments, query: pairs(query)? })
    }

    async fn send(&self, request: RequestBuilder, content: &Content) -> Result<Response> {
        let request = content.attach(request.header(ACCEPT, "application/json, */*")).timeout(NO_LIMIT);
        self.http.accept(self.http.send(request).await?).await
    }
}

/// The answer of an operation; no answer is `()`.
pub(crate) fn read<Q, B, R: DeserializeOwned>(operation: &Operation<Q, B, R>, answer: &[u8]) -> Result<R> {
    let answer = if answer.is_empty() { b"null" } else { answer };
    serde_json::from_slice(answer).map_err(|error| {
        Error::protocol(format!("the server's answer to {} can't be read", operation.path)).with_source(error)
    })
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Address<'a> {
    method: reqwest::Method,
    repeats: Repeats,
    segments: Vec<&'a str>,
    query: Vec<(String, String)>,
}

impl Address<'_> {
    pub(crate) fn builder(&self, http: &Http) -> RequestBuilder {
        let query: Vec<_> = self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let method = self.method.clone();
        match self.repeats {
            Repeats::Yes => http.repeatable_with(method, &self.segments, &query),
            Repeats::No => http.request_with(method, &self.segments, &query),
        }
    }
}

/// The members of a query as the pairs that go into an address; what is not set is left out.
fn pairs(query: &impl Serialize) -> Result<Vec<(String, String)>> {
    let members = match serde_json::to_value(query) {
        Ok(Value::Object(members)) => members,
        Ok(_) => return Ok(Vec::new()),
        Err(error) => return Err(Error::invalid("the query can't be put into an address").with_source(error)),
    };
    let text = |value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    Ok(members.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect())
}

/// What is not set is not sent: a server that doesn't know a member yet never sees it.
fn leave_out_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(leave_out_nulls);
        }
        Value::Array(values) => values.iter_mut().for_each(leave_out_nulls),
        _ => {}
    }
}

pub(crate) fn timed_out(path: &str, limit: Duration) -> Error {
    let message = format!("{path} was not answered within {limit:?}; call again, or allow more time");
    Error::new(ErrorKind::TimedOut(Limit::Call), message).with_delivery(Delivery::Unknown)
}

#[cfg(test)]
mod tests;
