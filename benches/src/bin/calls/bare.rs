//! The baseline: a request and its answer, with no more than an HTTP client.

use anyhow::Result;
use reqwest::{Client, Method, RequestBuilder, Url};
use serde::de::DeserializeOwned;

/// A client with no more than a base address.
#[derive(Clone)]
pub(crate) struct Bare {
    client: Client,
    base: String,
}

impl Bare {
    /// One that connects for each request, as the SDK's own does.
    pub(crate) fn new(base: &str) -> Result<Self> {
        Ok(Self::of(Client::builder().pool_max_idle_per_host(0).build()?, base))
    }

    /// One that keeps its connections, as most programs have it.
    pub(crate) fn pooled(base: &str) -> Result<Self> {
        Ok(Self::of(Client::builder().build()?, base))
    }

    fn of(client: Client, base: &str) -> Self {
        Self { client, base: base.trim_end_matches('/').to_owned() }
    }

    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<RequestBuilder> {
        let url = format!("{}{path}", self.base);
        let url = if query.is_empty() { Url::parse(&url)? } else { Url::parse_with_params(&url, query)? };
        Ok(self.client.request(method, url))
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        json(self.request(Method::GET, path, query)?).await
    }
}

/// Sends a request, and reads its answer into what the SDK gives.
pub(crate) async fn json<T: DeserializeOwned>(request: RequestBuilder) -> Result<T> {
    Ok(serde_json::from_slice(&answer(request).await?)?)
}

/// Sends a request, and reads its answer.
pub(crate) async fn answer(request: RequestBuilder) -> Result<bytes::Bytes> {
    Ok(request.send().await?.error_for_status()?.bytes().await?)
}
