//! Opens a shell in a terminal of the sandbox, types a line into it, and shows what it shows.
//!
//! `SANDBOX_AGENT_URL` names the server. Needs the feature `websocket`.

use std::env;
use std::error::Error;

use futures::StreamExt;
use sandbox_agent_sdk::SandboxAgent;
use sandbox_agent_sdk::api::processes::{
    FollowLogs, LogEvent, ProcessCreateRequest, Processes, TerminalSize,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("SANDBOX_AGENT_URL").unwrap_or_else(|_| "http://127.0.0.1:2468".to_owned());
    let sdk = SandboxAgent::connect(url).await?;
    let outcome = run(&sdk.processes()).await;
    sdk.close().await?;
    outcome
}

async fn run(processes: &Processes) -> Result<(), Box<dyn Error>> {
    let shell = processes.create(&ProcessCreateRequest::new("sh").env("PS1", "> ").tty(true)).await?;
    // From the first byte that it showed, however late this is.
    let mut terminal = processes.terminal(&shell.id, FollowLogs::new()).await?;
    let input = terminal.input();
    input.resize(TerminalSize { cols: 100, rows: 30 }).await?;
    input.write("stty size; echo $((6 * 7)); exit\n").await?;
    while let Some(event) = terminal.next().await {
        match event? {
            LogEvent::Output(output) => print!("{}", String::from_utf8_lossy(&output.bytes)),
            LogEvent::Gap(gap) => println!("[output {} to {} is missing]", gap.after + 1, gap.before - 1),
            LogEvent::Exited(info) => println!("[the shell ended with {:?}]", info.exit_code),
            _ => {}
        }
    }
    processes.delete(&shell.id).await?;
    Ok(())
}
