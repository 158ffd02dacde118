//! The baseline: the protocol by hand, with no more than an HTTP client.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// A stream that was silent this long after the answer has nothing more to give.
const SILENCE: Duration = Duration::from_secs(1);
/// Deleting a live agent may hang: the agent ends when the call is given up.
const DELETE_LIMIT: Duration = Duration::from_secs(2);

/// One agent process with one session.
#[derive(Debug)]
pub struct RawSession {
    client: Client,
    url: String,
    session: String,
}

impl RawSession {
    /// Starts a process of `agent` under a fresh server id, and a session in it.
    ///
    /// # Errors
    /// When the server can't be reached or refuses a call.
    pub async fn open(server: &str, agent: &str) -> Result<Self> {
        Self::open_with(Client::new(), server, agent).await
    }

    /// The same with a client that was made before.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub async fn open_with(client: Client, server: &str, agent: &str) -> Result<Self> {
        let url = format!("{}/v1/acp/{}", server.trim_end_matches('/'), Uuid::new_v4());
        let first = format!("{url}?agent={agent}");
        let mut raw = Self { client, url, session: String::new() };
        raw.call(&first, "initialize", json!({"protocolVersion": 1, "clientCapabilities": {}})).await?;
        let created = raw.call(&raw.url, "session/new", json!({"cwd": "/tmp", "mcpServers": []})).await?;
        raw.session = created["sessionId"].as_str().context("session/new gave no sessionId")?.to_owned();
        Ok(raw)
    }

    /// Prompts, and gives the bytes of the event stream as they came: read as fast as the
    /// socket gives them, looked at only afterwards, nothing asked for twice.
    ///
    /// # Errors
    /// When the server can't be reached, refuses the prompt or ends the stream.
    pub async fn prompt(&self, text: &str) -> Result<Vec<u8>> {
        let stream = self.client.get(&self.url).header("accept", "text/event-stream").send().await?;
        let mut stream = stream.error_for_status()?.bytes_stream();
        let mut answer = pin!(self.ask(text));
        let mut answered = false;
        let mut bytes = Vec::new();
        loop {
            tokio::select! {
                biased;
                chunk = stream.next() => bytes.extend_from_slice(&chunk.context("the event stream ended")??),
                result = &mut answer, if !answered => answered = result.map(|()| true)?,
                () = sleep(SILENCE), if answered => return Ok(bytes),
            }
        }
    }

    /// Prompts, and waits for the answer alone.
    ///
    /// # Errors
    /// When the server can't be reached or refuses the prompt.
    pub async fn ask(&self, text: &str) -> Result<()> {
        let prompt = json!({"sessionId": self.session, "prompt": [{"type": "text", "text": text}]});
        self.call(&self.url, "session/prompt", prompt).await.map(drop)
    }

    /// Ends the agent process.
    pub async fn close(self) {
        // Past the limit, giving the call up is what ends the agent.
        let _ = timeout(DELETE_LIMIT, self.client.delete(&self.url).send()).await;
    }

    async fn call(&self, url: &str, method: &str, params: Value) -> Result<Value> {
        let request =
            json!({"jsonrpc": "2.0", "id": Uuid::new_v4().to_string(), "method": method, "params": params});
        let response = self.client.post(url).json(&request).send().await?.error_for_status()?;
        let mut response: Value = response.json().await?;
        if let Some(error) = response.get("error") {
            bail!("{method}: {error}");
        }
        Ok(response["result"].take())
    }
}

/// The `id` of each event in `stream` whose data has `text`, in the order of the stream.
///
/// # Errors
/// When the stream isn't UTF-8 or an id isn't a number.
pub fn ids_of(stream: &[u8], text: &str) -> Result<Vec<u64>> {
    std::str::from_utf8(stream)?
        .split("\n\n")
        .filter(|event| event.contains(text))
        .filter_map(|event| event.lines().find_map(|line| line.strip_prefix("id:")))
        .map(|id| id.trim().parse().context("an event's id isn't a number"))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::ids_of;

    #[test]
    fn ids_are_those_of_the_events_with_the_text() {
        let stream = b": heartbeat\n\nevent: message\nid: 7\ndata: {\"method\":\"a\"}\n\nid: 8\ndata: {\"method\":\"b\"}\n\nid: 9\ndata: {\"method\":\"a\"}\n\n";
        assert_eq!(ids_of(stream, "\"a\"").unwrap(), [7, 9]);
    }
}
