//! Sends requests, with the provider's token where there is one.

use reqwest::header::AUTHORIZATION;
use reqwest::{Client, Request, RequestBuilder, Response, StatusCode};

use super::token::Token;
use super::{Http, transport};
use crate::error::{Delivery, Result};

impl Http {
    /// Sends a request. One that is refused for its token is sent once more with another one, where nothing can be
    /// done twice by that: the server itself says so, and so did nothing, or the request may be repeated anyway.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let Some(tokens) = &self.tokens else { return request.send().await.map_err(transport) };
        let (client, request) = request.build_split();
        let request = request.map_err(transport)?;
        let harmless = request.method().is_idempotent();
        // Each body of the SDK's is in memory, so that there is always a second one.
        let again = request.try_clone();
        let token = tokens.current().await?;
        let response = send_as(&client, request, &token).await?;
        let Some(again) = again.filter(|_| response.status() == StatusCode::UNAUTHORIZED) else {
            return Ok(response);
        };
        let refusal = match self.accept(response).await {
            Err(refusal) => refusal,
            accepted => return accepted,
        };
        if harmless || refusal.delivery() == Some(Delivery::NotSent) {
            return send_as(&client, again, &tokens.in_place_of(&token).await?).await;
        }
        // The next request has another one.
        tokens.refused(&token);
        Err(refusal)
    }
}

async fn send_as(client: &Client, mut request: Request, token: &Token) -> Result<Response> {
    request.headers_mut().insert(AUTHORIZATION, token.header()?);
    let mut response = client.execute(request).await.map_err(transport)?;
    // For who reads what the server says of it.
    response.extensions_mut().insert(token.clone());
    Ok(response)
}
