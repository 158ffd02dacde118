//! The agent as a process: stdin, stdout, environment, log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use futures::stream;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Stdout};

use super::{AgentOptions, FailInit, Host, serve};

/// Serves stdin and stdout until stdin ends.
pub(crate) async fn run() -> ExitCode {
    match serve_stdio().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripted-acp-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve_stdio() -> Result<(), Box<dyn std::error::Error>> {
    let options = options_from_env()?;
    let log = match std::env::var_os("SCRIPTED_AGENT_LOG") {
        Some(path) => Some(Log::open(path.as_ref())?),
        None => None,
    };
    let log = Arc::new(log);
    let host = Process { stdout: tokio::sync::Mutex::new(tokio::io::stdout()), log: log.clone() };
    let lines = BufReader::new(tokio::io::stdin()).lines();
    let incoming = stream::try_unfold((lines, log), async |(mut lines, log)| {
        let line = lines.next_line().await?;
        if let (Some(line), Some(log)) = (&line, log.as_ref()) {
            log.append("in", line)?;
        }
        Ok(line.map(|line| (line, (lines, log))))
    });
    serve(Arc::new(host), options, incoming).await.map_err(|error| error.to_string())?;
    Ok(())
}

fn options_from_env() -> Result<AgentOptions, String> {
    let mut options = AgentOptions::default();
    if let Ok(delay) = std::env::var("SCRIPTED_AGENT_INIT_DELAY_MS") {
        let delay = delay
            .parse()
            .map_err(|_| format!("SCRIPTED_AGENT_INIT_DELAY_MS={delay}: must be a whole number"))?;
        options.init_delay = Duration::from_millis(delay);
    }
    options.fail_init = match std::env::var("SCRIPTED_AGENT_FAIL_INIT").as_deref() {
        Ok("exit") => Some(FailInit::Exit),
        Ok("error") => Some(FailInit::Error),
        Ok(other) => {
            return Err(format!("SCRIPTED_AGENT_FAIL_INIT={other}: must be exit or error"));
        }
        Err(_) => None,
    };
    Ok(options)
}

struct Process {
    stdout: tokio::sync::Mutex<Stdout>,
    log: Arc<Option<Log>>,
}

impl Host for Process {
    fn write(&self, lines: Vec<u8>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let mut stdout = self.stdout.lock().await;
            if let Some(log) = self.log.as_ref() {
                for line in String::from_utf8_lossy(&lines).lines() {
                    log.append("out", line)?;
                }
            }
            stdout.write_all(&lines).await?;
            stdout.flush().await
        })
    }

    fn stderr(&self, line: &str) {
        eprintln!("{line}");
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn exit(&self, code: i32) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Holding the lock, nothing is half written: each write flushes before it lets go.
            let _stdout = self.stdout.lock().await;
            std::process::exit(code)
        })
    }
}

/// One JSON line for each message, in both directions.
struct Log(Mutex<File>);

impl Log {
    fn open(path: &std::path::Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| {
            io::Error::new(error.kind(), format!("SCRIPTED_AGENT_LOG={}: {error}", path.display()))
        })?;
        Ok(Self(Mutex::new(file)))
    }

    fn append(&self, dir: &str, line: &str) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let at_ms = now.unwrap_or_default().as_millis() as u64;
        let entry = json!({"dir": dir, "at_ms": at_ms, "line": line});
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{entry}\n").as_bytes())
    }
}
