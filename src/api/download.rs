//! An answer that is read as it comes.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use reqwest::Response;
use serde::Serialize;
use tokio::time::timeout;

use super::call::Api;
use super::operation::{Octets, Operation};
use super::retry::tried;
use crate::error::{Error, ErrorKind, Result};
use crate::http::{NO_LIMIT, transport};

impl Api {
    /// Begins to read an answer, within [`Limits::call`](crate::Limits::call) a try.
    pub(crate) async fn download<Q: Serialize>(
        &self,
        operation: &Operation<Q, (), Octets>,
        arguments: &[&str],
        query: &Q,
    ) -> Result<ByteStream> {
        let address = self.request(operation, arguments, query)?;
        let address = &address;
        let begin = || async move {
            let request = address.builder(&self.http).timeout(NO_LIMIT);
            self.http.accept(self.http.send(request).await?).await
        };
        let response = tried(operation, &self.limits, self.limits.call, begin).await?;
        Ok(ByteStream::new(response, self))
    }
}

/// Bytes as they come: a `Stream`.
///
/// It may be as long as it is; each part comes within [`Limits::heartbeat`](crate::Limits::heartbeat), or the
/// stream ends with [`Unreachable`](ErrorKind::Unreachable), as it does when the connection breaks. When it ends
/// without an error it is whole.
#[must_use = "nothing is read before it is polled"]
pub struct ByteStream {
    bytes: BoxStream<'static, Result<Bytes>>,
    length: Option<u64>,
}

impl ByteStream {
    fn new(response: Response, api: &Api) -> Self {
        let length = response.content_length();
        let (silence, stop) = (api.limits.heartbeat, api.stop.clone());
        let bytes = stream::try_unfold(response, move |mut response| {
            let stop = stop.clone();
            async move {
                let chunk = timeout(silence, response.chunk());
                let chunk = stop.run_until_cancelled(chunk).await.ok_or_else(Error::closed)?;
                let silent = |_| {
                    Error::new(ErrorKind::Unreachable, format!("the connection was silent for {silence:?}"))
                };
                let chunk = chunk.map_err(silent)?.map_err(transport)?;
                Ok(chunk.map(|chunk| (chunk, response)))
            }
        });
        Self { bytes: bytes.boxed(), length }
    }

    /// How many bytes there will be, where the server says so.
    pub fn length(&self) -> Option<u64> {
        self.length
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.bytes.poll_next_unpin(cx)
    }
}
