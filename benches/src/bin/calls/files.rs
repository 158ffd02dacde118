//! Files.

use anyhow::Result;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use sandbox_agent_sdk::api::fs::{FsEntry, FsStat, FsWriteResponse};
use serde_json::Value;

use crate::bare::{answer, json};
use crate::bench::Bench;

const ENTRIES: usize = 100;
const SMALL: usize = 4 * 1024;
const LARGE: usize = 1024 * 1024;

pub(crate) async fn measure(bench: &mut Bench) -> Result<()> {
    let fs = bench.sdk.fs();
    let bare = bench.bare.clone();
    let (folder, made) = (bench.path("entries"), bench.path("made"));
    for number in 0..ENTRIES {
        fs.write(&format!("{folder}/{number}.txt"), "some text").await?;
    }
    let file = format!("{folder}/1.txt");
    let (at, query) = (file.as_str(), [("path", file.as_str())]);
    let stat = async || bare.get::<FsStat>("/v1/fs/stat", &query).await;
    bench.compare("fs stat", async || Ok(fs.stat(at).await?), stat).await?;
    let pooled = bench.pooled.clone();
    let stat = async || pooled.get::<FsStat>("/v1/fs/stat", &query).await;
    bench.tell("fs stat, beside a kept connection", async || Ok(fs.stat(at).await?), stat).await?;
    let keeping = bench.keeping.fs();
    let kept = async || Ok(keeping.stat(at).await?);
    bench.compare("fs stat, both over kept connections", kept, stat).await?;

    let entries = async || bare.get::<Vec<FsEntry>>("/v1/fs/entries", &[("path", &folder)]).await;
    bench.compare("fs entries, 100 of them", async || Ok(fs.entries(&folder).await?), entries).await?;

    let mkdir = async || {
        json::<Value>(bare.request(Method::POST, "/v1/fs/mkdir", &[("path", &made)])?).await.map(drop)
    };
    bench.compare("fs mkdir", async || Ok(fs.mkdir(&made).await?), mkdir).await?;

    for (name, length) in [("4 KiB", SMALL), ("1 MiB", LARGE)] {
        let content = bytes::Bytes::from(vec![7; length]);
        let file = bench.path(name);
        let query = [("path", file.as_str())];
        let write = async || {
            let request = bare.request(Method::PUT, "/v1/fs/file", &query)?;
            let request = request.header(CONTENT_TYPE, "application/octet-stream").body(content.clone());
            json::<FsWriteResponse>(request).await
        };
        let ours = async || Ok(fs.write(&file, content.clone()).await?);
        bench.compare(&format!("fs write, {name}"), ours, write).await?;
        let read = async || answer(bare.request(Method::GET, "/v1/fs/file", &query)?).await;
        bench.compare(&format!("fs read, {name}"), async || Ok(fs.read(&file).await?), read).await?;
    }
    Ok(())
}
