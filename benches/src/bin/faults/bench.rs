//! What every case is given.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use sandbox_agent_benches::peer::Peer;
use sandbox_agent_sdk::SessionRequest;
use sandbox_agent_testkit::proxy::Proxy;
use tempfile::TempDir;

use crate::table::Format;

/// What the bench can be told.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Where the server is: `http://` and an address
    #[arg(long, env = "SANDBOX_AGENT_URL")]
    url: String,
    /// The agent to run there; it has to be the scripted one
    #[arg(long, env = "SANDBOX_AGENT_AGENT", default_value = "mock")]
    agent: String,
    /// The folder with the TypeScript SDK and its program
    #[arg(long, env = "TYPESCRIPT_PEER")]
    peer: PathBuf,
    /// Print a table in Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(crate) fn format(&self) -> Format {
        match self {
            Self { json: true, .. } => Format::Json,
            Self { markdown: true, .. } => Format::Markdown,
            _ => Format::Text,
        }
    }
}

/// The server, both SDKs, and a folder for their files.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) agent: String,
    pub(crate) peer: Peer,
    server: SocketAddr,
    folder: TempDir,
}

impl Bench {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let server = options.url.strip_prefix("http://").unwrap_or(&options.url).trim_end_matches('/');
        Ok(Self {
            agent: options.agent.clone(),
            peer: Peer::new(&options.peer),
            server: server.parse().context("the server's URL must be http:// and an address with a port")?,
            folder: tempfile::tempdir().context("can't make a folder for the stores")?,
        })
    }

    /// A proxy of its own for each case and SDK, so that a fault meets nobody else.
    pub(crate) async fn proxy(&self) -> Result<Proxy> {
        Ok(Proxy::start(self.server).await?)
    }

    pub(crate) fn request(&self, id: &str) -> SessionRequest {
        SessionRequest::new(id, &self.agent).cwd("/tmp")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Another copy of a closed store, so that neither SDK sees what the other one wrote.
    pub(crate) fn copy(&self, file: &Path, name: &str) -> Result<PathBuf> {
        let copy = self.file(name);
        std::fs::copy(file, &copy)?;
        Ok(copy)
    }
}
