//! Clients that are npm's `rivetkit`, in a process of Node.js.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::line::Seen;
use crate::turn::KEY;

/// Says where the package and the program that uses it are.
const FOLDER: &str = "ENGINE_JAVASCRIPT";

pub(crate) struct Npm {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Npm {
    /// Clients of these names, all of them connected, which watch until the prompt is over.
    pub(crate) async fn start(
        engine: &str,
        names: &[String],
        prompt: &str,
        after: Option<u64>,
    ) -> Result<Self> {
        let folder = std::env::var_os(FOLDER).map(PathBuf::from).with_context(|| format!("set {FOLDER}"))?;
        let told =
            json!({ "endpoint": engine, "key": KEY, "prompt": prompt, "names": names, "after": after });
        let mut child = Command::new("node")
            .arg(folder.join("watch.mjs"))
            .arg(told.to_string())
            // A package that makes it faster, and is not installed.
            .env("CBOR_NATIVE_ACCELERATION_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("Node.js does not start")?;
        let stdout = child.stdout.take().context("Node.js has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        // The package's log goes the same way.
        while let Some(line) = lines.next_line().await? {
            if line == "ready" {
                return Ok(Self { child, lines });
            }
        }
        bail!("the clients of npm's package did not connect");
    }

    pub(crate) async fn seen(mut self) -> Result<Vec<Seen>> {
        let mut all = Vec::new();
        while let Some(line) = self.lines.next_line().await? {
            if line.starts_with(r#"{"name":"#) {
                all.push(
                    serde_json::from_str(&line).context("a client of npm's package said something else")?,
                );
            }
        }
        self.child.wait().await?;
        Ok(all)
    }
}
