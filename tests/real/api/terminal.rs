//! Terminals: output that is whole, input that is sent once, over connections that break.

use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_sdk::api::processes::{
    FollowLogs, LogEvent, ProcessCreateRequest, ProcessInfo, Processes, Terminal, TerminalSize,
};
use sandbox_agent_sdk::{Delivery, ErrorKind, SandboxAgent};
use sandbox_agent_testkit::proxy::Proxy;
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{code, connected};
use crate::server;

/// What the server adds when a terminal closes.
const CLOSED: &str = "[process stream error";

async fn start(processes: &Processes, script: &str) -> ProcessInfo {
    processes.create(&ProcessCreateRequest::new("sh").args(["-c", script]).tty(true)).await.unwrap()
}

/// Reads until `wanted` is shown.
async fn shows(terminal: &mut Terminal, shown: &mut String, wanted: &str) {
    while !shown.contains(wanted) {
        match terminal.next().await.unwrap().unwrap() {
            LogEvent::Output(output) => shown.push_str(std::str::from_utf8(&output.bytes).unwrap()),
            other => panic!("{other:?} before {wanted:?}; shown: {shown:?}"),
        }
    }
}

/// Reads to the end; the exit code.
async fn ends(terminal: &mut Terminal, shown: &mut String) -> Option<i32> {
    loop {
        match terminal.next().await.unwrap().unwrap() {
            LogEvent::Output(output) => shown.push_str(std::str::from_utf8(&output.bytes).unwrap()),
            LogEvent::Exited(info) => {
                assert!(terminal.next().await.is_none());
                return info.exit_code;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_was_shown_comes_first_and_input_size_and_exit_go_over_the_socket() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let info = start(&processes, "stty -echo; echo begun; read a; stty size; echo \"got $a\"; exit 5").await;
    let mut first = processes.terminal(&info.id, FollowLogs::new()).await.unwrap();
    let mut shown = String::new();
    shows(&mut first, &mut shown, "begun\r\n").await;
    drop(first);

    let mut terminal = processes.terminal(&info.id, FollowLogs::new()).await.unwrap();
    let mut shown = String::new();
    shows(&mut terminal, &mut shown, "begun\r\n").await;
    let input = terminal.input();
    input.resize(TerminalSize { cols: 93, rows: 19 }).await.unwrap();
    input.write("äöü\n").await.unwrap();
    assert_eq!(ends(&mut terminal, &mut shown).await, Some(5));
    let program = shown.split(CLOSED).next().unwrap().trim_end();
    assert_eq!(program, "begun\r\n19 93\r\ngot äöü");
    let error = input.write("late").await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::ProcessGone, Some(Delivery::NotSent)));
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn cuts_lose_and_double_neither_output_nor_input() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let processes = sdk.processes();
    let script =
        "stty -echo; echo begun; while read a; do [ $a = end ] && exit 0; echo \"<$a>\"; seq 1 300; done";
    let info = start(&processes, script).await;
    let mut terminal = processes.terminal(&info.id, FollowLogs::new()).await.unwrap();
    let (input, mut shown) = (terminal.input(), String::new());
    shows(&mut terminal, &mut shown, "begun").await;
    for round in 0..5 {
        input.write(format!("{round}\n")).await.unwrap();
        shows(&mut terminal, &mut shown, &format!("<{round}>")).await;
        let connections = proxy.connections();
        proxy.cut_all();
        // The socket is there again before anybody writes: what is written to a dead one is unknown.
        proxy.wait_for_connections(connections + 2).await;
        while let Err(error) = input.resize(TerminalSize { cols: 80, rows: 20 }).await {
            assert!(error.is_unreachable(), "{error:?}");
        }
    }
    input.write("end\n").await.unwrap();
    assert_eq!(ends(&mut terminal, &mut shown).await, Some(0));
    let numbers: String = (1..=300).map(|n| format!("{n}\r\n")).collect();
    let expected: String = (0..5).map(|round| format!("<{round}>\r\n{numbers}")).collect();
    assert_eq!(shown.split(CLOSED).next().unwrap().trim_end(), format!("begun\r\n{}", expected.trim_end()));
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_slow_reader_gets_a_long_output_whole() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let info = start(&processes, "stty -echo; read go; seq 1 200000").await;
    let mut terminal = processes.terminal(&info.id, FollowLogs::new()).await.unwrap();
    terminal.input().write("\n").await.unwrap();
    while !processes.get(&info.id).await.unwrap().is_exited() {}
    let mut shown = String::new();
    ends(&mut terminal, &mut shown).await;
    let lines = shown.split(CLOSED).next().unwrap().lines().filter(|line| !line.is_empty());
    assert!(lines.eq((1..=200_000).map(|n: u32| n.to_string())));
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_hole_is_reported_with_both_sequences() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let mut config = processes.config().await.unwrap();
    config.max_log_bytes_per_process = 10_000;
    processes.set_config(&config).await.unwrap();
    let info = start(&processes, "stty -echo; seq 1 100000; echo last; read go").await;
    loop {
        let logs = processes.logs(&info.id, &Default::default()).await.unwrap();
        let bytes: Vec<u8> = logs.entries.iter().flat_map(|entry| entry.bytes().unwrap()).collect();
        if String::from_utf8_lossy(&bytes).contains("last") {
            break;
        }
    }
    let mut terminal = processes.terminal(&info.id, FollowLogs::new()).await.unwrap();
    let Some(Ok(LogEvent::Gap(gap))) = terminal.next().await else { panic!("no hole") };
    let Some(Ok(LogEvent::Output(output))) = terminal.next().await else { panic!("no output") };
    assert_eq!((gap.after, gap.before), (0, output.sequence));
    assert!(gap.missing() > 0);

    let mut io = processes.terminal(&info.id, FollowLogs::new()).await.unwrap().into_io();
    let error = io.read_u8().await.unwrap_err();
    assert!(error.to_string().contains(&format!("between 0 and {}", output.sequence)), "{error}");
    io.read_u8().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_terminal_is_read_and_written_as_bytes() {
    let server = RealServer::start(RealServerOptions::new().token("secret-token")).await.unwrap();
    let sdk = SandboxAgent::builder(server.url()).token("secret-token").connect().await.unwrap();
    let processes = sdk.processes();
    let info = start(&processes, "stty -echo raw; echo begun; head -c 200000 | cksum").await;
    let mut io = processes.terminal(&info.id, FollowLogs::new()).await.unwrap().into_io();
    let mut begun = [0; 6];
    io.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"begun\n");
    // Longer than a frame, and than a terminal's buffer.
    let typed: Vec<u8> = (0..200_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
    io.write_all(&typed).await.unwrap();
    io.flush().await.unwrap();
    let mut shown = String::new();
    io.read_to_string(&mut shown).await.unwrap();
    assert!(shown.trim_start().starts_with(&format!("{} 200000", cksum(&typed))), "{shown:?}");
}

/// What POSIX's `cksum` says.
fn cksum(bytes: &[u8]) -> u32 {
    let length =
        std::iter::successors(Some(bytes.len()), |rest| Some(rest >> 8)).take_while(|rest| *rest > 0);
    let all = bytes.iter().copied().chain(length.map(|rest| (rest & 0xff) as u8));
    !all.fold(0_u32, |crc, byte| {
        (0..8).fold(crc ^ (u32::from(byte) << 24), |crc, _| {
            (crc << 1) ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_has_no_terminal_is_refused_and_a_restarted_server_has_another_process() {
    let (mut server, sdk) = connected().await;
    let processes = sdk.processes();
    assert_eq!(code(&processes.terminal("nobody", FollowLogs::new()).await.unwrap_err()), "not_found");
    let plain = processes.create(&ProcessCreateRequest::new("sleep").arg("60")).await.unwrap();
    assert_eq!(code(&processes.terminal(&plain.id, FollowLogs::new()).await.unwrap_err()), "conflict");

    let info = start(&processes, "read go").await;
    let mut terminal = processes.terminal(&info.id, FollowLogs::new()).await.unwrap();
    server.restart().await.unwrap();
    let other = loop {
        let other = start(&processes, "read a; echo \"typed $a\"").await;
        if other.id == info.id {
            break other;
        }
    };
    let error = terminal.next().await.unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::ProcessGone);
    let input = terminal.input();
    let error = tokio::time::timeout(Duration::from_secs(10), input.write("\n")).await.unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ProcessGone | ErrorKind::Unreachable), "{error:?}");
    assert!(!processes.get(&other.id).await.unwrap().is_exited(), "nothing was typed into it");
}
