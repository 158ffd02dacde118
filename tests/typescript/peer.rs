//! The TypeScript SDK: a Node.js process for each command of `sessions.mjs`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

const FOLDER: &str = "TYPESCRIPT_PEER";
/// Far more than a command takes.
const LIMIT: Duration = Duration::from_secs(60);

/// What the command printed.
pub async fn run(command: &str, parameters: &Value) -> Value {
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    let folder =
        folder.expect("TYPESCRIPT_PEER must name the TypeScript SDK's folder: `cargo xtask test` sets it");
    let node = Command::new("node")
        .arg(folder.join("sessions.mjs"))
        .args([command, &parameters.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output =
        timeout(LIMIT, node).await.expect("node did not end").expect("node >= 20 must be on the PATH");
    assert!(output.status.success(), "{command}: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}
