//! Puts a folder into the sandbox, looks at it there, and gets it back, whatever its size.
//!
//! `SANDBOX_AGENT_URL` names the server. Needs the feature `files`.

use std::env;
use std::error::Error;
use std::path::Path;

use futures::TryStreamExt;
use sandbox_agent_sdk::SandboxAgent;
use sandbox_agent_sdk::api::fs::{Fs, Transfer};
use tempfile::tempdir;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("SANDBOX_AGENT_URL").unwrap_or_else(|_| "http://127.0.0.1:2468".to_owned());
    let sdk = SandboxAgent::connect(url).await?;
    let outcome = run(&sdk.fs()).await;
    sdk.close().await?;
    outcome
}

async fn run(fs: &Fs) -> Result<(), Box<dyn Error>> {
    let here = tempdir()?;
    let project = here.path().join("project");
    std::fs::create_dir_all(project.join("data"))?;
    std::fs::write(project.join("README.md"), "# A project\n")?;
    // Over the 2 MiB that the server takes at once.
    std::fs::write(project.join("data/large.bin"), vec![7; 5 * 1024 * 1024])?;

    // The sandbox's own name for it, so that no other run is in the way.
    let there = format!("/tmp/example-files-{}", std::process::id());
    let outcome = there_and_back(fs, &project, &there, &here.path().join("back")).await;
    fs.delete(&there, true).await?;
    outcome
}

async fn there_and_back(fs: &Fs, project: &Path, there: &str, back: &Path) -> Result<(), Box<dyn Error>> {
    let shown = Transfer::new().progress(|progress| println!("sent {progress}"));
    fs.upload_dir(project, there, shown).await?;
    fs.write(&format!("{there}/data/small.txt"), "written by itself").await?;

    let mut entries = fs.walk(there, 3);
    while let Some(entry) = entries.try_next().await? {
        println!("{} {} ({} bytes)", entry.entry_type, &entry.path[there.len()..], entry.size);
    }

    let got = fs.download_dir(there, back, Transfer::new()).await?;
    println!("got {} bytes, SHA-256 {}", got.bytes, got.sha256);
    println!("{}", std::fs::read_to_string(back.join("data/small.txt"))?);
    Ok(())
}
