//! Processes.

use anyhow::Result;
use reqwest::Method;
use sandbox_agent_sdk::api::processes::{
    ProcessConfig, ProcessCreateRequest, ProcessInfo, ProcessLogsQuery, ProcessLogsResponse,
    ProcessRunRequest, ProcessRunResponse,
};
use serde::Deserialize;
use serde_json::json;

use crate::bare;
use crate::bench::Bench;

#[derive(Deserialize)]
struct Listed {
    processes: Vec<ProcessInfo>,
}

pub(crate) async fn measure(bench: &mut Bench) -> Result<()> {
    let processes = bench.sdk.processes();
    let bare = bench.bare.clone();
    let mut started = Vec::new();
    for _ in 0..4 {
        started.push(processes.create(&ProcessCreateRequest::new("sleep").arg("1000")).await?.id);
    }
    // Some 100 KB of output, and at its end it says so.
    let shell = ProcessCreateRequest::new("sh").args(["-c", "seq 1 20000; exec sleep 1000"]);
    let id = processes.create(&shell).await?.id;
    started.push(id.clone());
    while !ends_with(&processes.logs(&id, &ProcessLogsQuery::new()).await?, b"20000\n")? {}

    let config = async || bare.get::<ProcessConfig>("/v1/processes/config", &[]).await;
    bench.compare("processes config", async || Ok(processes.config().await?), config).await?;

    let list = async || Ok(bare.get::<Listed>("/v1/processes", &[]).await?.processes);
    bench.compare("processes list, 5 of them", async || Ok(processes.list(None).await?), list).await?;

    let path = format!("/v1/processes/{id}");
    let get = async || bare.get::<ProcessInfo>(&path, &[]).await;
    bench.compare("processes get", async || Ok(processes.get(&id).await?), get).await?;

    let path = format!("/v1/processes/{id}/logs");
    let logs = async || bare.get::<ProcessLogsResponse>(&path, &[]).await;
    let query = ProcessLogsQuery::new();
    bench
        .compare("processes logs, 100 KB of them", async || Ok(processes.logs(&id, &query).await?), logs)
        .await?;

    let request = ProcessRunRequest::new("true");
    let run = async || {
        let body = json!({"command": "true", "args": []});
        let request = bare.request(Method::POST, "/v1/processes/run", &[])?;
        bare::json::<ProcessRunResponse>(request.json(&body)).await
    };
    bench.compare("processes run, `true`", async || Ok(processes.run(&request).await?), run).await?;
    // What was started ends with it, and nobody else's.
    for id in &started {
        processes.kill(id, None).await?;
    }
    Ok(())
}

fn ends_with(logs: &ProcessLogsResponse, end: &[u8]) -> Result<bool> {
    Ok(match logs.entries.last() {
        Some(entry) => entry.bytes()?.ends_with(end),
        None => false,
    })
}
