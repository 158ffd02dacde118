//! Runs a command, starts a long-lived process, and follows what it writes until it has ended.
//!
//! `SANDBOX_AGENT_URL` names the server.

use std::env;
use std::error::Error;
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_sdk::SandboxAgent;
use sandbox_agent_sdk::api::processes::{ExecRequest, FollowLogs, LogEvent, ProcessCreateRequest, Processes};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("SANDBOX_AGENT_URL").unwrap_or_else(|_| "http://127.0.0.1:2468".to_owned());
    let sdk = SandboxAgent::connect(url).await?;
    let outcome = run(&sdk.processes()).await;
    sdk.close().await?;
    outcome
}

async fn run(processes: &Processes) -> Result<(), Box<dyn Error>> {
    // All of its output, byte for byte, and nothing left behind.
    let command = ExecRequest::new("uname").arg("-s").timeout(Duration::from_secs(10));
    let done = processes.exec(command).await?;
    println!("it runs on {} (exit code {:?})", String::from_utf8_lossy(&done.stdout).trim(), done.exit_code);

    let script = "for step in 1 2 3; do echo step $step; sleep 0.1; done; echo done >&2; exit 3";
    let process = processes.create(&ProcessCreateRequest::new("sh").args(["-c", script])).await?;
    let mut logs = processes.follow_logs(&process.id, FollowLogs::new()).await?;
    while let Some(event) = logs.next().await {
        match event? {
            LogEvent::Output(output) => {
                let text = String::from_utf8_lossy(&output.bytes);
                println!("{} {}: {}", output.sequence, output.stream, text.trim_end());
            }
            LogEvent::Gap(gap) => println!("{} outputs are missing after {}", gap.missing(), gap.after),
            LogEvent::Exited(info) => println!("it ended with {:?}", info.exit_code),
            _ => {}
        }
    }
    processes.delete(&process.id).await?;
    Ok(())
}
