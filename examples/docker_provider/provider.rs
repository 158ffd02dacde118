//! Sandboxes in containers, by Docker's command line.

use std::process::Stdio;

use sandbox_agent_sdk::persist::async_trait;
use sandbox_agent_sdk::{SandboxEndpoint, SandboxError, SandboxErrorKind, SandboxProvider};
use tokio::process::Command;

const SERVER_PORT: u16 = 2468;
/// By it a container is known to be one of ours.
const LABEL: &str = "sandbox-agent-sdk.example";

/// Makes a container for each sandbox, whose id is the container's.
///
/// The server's token is the same in all of them: another process that knows it can come back to a sandbox by its id
/// alone.
#[derive(Clone)]
pub(crate) struct DockerProvider {
    image: String,
    token: String,
}

/// Without the token.
impl std::fmt::Debug for DockerProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerProvider").field("image", &self.image).finish_non_exhaustive()
    }
}

impl DockerProvider {
    /// Containers of an image that has Node.js, from which npm installs the server.
    pub(crate) fn new(image: impl Into<String>, token: impl Into<String>) -> Self {
        Self { image: image.into(), token: token.into() }
    }
}

#[async_trait]
impl SandboxProvider for DockerProvider {
    fn name(&self) -> &str {
        "docker"
    }

    async fn create(&self) -> Result<String, SandboxError> {
        // Expanded inside the container: what docker is given as arguments, anybody on this machine can read.
        let server = format!(
            "npx --yes @sandbox-agent/cli@0.4.2 server --host 0.0.0.0 --port {SERVER_PORT} --no-telemetry \
             --token \"$SERVER_TOKEN\""
        );
        let publish = format!("127.0.0.1::{SERVER_PORT}");
        let args = [
            "run",
            "--detach",
            "--init",
            "--label",
            LABEL,
            "--publish",
            &publish,
            "--env",
            "SERVER_TOKEN",
            "--workdir",
            "/root",
            &self.image,
            "sh",
            "-c",
            &server,
        ];
        docker(&args, Some(&self.token)).await
    }

    async fn ensure_server(&self, id: &str) -> Result<(), SandboxError> {
        let state = docker(&["inspect", "--format", "{{.State.Status}}", id], None).await?;
        match state.as_str() {
            "running" => Ok(()),
            "paused" => docker(&["unpause", id], None).await.map(drop),
            // The server is what the container runs.
            _ => docker(&["start", id], None).await.map(drop),
        }
    }

    async fn endpoint(&self, id: &str) -> Result<SandboxEndpoint, SandboxError> {
        // Docker gives out another port with each start. A line for each address, all of them this machine's.
        let published = docker(&["port", id, &SERVER_PORT.to_string()], None).await?;
        let address = published.lines().next().unwrap_or_default();
        Ok(SandboxEndpoint::new(format!("http://{address}")).token(&self.token))
    }

    async fn destroy(&self, id: &str) -> Result<(), SandboxError> {
        ended(docker(&["stop", "--time", "5", id], None).await)?;
        self.kill(id).await
    }

    async fn pause(&self, id: &str) -> Result<(), SandboxError> {
        // Stopped rather than frozen, so that it holds no memory.
        docker(&["stop", "--time", "5", id], None).await.map(drop)
    }

    async fn kill(&self, id: &str) -> Result<(), SandboxError> {
        ended(docker(&["rm", "--force", "--volumes", id], None).await)
    }

    fn default_cwd(&self) -> Option<String> {
        Some("/root".to_owned())
    }
}

/// What has ended already is no error.
fn ended(outcome: Result<String, SandboxError>) -> Result<(), SandboxError> {
    match outcome {
        Err(error) if error.kind() != SandboxErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What docker prints, without its last line break.
async fn docker(args: &[&str], token: Option<&str>) -> Result<String, SandboxError> {
    let mut command = Command::new("docker");
    command.args(args).envs(token.map(|token| ("SERVER_TOKEN", token))).stdin(Stdio::null());
    // A call that is given up leaves no docker behind; what it had begun, the daemon ends.
    let output = command.kill_on_drop(true).output().await.map_err(|error| {
        let message = "docker can't be run: install it, and have it on the PATH";
        SandboxError::new(SandboxErrorKind::Unavailable, message).with_source(error)
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim_end();
    let kind = if said.contains("No such container") || said.contains("No such object") {
        SandboxErrorKind::NotFound
    } else if said.contains("Cannot connect to the Docker daemon") {
        SandboxErrorKind::Unavailable
    } else {
        SandboxErrorKind::Other
    };
    Err(SandboxError::new(kind, format!("docker refused to {}: {said}", args[0])))
}
