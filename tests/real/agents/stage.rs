//! The real server with a real agent in the place of the scripted one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::{From, Limits, SandboxAgent, Session, SessionEvent, SessionView, Setting};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};

use super::model::{self, Tools};

/// Real agents start slower than our own.
const SLOW: Duration = Duration::from_secs(120);

/// A server that runs a real agent, whose files are all in one folder.
pub struct Stage {
    server: RealServer,
    folder: tempfile::TempDir,
    model: u16,
}

impl Stage {
    pub async fn new(tools: Tools) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["home", "repo"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let server = RealServer::start(RealServerOptions::new()).await.unwrap();
        Self { server, folder, model: model::start(tools).await }
    }

    /// From now on the server starts this agent: a line of shell, with a home and an environment of its own.
    pub fn launch(&self, command: &str, env: &[(&str, String)]) {
        let home = self.at("home");
        let exported: String =
            env.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect();
        let launcher = format!(
            "#!/bin/sh\nexport HOME={home} XDG_DATA_HOME={home}/data XDG_CONFIG_HOME={home}/config \
             XDG_CACHE_HOME={home}/cache XDG_STATE_HOME={home}/state\n{exported}{command}\n",
            home = quoted(&home.display().to_string()),
        );
        let slot = self.server.data_home().join("sandbox-agent/bin/agent_processes/mock-acp");
        // A new file: the old one may be running.
        std::fs::remove_file(&slot).unwrap();
        std::fs::write(&slot, launcher).unwrap();
        std::fs::set_permissions(&slot, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Where the model is.
    pub fn model_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.model)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn repo(&self) -> String {
        self.at("repo").display().to_string()
    }

    /// Whether the agent has made the file `made` where it works.
    pub fn has_made(&self) -> bool {
        self.at("repo/made").is_file()
    }

    /// An SDK, and its store, which is the same for all of them.
    pub async fn sdk(&self) -> (SandboxAgent, SqliteSessionPersistDriver) {
        let driver = SqliteSessionPersistDriver::open(self.at("sessions.db")).await.unwrap();
        let limits = Limits::default().request(SLOW).turn(Some(SLOW));
        let builder = SandboxAgent::builder(self.server.url()).persist(driver.clone()).limits(limits);
        (builder.connect().await.unwrap(), driver)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The program that this variable names; `cargo xtask test` installs it.
pub fn program(variable: &str) -> String {
    let program = std::env::var(variable);
    quoted(&program.unwrap_or_else(|_| panic!("{variable} names no program: run `cargo xtask test`")))
}

/// As one word of a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// All of a session so far, as people see it.
pub async fn view(session: &Session) -> SessionView {
    let mut view = SessionView::new();
    let mut events = session.events(From::Start);
    while view.last_index() < session.last_index() {
        view.add(events.next().await.unwrap().unwrap());
    }
    view
}

/// The mode and the model that are chosen.
pub fn chosen(session: &Session) -> (Option<String>, Option<String>) {
    let id = |setting: Option<Setting>| setting?.current_id().map(str::to_owned);
    (id(session.modes()), id(session.models()))
}

/// How often an agent's message says this, in these events.
pub fn times_said(events: &[SessionEvent], what: &str) -> usize {
    let said = |event: &&SessionEvent| {
        let payload = event.payload.get();
        payload.contains("agent_message_chunk") && payload.contains(what)
    };
    events.iter().filter(said).count()
}
