//! However the owner of a local sandbox ends, nothing of the sandbox stays.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use sandbox_agent_sdk::api::processes::ProcessCreateRequest;
use sandbox_agent_sdk::{LocalProvider, LocalSandbox, SandboxAgent};
use serde_json::json;
use tempfile::TempDir;

use crate::support::request;
use crate::{child, processes, sandbox, scripted};

const END: &str = "TEST_OWNER_END";
const BY: &str = "TEST_OWNER_BY";
const READY: &str = "ready ";

/// Who starts the sandbox.
#[derive(Clone, Copy)]
enum By {
    /// The owner itself.
    Hand,
    /// `SandboxAgent::start`, with a provider of such.
    Provider,
}

/// An owner in a process of its own, whose temporary files are in a folder of its own: all that it starts is known by
/// that.
struct Owner {
    process: Child,
    stdout: BufReader<ChildStdout>,
    folder: TempDir,
    pids: Vec<u32>,
}

impl Owner {
    /// Starts one that will end in this way.
    fn start(by: By, end: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let by = match by {
            By::Hand => "hand",
            By::Provider => "provider",
        };
        let variables = [(END, end), (BY, by), ("TMPDIR", folder.path().to_str().unwrap())];
        let mut command = child::command("owner::is_an_owner", &variables);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Self { process, stdout, folder, pids: Vec::new() }
    }

    /// Waits until its sandbox has processes of each kind, and sees that they run.
    fn wait_until_ready(&mut self) {
        let lines = self.stdout.by_ref().lines();
        let ready = lines.map(Result::unwrap).find_map(|line| Some(line.split_once(READY)?.1.to_owned()));
        self.pids = serde_json::from_str(&ready.expect("the owner became ready")).unwrap();
        assert!(self.pids.iter().all(|pid| processes::runs(*pid)), "{:?}", self.pids);
        let running = self.running();
        let one = |what: &str| running.iter().any(|(_, name)| name.contains(what));
        assert!(running.iter().any(|(_, name)| processes::is_server(name)), "{running:?}");
        assert!(one("sandbox-agent-guard") && one("scripted-acp-agent"), "{running:?}");
    }

    /// Lets it end in its way.
    fn end(&mut self) {
        self.process.stdin.take().unwrap().write_all(b"end\n").unwrap();
    }

    fn running(&self) -> Vec<(u32, String)> {
        processes::with(self.folder.path().to_str().unwrap())
    }

    /// Waits until all of it is gone, its files too.
    fn wait_until_gone(mut self) {
        self.process.wait().unwrap();
        processes::wait_until_gone(self.folder.path().to_str().unwrap(), &self.pids);
        let left: Vec<_> =
            self.folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// A test that failed leaves nothing behind either.
impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for pid in self.pids.iter().filter(|_| std::thread::panicking()) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

/// A sandbox, where it was started by hand, and an SDK in it.
async fn started() -> (Option<LocalSandbox>, SandboxAgent) {
    if child::variable(BY).as_deref() == Some("hand") {
        let sandbox = sandbox().await;
        let sdk = sandbox.sdk().connect().await.unwrap();
        return (Some(sandbox), sdk);
    }
    let sdk = SandboxAgent::start(LocalProvider::new()).await.unwrap();
    let id = sdk.sandbox_id().unwrap().strip_prefix("local/").unwrap();
    scripted(&std::env::temp_dir().join(format!("sandbox-agent-{id}/data")));
    (None, sdk)
}

/// Starts a process by the server, and gives its id.
async fn process(sdk: &SandboxAgent, request: ProcessCreateRequest) -> u32 {
    sdk.processes().create(&request).await.unwrap().pid.unwrap()
}

/// What the owner does; by itself it is no test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server: cargo xtask test"]
async fn is_an_owner() {
    let Some(end) = child::variable(END) else { return };
    let (sandbox, sdk) = started().await;
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("say hello").await.unwrap();
    let deaf = "trap '' TERM; sleep 3000; sleep 3000";
    let pids = [
        // In a session of its own, as what a terminal runs.
        process(&sdk, ProcessCreateRequest::new("sleep").arg("3000").tty(true)).await,
        // Deaf to what asks it to end, and with nothing of ours in its environment.
        process(&sdk, ProcessCreateRequest::new("env").args(["-i", "sh", "-c", deaf])).await,
        process(&sdk, ProcessCreateRequest::new("sh").args(["-c", deaf])).await,
    ];
    println!("{READY}{}", json!(pids));
    io::stdin().read_line(&mut String::new()).unwrap();
    match end.as_str() {
        "panic" => panic!("as it is meant to"),
        "exit" => std::process::exit(0),
        "forget" => std::mem::forget((sandbox, sdk, session)),
        "destroy" => {
            match sandbox {
                None => sdk.destroy_sandbox().await.unwrap(),
                Some(sandbox) => {
                    sdk.close().await.unwrap();
                    sandbox.destroy().await.unwrap();
                }
            }
            assert!(!pids.iter().any(|pid| processes::runs(*pid)), "{pids:?}");
        }
        _ => drop(sandbox),
    }
}

/// Whoever started it.
fn leaves_nothing(end: &str) {
    for by in [By::Hand, By::Provider] {
        let mut owner = Owner::start(by, end);
        owner.wait_until_ready();
        owner.end();
        owner.wait_until_gone();
    }
}

#[test]
#[ignore = "needs the real server: cargo xtask test"]
fn an_owner_that_drops_its_sandbox_leaves_nothing() {
    leaves_nothing("drop");
}

#[test]
#[ignore = "needs the real server: cargo xtask test"]
fn an_owner_that_forgets_its_sandbox_leaves_nothing() {
    leaves_nothing("forget");
    leaves_nothing("exit");
}

#[test]
#[ignore = "needs the real server: cargo xtask test"]
fn an_owner_that_destroys_its_sandbox_leaves_nothing() {
    leaves_nothing("destroy");
}

#[test]
#[ignore = "needs the real server: cargo xtask test"]
fn an_owner_that_panics_leaves_nothing() {
    leaves_nothing("panic");
}

#[test]
#[ignore = "needs the real server: cargo xtask test"]
fn an_owner_that_is_killed_leaves_nothing() {
    for by in [By::Hand, By::Provider] {
        let mut owner = Owner::start(by, "drop");
        owner.wait_until_ready();
        // SIGKILL.
        owner.process.kill().unwrap();
        let killed = Instant::now();
        owner.wait_until_gone();
        assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
    }
}

#[test]
#[ignore = "needs the real server: cargo xtask test"]
fn an_owner_that_is_killed_while_it_starts_leaves_nothing() {
    for moment in 0..20 {
        let by = if moment % 2 == 0 { By::Hand } else { By::Provider };
        let mut owner = Owner::start(by, "drop");
        let own = owner.process.id();
        // From the first process of its sandbox on, each time a little later.
        processes::wait(|| {
            let others = owner.running().into_iter().filter(|(pid, _)| *pid != own).count();
            if others > 0 { Ok(()) } else { Err("it started nothing".to_owned()) }
        });
        std::thread::sleep(Duration::from_millis(moment * 10));
        owner.process.kill().unwrap();
        owner.wait_until_gone();
    }
}
