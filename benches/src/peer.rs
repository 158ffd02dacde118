//! The TypeScript SDK: a Node.js process for each case.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// Where npm has installed the SDK, with the program that runs a case on it.
#[derive(Debug)]
pub struct Peer {
    folder: PathBuf,
}

impl Peer {
    /// The one in this folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The version that is installed.
    ///
    /// # Errors
    /// When none is.
    pub fn version(&self) -> Result<String> {
        let manifest = self.folder.join("node_modules/sandbox-agent/package.json");
        let text = std::fs::read_to_string(&manifest)
            .with_context(|| format!("the TypeScript SDK isn't installed: no {}", manifest.display()))?;
        let manifest: Value = serde_json::from_str(&text)?;
        Ok(manifest["version"].as_str().context("the TypeScript SDK has no version")?.to_owned())
    }

    /// What came of the case; `None` when it didn't end within `bound`, which ends the process.
    ///
    /// # Errors
    /// When node can't run it, or it has no result.
    pub async fn run<T: DeserializeOwned>(
        &self,
        case: &str,
        parameters: &Value,
        bound: Duration,
    ) -> Result<Option<T>> {
        match timeout(bound, self.watch(case, parameters, || ())).await {
            Ok(result) => result.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// What came of the case. At its mark, `marked` is called.
    ///
    /// # Errors
    /// When node can't run it, or it has no result.
    pub async fn watch<T: DeserializeOwned>(
        &self,
        case: &str,
        parameters: &Value,
        mut marked: impl FnMut(),
    ) -> Result<T> {
        let mut process = Command::new("node")
            .arg(self.folder.join("cases.mjs"))
            .args([case, &parameters.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the TypeScript SDK needs Node.js >= 20 on the PATH")?;
        let mut lines = BufReader::new(process.stdout.take().context("node has no stdout")?).lines();
        while let Some(line) = lines.next_line().await? {
            let mut line: Value =
                serde_json::from_str(&line).with_context(|| format!("node printed {line:?}"))?;
            if line["mark"] == true {
                marked();
            } else {
                return Ok(serde_json::from_value(line["result"].take())?);
            }
        }
        bail!("the case {case:?} has no result: node ended with {}", process.wait().await?)
    }
}
