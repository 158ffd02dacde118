//! The host as a process of its own, that can be killed.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long one that was asked to end may take.
const END: Duration = Duration::from_secs(40);

/// A host of workspaces: the example `workspace_host`. Dropping it kills it.
pub(crate) struct HostProcess {
    child: Child,
}

impl HostProcess {
    pub(crate) fn start(engine: &str, sandbox: &str) -> Self {
        let program = program();
        let child = Command::new(&program)
            .env("ENGINE_URL", engine)
            .env("SANDBOX_URL", sandbox)
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{}: {error}; `cargo build --examples` builds it", program.display())
            });
        Self { child }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn ends(mut self) {
        self.send(Signal::TERM);
        let since = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(since.elapsed() < END, "it ends when it is asked to");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(self.child.wait().unwrap().success());
    }

    /// Stops it where it is.
    pub(crate) fn freezes(&self) {
        self.send(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaws(&self) {
        self.send(Signal::CONT);
    }

    fn send(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Kills it without notice.
    pub(crate) fn dies(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // Both fail only for one that is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(2).unwrap().join("examples/workspace_host")
}
