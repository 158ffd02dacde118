//! The output of a process, followed.

use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_sdk::api::processes::{
    FollowLogs, LogEvent, LogGap, LogOutput, ProcessCreateRequest, ProcessInfo, ProcessLogs,
    ProcessLogsStream, Processes,
};
use sandbox_agent_sdk::{ErrorKind, SandboxAgent};
use sandbox_agent_testkit::proxy::Proxy;

use super::{code, connected};
use crate::server;

async fn start(processes: &Processes, script: &str) -> ProcessInfo {
    processes.create(&ProcessCreateRequest::new("sh").args(["-c", script]).interactive(true)).await.unwrap()
}

/// What came, and the process at its end.
#[derive(Default)]
struct Seen {
    outputs: Vec<LogOutput>,
    gaps: Vec<LogGap>,
    exited: Option<ProcessInfo>,
}

impl Seen {
    fn take(&mut self, event: LogEvent) {
        assert!(self.exited.is_none(), "nothing comes after the end");
        match event {
            LogEvent::Output(output) => self.outputs.push(output),
            LogEvent::Gap(gap) => self.gaps.push(gap),
            LogEvent::Exited(info) => self.exited = Some(info),
            other => panic!("{other:?}"),
        }
    }

    async fn rest(&mut self, logs: &mut ProcessLogs) {
        while let Some(event) = logs.next().await {
            self.take(event.unwrap());
        }
    }

    fn text(&self) -> String {
        let bytes: Vec<_> = self.outputs.iter().flat_map(|output| output.bytes.clone()).collect();
        String::from_utf8(bytes).unwrap()
    }

    /// Each output once, in order, and the holes where they are named.
    fn assert_whole(&self) {
        let mut last = 0;
        for output in &self.outputs {
            let hole = self.gaps.iter().find(|gap| gap.before == output.sequence);
            assert_eq!(hole.map_or(last + 1, |gap| gap.before), output.sequence, "after {last}");
            assert_eq!(hole.map_or(last, |gap| gap.after), last);
            last = output.sequence;
        }
    }
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_was_kept_comes_first_and_the_stream_ends_after_the_process() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let info = start(&processes, "echo one; read go; echo two >&2; exit 4").await;
    let mut logs = processes.follow_logs(&info.id, FollowLogs::new()).await.unwrap();
    let mut seen = Seen::default();
    seen.take(logs.next().await.unwrap().unwrap());
    processes.input(&info.id, "\n").await.unwrap();
    seen.rest(&mut logs).await;
    seen.assert_whole();
    assert_eq!(seen.text(), "one\ntwo\n");
    assert_eq!(seen.outputs[1].stream, ProcessLogsStream::Stderr);
    assert_eq!(seen.exited.unwrap().exit_code, Some(4));

    let again = |from| async {
        let mut seen = Seen::default();
        seen.rest(&mut processes.follow_logs(&info.id, from).await.unwrap()).await;
        seen.text()
    };
    assert_eq!(again(FollowLogs::new()).await, "one\ntwo\n", "also once it has ended");
    assert_eq!(again(FollowLogs::new().since(1_u64)).await, "two\n");
    assert_eq!(again(FollowLogs::new().tail(1_u64)).await, "two\n");
    assert_eq!(again(FollowLogs::new().tail(0_u64)).await, "");
    assert_eq!(again(FollowLogs::new().stream(ProcessLogsStream::Stdout)).await, "one\n");
    assert_eq!(code(&processes.follow_logs("nobody", FollowLogs::new()).await.unwrap_err()), "not_found");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_cut_loses_and_doubles_nothing() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let processes = sdk.processes();
    let script = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; sleep 0.005; done";
    let info = start(&processes, script).await;
    let mut logs = processes.follow_logs(&info.id, FollowLogs::new()).await.unwrap();
    let mut seen = Seen::default();
    while let Some(event) = logs.next().await {
        seen.take(event.unwrap());
        if matches!(seen.outputs.len(), 20 | 90 | 160) {
            proxy.cut_all();
        }
    }
    seen.assert_whole();
    assert_eq!(seen.gaps, []);
    assert_eq!(seen.exited.as_ref().unwrap().exit_code, Some(0));
    let lines: Vec<_> = seen.text().lines().map(|line| line.parse::<u32>().unwrap()).collect();
    assert_eq!(lines, (1..=300).collect::<Vec<_>>());
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_stream_that_is_cut_until_its_process_has_ended_gives_the_rest_and_ends() {
    let (server, direct) = connected().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let sdk = SandboxAgent::connect(proxy.url()).await.unwrap();
    let info = start(&sdk.processes(), "echo one; read go; echo two; exit 3").await;
    let mut logs = sdk.processes().follow_logs(&info.id, FollowLogs::new()).await.unwrap();
    let mut seen = Seen::default();
    seen.take(logs.next().await.unwrap().unwrap());
    let away = async {
        proxy.stop_listening().await;
        proxy.cut_all();
        direct.processes().input(&info.id, "\n").await.unwrap();
        while !direct.processes().get(&info.id).await.unwrap().is_exited() {}
        proxy.listen_again().await.unwrap();
    };
    tokio::join!(seen.rest(&mut logs), away);
    seen.assert_whole();
    assert_eq!((seen.text().as_str(), seen.gaps.len()), ("one\ntwo\n", 0));
    let exited = seen.exited.unwrap();
    assert!(exited.is_exited() && exited.exited_at_ms.is_some(), "{exited:?}");
    assert_eq!(exited.exit_code, Some(3));
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_reader_that_the_log_outran_gets_a_hole_with_both_sequences() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    // More than the 10 MiB that are kept, while nobody reads.
    let info = start(&processes, "echo first; read go; head -c 30000000 /dev/zero; echo last").await;
    let mut logs = processes.follow_logs(&info.id, FollowLogs::new()).await.unwrap();
    let mut seen = Seen::default();
    seen.take(logs.next().await.unwrap().unwrap());
    processes.input(&info.id, "\n").await.unwrap();
    while !processes.get(&info.id).await.unwrap().is_exited() {}
    seen.rest(&mut logs).await;
    seen.assert_whole();
    assert!(!seen.gaps.is_empty());
    assert!(seen.gaps.iter().all(|gap| gap.missing() > 0), "{:?}", seen.gaps);
    assert!(seen.text().ends_with("last\n"));
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_burst_reaches_a_reader_whole() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    // Below what is kept, and far above what the server's live way holds.
    let info = start(&processes, "read go; seq 1 1000000").await;
    let mut logs = processes.follow_logs(&info.id, FollowLogs::new()).await.unwrap();
    processes.input(&info.id, "\n").await.unwrap();
    let mut seen = Seen::default();
    seen.rest(&mut logs).await;
    seen.assert_whole();
    assert_eq!(seen.gaps, []);
    let text = seen.text();
    assert!(text.lines().eq((1..=1_000_000).map(|n: u32| n.to_string())), "{} bytes", text.len());
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn the_process_of_a_server_that_was_restarted_is_gone() {
    let (mut server, sdk) = connected().await;
    let processes = sdk.processes();
    let info = start(&processes, "echo one; read go").await;
    let mut logs = processes.follow_logs(&info.id, FollowLogs::new()).await.unwrap();
    assert!(matches!(logs.next().await, Some(Ok(LogEvent::Output(_)))));
    server.restart().await.unwrap();
    // It has the id of the one before.
    let other = start(&processes, "echo other; read go").await;
    assert_eq!(other.id, info.id);
    let error = logs.next().await.unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::ProcessGone, "{error:?}");
    assert!(logs.next().await.is_none());
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_closed_sdk_ends_its_streams() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let info = start(&processes, "read go").await;
    let mut logs = processes.follow_logs(&info.id, FollowLogs::new()).await.unwrap();
    let next = tokio::spawn(async move { logs.next().await });
    sdk.close().await.unwrap();
    let next = tokio::time::timeout(Duration::from_secs(5), next).await.unwrap().unwrap();
    assert_eq!(*next.unwrap().unwrap_err().kind(), ErrorKind::Closed);
}
