//! The agent as a process.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use sandbox_agent_testkit::{find_agent_binary, install_agent};
use serde_json::{Value, json};

struct Agent {
    process: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    session: String,
}

impl Agent {
    fn start(env: &[(&str, &str)]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_scripted-acp-agent")).envs(env.iter().copied()))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut agent = Self {
            stdin: process.stdin.take(),
            stdout: BufReader::new(process.stdout.take().unwrap()),
            process,
            session: String::new(),
        };
        agent.send("initialize", json!({"protocolVersion": 1}));
        agent
    }

    fn open(mut self) -> Self {
        self.read();
        self.send("session/new", json!({"cwd": "/", "mcpServers": []}));
        self.session = self.read()["result"]["sessionId"].as_str().unwrap().to_owned();
        self
    }

    fn open_again(&mut self, method: &str, session: &str) {
        self.session = session.to_owned();
        self.send(method, json!({"sessionId": session, "cwd": "/", "mcpServers": []}));
    }

    fn send(&mut self, method: &str, params: Value) {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        writeln!(self.stdin.as_ref().unwrap(), "{message}").unwrap();
    }

    fn prompt(&mut self, script: &str) {
        let prompt = json!([{"type": "text", "text": script}]);
        self.send("session/prompt", json!({"sessionId": self.session, "prompt": prompt}));
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    fn read(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }
}

fn keeping(folder: &Path) -> [(&'static str, &str); 2] {
    let folder = folder.to_str().unwrap();
    [("SCRIPTED_AGENT_OFFERS", "load,resume"), ("SCRIPTED_AGENT_SESSIONS", folder)]
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_burst_is_whole_in_order_and_faster_than_any_server_reads() {
    burst(Agent::start(&[]));
}

#[test]
fn a_burst_that_is_kept_is_as_good() {
    let folder = tempfile::tempdir().unwrap();
    burst(Agent::start(&keeping(folder.path())));
}

fn burst(agent: Agent) {
    let mut agent = agent.open();
    let since = Instant::now();
    agent.prompt("stream 40000 size=32");
    for number in 1..=40_000 {
        let line = agent.line();
        assert!(line.contains(&format!("\"u{number} .")), "{line}");
    }
    let rate = 40_000.0 / since.elapsed().as_secs_f64();
    assert_eq!(agent.read()["result"]["stopReason"], "end_turn");
    assert!(rate > 20_000.0, "{rate} a second");
}

#[test]
fn a_rate_is_kept_against_the_clock() {
    let mut agent = Agent::start(&[]).open();
    let since = Instant::now();
    agent.prompt("stream 2500 rate=5000");
    for _ in 0..2500 {
        agent.line();
    }
    let took = since.elapsed().as_secs_f64();
    // A pause for each update would take a millisecond of the timer each: 2.5 s.
    assert!((0.49..2.0).contains(&took), "{took}");
}

#[test]
fn an_exit_comes_after_everything_that_was_written() {
    let mut agent = Agent::start(&[]).open();
    agent.prompt("stream 1000; noise hm; exit 7");
    for _ in 0..1000 {
        assert_eq!(agent.read()["method"], "session/update");
    }
    assert_eq!(agent.line(), "hm\n");
    assert_eq!(agent.line(), "");
    assert_eq!(agent.process.wait().unwrap().code(), Some(7));
}

#[test]
fn it_ends_with_its_stdin() {
    let mut agent = Agent::start(&[]).open();
    agent.stdin = None;
    assert_eq!(agent.process.wait().unwrap().code(), Some(0));
}

#[test]
fn the_environment_sets_how_it_starts() {
    let mut agent = Agent::start(&[("SCRIPTED_AGENT_FAIL_INIT", "error")]);
    assert_eq!(agent.read()["error"]["code"], -32603);
    let mut agent = Agent::start(&[("SCRIPTED_AGENT_FAIL_INIT", "exit")]);
    assert_eq!(agent.line(), "");
    assert_eq!(agent.process.wait().unwrap().code(), Some(1));
    let since = Instant::now();
    Agent::start(&[("SCRIPTED_AGENT_INIT_DELAY_MS", "200")]).open();
    assert!(since.elapsed().as_millis() >= 200);
}

#[test]
fn an_environment_that_cannot_be_read_is_refused() {
    for (name, value) in [
        ("SCRIPTED_AGENT_OFFERS", "load,frok"),
        ("SCRIPTED_AGENT_REPLAY", "backwards"),
        ("SCRIPTED_AGENT_SESSIONS", "/dev/null/x"),
        ("SCRIPTED_AGENT_FAIL_INIT", "maybe"),
        ("SCRIPTED_AGENT_INIT_DELAY_MS", "soon"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scripted-acp-agent"));
        let output = command.env(name, value).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(&format!("{name}={value}: ")), "{stderr}");
    }
}

#[test]
fn sessions_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Agent::start(&keeping(folder.path())).open();
    first.prompt("stream 1000; exit 1");
    let said: Vec<_> = (0..1000).map(|_| first.line()).collect();
    assert_eq!(first.line(), "");

    let mut second = Agent::start(&keeping(folder.path()));
    let capabilities = &second.read()["result"]["agentCapabilities"];
    assert_eq!(capabilities["loadSession"], true);
    assert_eq!(capabilities["sessionCapabilities"]["resume"], json!({}));
    second.open_again("session/load", &first.session);
    let prompt = &second.read()["params"]["update"];
    assert_eq!(prompt["sessionUpdate"], "user_message_chunk");
    assert_eq!(prompt["content"]["text"], "stream 1000; exit 1");
    for line in said {
        assert_eq!(second.read(), serde_json::from_str::<Value>(&line).unwrap());
    }
    assert_eq!(second.read()["result"]["modes"]["currentModeId"], "default");
    assert_eq!(second.read()["params"]["update"]["sessionUpdate"], "available_commands_update");

    let mut third = Agent::start(&keeping(folder.path()));
    third.read();
    third.open_again("session/resume", &first.session);
    assert_eq!(third.read()["result"]["modes"]["currentModeId"], "default");
    third.read();
    third.prompt("history");
    assert_eq!(third.read()["params"]["update"]["content"]["text"], "history: 2");
}

#[test]
fn without_a_folder_sessions_end_with_the_process() {
    let offers = [("SCRIPTED_AGENT_OFFERS", "resume")];
    let mut first = Agent::start(&offers).open();
    let session = first.session.clone();
    first.send("session/set_mode", json!({"sessionId": session, "modeId": "plan"}));
    assert_eq!(first.read()["params"]["update"]["currentModeId"], "plan");
    assert!(first.read()["result"].is_object());
    first.open_again("session/resume", &session);
    assert_eq!(first.read()["result"]["modes"]["currentModeId"], "default");
    let mut second = Agent::start(&offers);
    second.read();
    second.open_again("session/resume", &session);
    assert_eq!(second.read()["error"]["code"], -32602);
}

#[test]
fn the_log_has_each_message_of_both_directions() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut agent = Agent::start(&[("SCRIPTED_AGENT_LOG", log.to_str().unwrap())]).open();
    agent.prompt("say x");
    agent.read();
    let answer = agent.line();
    let log = std::fs::read_to_string(log).unwrap();
    let entries: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let directions: Vec<_> = entries.iter().map(|entry| entry["dir"].as_str().unwrap()).collect();
    assert_eq!(directions, ["in", "out", "in", "out", "in", "out", "out"]);
    assert_eq!(entries[6]["line"], answer.trim_end());
    assert!(entries[0]["at_ms"].is_u64());
    assert!(entries.iter().all(|entry| entry["pid"] == agent.process.id()));
}

#[test]
fn the_log_has_whatever_came_out_of_a_process_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut agent = Agent::start(&[("SCRIPTED_AGENT_LOG", log.to_str().unwrap())]).open();
    agent.prompt("stream 100000 size=32");
    let mut read: Vec<String> = (0..500).map(|_| agent.line()).collect();
    agent.process.kill().unwrap();
    agent.process.wait().unwrap();
    // What it had written when it was killed is still in the pipe; the last line may be torn.
    read.extend(std::iter::repeat_with(|| agent.line()).take_while(|line| line.ends_with('\n')));
    let log = std::fs::read_to_string(log).unwrap();
    let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let sent = entries.filter(|entry| entry["dir"] == "out").skip(2);
    let sent: Vec<String> = sent.map(|entry| format!("{}\n", entry["line"].as_str().unwrap())).collect();
    assert!(sent.starts_with(&read), "{} were read, {} are in the log", read.len(), sent.len());
}

#[test]
fn the_launcher_starts_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("it's");
    let binary = Path::new(env!("CARGO_BIN_EXE_scripted-acp-agent"));
    for _ in 0..2 {
        install_agent(&home, binary).unwrap();
    }
    let launcher = home.join("sandbox-agent/bin/agent_processes/mock-acp");
    Agent::spawn(&mut Command::new(launcher)).open();
    assert_eq!(find_agent_binary().unwrap(), binary);
}
