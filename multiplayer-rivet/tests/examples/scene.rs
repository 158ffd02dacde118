//! An engine, a server, and programs that run beside them.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sandbox_agent_engine_harness::Engine;
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far above what any example takes, a crash of its host included: passing it means that it hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Examples take turns: each has an engine of its own.
static TURN: Mutex<()> = Mutex::const_new(());

pub(crate) struct Scene {
    engine: Engine,
    server: RealServer,
    variables: Vec<(&'static str, &'static str)>,
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    pub(crate) async fn set() -> Self {
        let turn = TURN.lock().await;
        let server = RealServer::start(RealServerOptions::new()).await.unwrap();
        Self { engine: Engine::start().await, server, variables: Vec::new(), _turn: turn }
    }

    /// What programs find in their environment from now on.
    pub(crate) fn variable(&mut self, name: &'static str, value: &'static str) {
        self.variables.push((name, value));
    }

    pub(crate) fn no_variable(&mut self, name: &str) {
        self.variables.retain(|(known, _)| *known != name);
    }

    pub(crate) fn start(&self, name: &str, args: &[&str]) -> Program {
        let program = program(name);
        let mut child = Command::new(&program)
            .args(args)
            .env("ENGINE_URL", self.engine.url())
            .env("SANDBOX_AGENT_URL", self.server.url())
            .env("SANDBOX_AGENT_AGENT", "mock")
            .envs(self.variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{}: {error}; `cargo build --workspace` builds it", program.display())
            });
        let mut stderr = child.stderr.take().unwrap();
        let complaints = tokio::spawn(async move {
            let mut text = String::new();
            stderr.read_to_string(&mut text).await.unwrap();
            text
        });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Program { name: name.to_owned(), child, lines, printed: String::new(), complaints }
    }
}

/// A program that runs; dropping it kills it.
pub(crate) struct Program {
    name: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    printed: String,
    complaints: JoinHandle<String>,
}

impl Program {
    /// Waits until it has printed this.
    pub(crate) async fn prints(&mut self, wanted: &str) {
        while !self.printed.contains(wanted) {
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("{} has printed only:\n{}", self.name, self.printed));
            let Some(line) = line.unwrap() else {
                panic!("{} has printed only:\n{}", self.name, self.printed)
            };
            self.printed.push_str(&line);
            self.printed.push('\n');
        }
    }

    /// What it has printed when it ended well.
    pub(crate) async fn ends(self) -> String {
        let name = self.name.clone();
        let (status, printed) = self.end().await;
        assert!(status.success(), "{name}: {status}\n{printed}");
        printed
    }

    /// What it has printed, complaints included, when it ended badly.
    pub(crate) async fn fails(self) -> String {
        let name = self.name.clone();
        let (status, printed) = self.end().await;
        assert!(!status.success(), "{name}: {status}\n{printed}");
        printed
    }

    /// Asks it to end, and gives what it has printed.
    pub(crate) async fn ends_when_asked(self) -> String {
        let id = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        self.ends().await
    }

    async fn end(mut self) -> (ExitStatus, String) {
        let ended = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.printed.push_str(&line);
                self.printed.push('\n');
            }
            self.child.wait().await.unwrap()
        };
        let ended = timeout(PATIENCE, ended).await;
        let Ok(status) = ended else {
            panic!("{} does not end; it has printed:\n{}", self.name, self.printed)
        };
        self.printed.push_str(&self.complaints.await.unwrap());
        (status, self.printed)
    }
}

/// All of it is in what was printed, in this order.
pub(crate) fn printed(text: &str, wanted: &[&str]) {
    let mut rest = text;
    for wanted in wanted {
        let at = rest.find(wanted).unwrap_or_else(|| panic!("no {wanted:?}, or not there, in:\n{text}"));
        rest = &rest[at + wanted.len()..];
    }
}

/// Beside the tests' own program is where cargo puts them.
fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(2).unwrap().join(name)
}
