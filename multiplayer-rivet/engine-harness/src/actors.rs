//! Making and calling actors.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{Engine, PATIENCE};

/// The actors of an engine, as a program without a client sees them.
#[derive(Clone, Debug)]
pub struct Actors {
    url: String,
    http: reqwest::Client,
}

impl Actors {
    /// Those of this engine.
    #[must_use]
    pub fn of(engine: &Engine) -> Self {
        Self { url: engine.url(), http: reqwest::Client::new() }
    }

    /// The engine's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Has the actor with this name and key, made if there is none, and gives its id.
    pub async fn create(&self, name: &str, key: &str) -> String {
        let wanted = json!({ "name": name, "key": key, "runner_name_selector": "default",
            "crash_policy": "sleep" });
        let since = Instant::now();
        loop {
            let request = self.http.put(format!("{}/actors?namespace=default", self.url)).json(&wanted);
            let answer = request.send().await.unwrap().text().await.unwrap();
            let made: Value = serde_json::from_str(&answer).unwrap_or_default();
            if let Some(id) = made["actor"]["actor_id"].as_str() {
                return id.to_owned();
            }
            // The runner may not have come to the engine yet.
            assert!(since.elapsed() < PATIENCE, "{answer}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Has the engine destroy an actor, which it begins before this returns.
    pub async fn destroy(&self, id: &str) {
        let request = self.http.delete(format!("{}/actors/{id}?namespace=default", self.url));
        let answer = timeout(PATIENCE, request.send()).await.unwrap().unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// Calls an action without arguments, which wakes the actor if it sleeps, and gives the answer as it
    /// is: the engine may have refused the call, as it does while an actor is on its way.
    pub async fn call(&self, id: &str, action: &str) -> reqwest::Result<reqwest::Response> {
        let call = self
            .http
            .post(format!("{}/gateway/{id}/action/{action}", self.url))
            .header("x-rivet-target", "actor")
            .header("x-rivet-actor", id)
            .header("x-rivet-encoding", "json")
            .json(&json!({ "args": [] }));
        timeout(PATIENCE, call.send()).await.unwrap()
    }
}
