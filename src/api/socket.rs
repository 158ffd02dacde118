//! WebSockets, over the SDK's own HTTP client: so its proxy, its certificates and its headers hold for them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{StatusCode, Upgraded, Version};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::call::{Api, timed_out};
use super::operation::{Channel, Operation};
use crate::error::{Error, ErrorKind, Result};
use crate::http::{NO_LIMIT, transport, within};

/// A WebSocket to the server.
pub(crate) type Socket = WebSocketStream<Upgraded>;

/// The largest message. What the server sends are some KiB at once.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

impl Api {
    /// Opens a channel, within [`Limits::call`](crate::Limits::call).
    pub(crate) async fn open(
        &self,
        operation: &Operation<(), (), Channel>,
        arguments: &[&str],
    ) -> Result<Socket> {
        let limit = self.limits.call;
        within(limit, self.upgrade(operation, arguments))
            .await
            .map_err(|_| timed_out(operation.path, limit))?
    }

    async fn upgrade(&self, operation: &Operation<(), (), Channel>, arguments: &[&str]) -> Result<Socket> {
        let key = BASE64_STANDARD.encode(uuid::Uuid::new_v4());
        let request = self
            .request(operation, arguments, &())?
            .builder(&self.http)
            .version(Version::HTTP_11)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key)
            .timeout(NO_LIMIT);
        let response = self.http.send(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            self.http.accept(response).await?;
            return Err(Error::protocol(format!("{} opened no WebSocket", operation.path)));
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(|value| value.as_bytes());
        if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(Error::protocol(format!("{} opened no WebSocket of this request", operation.path)));
        }
        let stream = response.upgrade().await.map_err(transport)?;
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await)
    }
}

/// A WebSocket that broke.
pub(crate) fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unreachable, "the WebSocket broke").with_source(error)
}
