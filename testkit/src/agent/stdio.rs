//! The agent as a process: stdin, stdout, environment, log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use futures::stream;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Stdout};

use super::{AgentOptions, Archive, Host, env, serve};

/// Serves stdin and stdout until stdin ends.
pub(crate) async fn run() -> ExitCode {
    let (options, archive) = match env::options().and_then(|options| Ok((options, env::archive()?))) {
        Ok(set_up) => set_up,
        Err(error) => {
            eprintln!("scripted-acp-agent: {error}");
            return ExitCode::from(2);
        }
    };
    match serve_stdio(options, archive).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripted-acp-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve_stdio(options: AgentOptions, archive: Arc<Archive>) -> Result<(), Box<dyn std::error::Error>> {
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
            log.append("in", [line.as_str()])?;
        }
        Ok(line.map(|line| (line, (lines, log))))
    });
    serve(Arc::new(host), options, archive, incoming).await.map_err(|error| error.to_string())?;
    Ok(())
}

struct Process {
    stdout: tokio::sync::Mutex<Stdout>,
    log: Arc<Option<Log>>,
}

impl Host for Process {
    fn write(&self, lines: Vec<u8>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let mut stdout = self.stdout.lock().await;
            // Before the line itself, so that nothing is on stdout that the log doesn't have.
            if let Some(log) = self.log.as_ref() {
                log.append("out", String::from_utf8_lossy(&lines).lines())?;
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

    /// In one write, so that several processes can share the file.
    fn append<'a>(&self, dir: &str, lines: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let at_ms = now.unwrap_or_default().as_millis() as u64;
        let pid = std::process::id();
        let entry =
            |line: &str| format!("{}\n", json!({"pid": pid, "dir": dir, "at_ms": at_ms, "line": line}));
        let entries: String = lines.into_iter().map(entry).collect();
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(entries.as_bytes())
    }
}
