//! Processes: started, looked at, ended; one-off commands.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt;
use sandbox_agent_sdk::api::processes::{
    ExecRequest, FollowLogs, LogEvent, ProcessCreateRequest, ProcessLogsQuery, ProcessLogsStream,
    ProcessOwner, ProcessRunRequest, ProcessState, TerminalSize,
};
use sandbox_agent_sdk::{Delivery, ErrorKind};

use super::{code, connected};

const WAIT: Option<Duration> = Some(Duration::from_secs(10));

fn shell(script: &str) -> ProcessCreateRequest {
    ProcessCreateRequest::new("sh").args(["-c", script])
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_process_from_its_start_to_its_deletion() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let request = shell("echo $GREETING; cat").interactive(true).cwd("/tmp").env("GREETING", "hello");
    let started = processes.create(&request).await.unwrap();
    assert_eq!(started.status, ProcessState::Running);
    assert_eq!((started.command.as_str(), started.cwd.as_deref()), ("sh", Some("/tmp")));
    assert_eq!(started.owner, ProcessOwner::User);
    let id = started.id.as_str();
    assert_eq!(processes.get(id).await.unwrap().id, id);
    let listed = processes.list(Some(ProcessOwner::User)).await.unwrap();
    assert_eq!(listed.iter().map(|info| info.id.as_str()).collect::<Vec<_>>(), [id]);
    assert_eq!(processes.list(Some(ProcessOwner::Desktop)).await.unwrap(), []);

    assert_eq!(processes.input(id, b"\xff\x00 bytes\n").await.unwrap(), 9);
    let refused = processes.delete(id).await.unwrap_err();
    assert_eq!(code(&refused), "conflict");
    let stopped = processes.stop(id, WAIT).await.unwrap();
    assert!(stopped.is_exited() && stopped.exited_at_ms.is_some(), "{stopped:?}");

    let logs = processes.logs(id, &ProcessLogsQuery::new()).await.unwrap();
    let output: Vec<u8> = logs.entries.iter().flat_map(|entry| entry.bytes().unwrap()).collect();
    assert_eq!(output, b"hello\n\xff\x00 bytes\n");
    let newest = processes.logs(id, &ProcessLogsQuery::new().tail(1_u64)).await.unwrap();
    assert_eq!(newest.entries.last(), logs.entries.last());
    let later = processes.logs(id, &ProcessLogsQuery::new().since(logs.entries[0].sequence)).await.unwrap();
    assert_eq!(later.entries, logs.entries[1..]);
    let none = processes.logs(id, &ProcessLogsQuery::new().stream(ProcessLogsStream::Stderr)).await.unwrap();
    assert_eq!((none.stream, none.entries.len()), (ProcessLogsStream::Stderr, 0));

    processes.delete(id).await.unwrap();
    assert_eq!(code(&processes.get(id).await.unwrap_err()), "not_found");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_process_that_ignores_the_request_to_end_is_killed() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let id = processes.create(&shell("trap '' TERM; echo; while :; do sleep 1; done")).await.unwrap().id;
    // The trap is set once the line is there.
    while processes.logs(&id, &ProcessLogsQuery::new()).await.unwrap().entries.is_empty() {}
    let stopped = processes.stop(&id, Some(Duration::from_millis(100))).await.unwrap();
    assert_eq!(stopped.status, ProcessState::Running);
    assert!(processes.kill(&id, WAIT).await.unwrap().is_exited());
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_terminal_takes_its_size() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let id = processes.create(&shell("read go; stty size").tty(true)).await.unwrap().id;
    let size = TerminalSize { cols: 91, rows: 17 };
    assert_eq!(processes.resize(&id, size).await.unwrap(), size);
    processes.input(&id, "\n").await.unwrap();
    // The server tells of the end before it has all that was shown.
    let mut logs = processes.follow_logs(&id, FollowLogs::new()).await.unwrap();
    let mut shown = Vec::new();
    while let Some(event) = logs.next().await {
        if let LogEvent::Output(output) = event.unwrap() {
            assert_eq!(output.stream, ProcessLogsStream::Pty);
            shown.extend(output.bytes);
        }
    }
    let query = ProcessLogsQuery::new().stream(ProcessLogsStream::Pty);
    assert!(!processes.logs(&id, &query).await.unwrap().entries.is_empty());
    assert!(String::from_utf8_lossy(&shown).contains("17 91"), "{shown:?}");

    let plain = processes.create(&shell("sleep 60")).await.unwrap().id;
    assert_eq!(code(&processes.resize(&plain, size).await.unwrap_err()), "conflict");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn the_servers_bounds_are_set_and_hold() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let mut config = processes.config().await.unwrap();
    assert_eq!(config.max_concurrent_processes, 64);
    config.max_input_bytes_per_request = 4;
    assert_eq!(processes.set_config(&config).await.unwrap(), config);
    let id = processes.create(&ProcessCreateRequest::new("cat").interactive(true)).await.unwrap().id;
    let error = processes.input(&id, "12345").await.unwrap_err();
    assert_eq!((code(&error), error.problem().unwrap().status), ("invalid_request", 413));
    config.max_concurrent_processes = 0;
    assert_eq!(code(&processes.set_config(&config).await.unwrap_err()), "invalid_request");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_command_is_run_within_the_servers_bounds() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let request = ProcessRunRequest::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]);
    let done = processes.run(&request).await.unwrap();
    assert_eq!((done.exit_code, done.stdout.as_str(), done.stderr.as_str()), (Some(3), "out\n", "err\n"));
    let cut =
        processes.run(&ProcessRunRequest::new("pwd").cwd("/tmp").max_output_bytes(2_u64)).await.unwrap();
    assert_eq!((cut.stdout.as_str(), cut.stdout_truncated), ("/t", true));
    let late = processes.run(&ProcessRunRequest::new("sleep").arg("60").timeout_ms(100_u64)).await.unwrap();
    assert_eq!((late.timed_out, late.exit_code), (true, None));

    let error = processes.run(&ProcessRunRequest::new("no-such-program")).await.unwrap_err();
    assert_eq!(code(&error), "stream_error");
    assert_eq!(error.delivery(), Some(Delivery::Unknown));
    assert_eq!(error.problem().unwrap().extra["details"]["message"].as_str().unwrap().split(':').count(), 2);
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn exec_returns_all_of_the_output_and_leaves_nothing() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let script = "head -c 5000000 /dev/zero; printf 'a\\377' >&2; exit 7";
    let done = processes.exec(ExecRequest::new("sh").args(["-c", script])).await.unwrap();
    assert_eq!((done.exit_code, done.timed_out, done.success()), (Some(7), false, false));
    assert_eq!(done.stdout.len(), 5_000_000);
    assert_eq!((done.stderr.as_slice(), done.gaps.len()), (&b"a\xff"[..], 0));
    assert_eq!(processes.list(None).await.unwrap(), [], "the record is deleted");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn exec_kills_what_runs_too_long_or_writes_too_much() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let request = ExecRequest::new("sh").args(["-c", "echo begun; exec sleep 60"]);
    let late = processes.exec(request.timeout(Duration::from_millis(500))).await.unwrap();
    assert_eq!((late.timed_out, late.exit_code, late.stdout.as_slice()), (true, None, &b"begun\n"[..]));

    let error = processes.exec(ExecRequest::new("yes").output_bytes(10_000)).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 10_000 });
    let end = Instant::now() + Duration::from_secs(10);
    while !processes.list(None).await.unwrap().is_empty() {
        assert!(Instant::now() < end, "it is cleared up");
    }
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn exec_that_is_dropped_kills_its_process() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let exec = tokio::spawn({
        let processes = processes.clone();
        async move { processes.exec(ExecRequest::new("sleep").arg("60")).await }
    });
    let pid = loop {
        if let [running] = &processes.list(None).await.unwrap()[..] {
            break running.pid.unwrap();
        }
    };
    exec.abort();
    let end = Instant::now() + Duration::from_secs(10);
    while !processes.list(None).await.unwrap().is_empty() {
        assert!(Instant::now() < end, "it is cleared up");
    }
    assert!(!Path::new("/proc").join(pid.to_string()).exists());
}
