//! Terminals that show much.

use std::fs;
use std::time::{Duration, Instant};

use futures::StreamExt;
use sandbox_agent_sdk::api::processes::{
    FollowLogs, LogEvent, LogGap, ProcessCreateRequest, ProcessInfo, ProcessLogsQuery, Processes,
    TerminalSize,
};
use sha2::{Digest, Sha256};
use tempfile::{TempDir, tempdir};

use super::connected;
use super::seeded::{Seeded, hex};

/// What the server adds when a terminal closes.
const CLOSED: &[u8] = b"[process stream error";
const BYTES: usize = 50_000_000;
/// A megabyte a second: the terminal gets it as it is, and the same goes into the file `shown`.
const SLOWLY: &str = "stty raw -echo
begun=$(date +%s%3N)
i=0
while [ $i -lt 1000 ]; do
    dd if=source bs=50000 skip=$i count=1 2>/dev/null | tee -a shown
    stty size >> sizes
    i=$((i + 1))
    [ $(date +%s%3N) -lt $((begun + i * 50)) ] && sleep 0.045
done
sha256sum < shown > hash";
/// Lines of 16 bytes, each with its number.
const AT_ONCE: &str = "stty raw -echo; seq -f %015.0f 1 3125000 | tee shown";

async fn start(processes: &Processes, script: &str, most_log: u64) -> (ProcessInfo, TempDir) {
    let mut config = processes.config().await.unwrap();
    config.max_log_bytes_per_process = most_log;
    processes.set_config(&config).await.unwrap();
    let folder = tempdir().unwrap();
    if script == SLOWLY {
        Seeded(50).file(&folder.path().join("source"), BYTES);
    }
    let shell = ProcessCreateRequest::new("sh").args(["-c", script]).tty(true);
    let info = processes.create(&shell.cwd(folder.path().to_str().unwrap())).await.unwrap();
    (info, folder)
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn fifty_megabytes_come_whole_while_the_terminal_is_resized() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let started = Instant::now();
    let (info, folder) = start(&processes, SLOWLY, 4 * BYTES as u64).await;
    let mut terminal = processes.terminal(&info.id, FollowLogs::new()).await.unwrap();
    let (input, mut hash, mut rest) = (terminal.input(), Sha256::new(), Vec::new());
    let (mut bytes, mut last, mut resized) = (0, 0, 0);
    loop {
        match terminal.next().await.unwrap().unwrap() {
            LogEvent::Output(output) => {
                assert_eq!(output.sequence, last + 1);
                last = output.sequence;
                let (shown, closed) = output.bytes.split_at(output.bytes.len().min(BYTES - bytes));
                hash.update(shown);
                bytes += shown.len();
                rest.extend_from_slice(closed);
                if bytes > resized * 100_000 && bytes < BYTES / 100 * 99 {
                    resized += 1;
                    let cols = u16::try_from(100 + resized % 50).unwrap();
                    input.resize(TerminalSize { cols, rows: 40 }).await.unwrap();
                }
            }
            LogEvent::Exited(info) => break assert_eq!(info.exit_code, Some(0)),
            other => panic!("{other:?} after {bytes} bytes"),
        }
    }
    let took = started.elapsed();
    eprintln!("{bytes} bytes in {last} outputs, resized {resized} times, in {took:?}");
    let said = fs::read_to_string(folder.path().join("hash")).unwrap();
    assert_eq!(fs::metadata(folder.path().join("shown")).unwrap().len(), BYTES as u64);
    assert_eq!((bytes, hex(hash).as_str()), (BYTES, said.split(' ').next().unwrap()));
    assert!(rest.trim_ascii().is_empty() || rest.trim_ascii().starts_with(CLOSED), "{rest:?}");
    let sizes = fs::read_to_string(folder.path().join("sizes")).unwrap();
    let changes = sizes.lines().zip(sizes.lines().skip(1)).filter(|(one, next)| one != next).count();
    assert!(changes > 100, "the program saw {changes} new sizes");
    assert!(took > Duration::from_secs(45), "{took:?}: slow enough that it is no burst");
}

/// Where a run of output is in what was shown, by the number of its first whole line.
fn place(run: &[u8]) -> usize {
    let first = run.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let number: usize = std::str::from_utf8(&run[first..first + 15]).unwrap().parse().unwrap();
    (number - 1) * 16 - first
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_comes_too_fast_is_all_there_or_a_hole_with_both_sequences() {
    let (_server, sdk) = connected().await;
    let processes = sdk.processes();
    let (info, folder) = start(&processes, AT_ONCE, 2_000_000).await;
    let mut terminal = processes.terminal(&info.id, FollowLogs::new()).await.unwrap();
    let (mut runs, mut gaps) = (vec![Vec::new()], Vec::<LogGap>::new());
    let (mut last, mut outputs) = (0, 0);
    loop {
        match terminal.next().await.unwrap().unwrap() {
            LogEvent::Output(output) => {
                assert_eq!(output.sequence, last + 1, "a hole without a name");
                last = output.sequence;
                outputs += 1;
                runs.last_mut().unwrap().extend_from_slice(&output.bytes);
            }
            LogEvent::Gap(gap) => {
                assert_eq!(gap.after, last);
                last = gap.before - 1;
                gaps.push(gap);
                runs.push(Vec::new());
            }
            LogEvent::Exited(info) => break assert_eq!(info.exit_code, Some(0)),
            other => panic!("{other:?}"),
        }
        if outputs == 100 {
            // A reader that stands still while more is shown than the log holds.
            while !processes.get(&info.id).await.unwrap().is_exited()
                && newest(&processes, &info.id).await < 5_000
            {}
        }
    }
    assert_eq!(last, newest(&processes, &info.id).await);
    let missing: u64 = gaps.iter().map(LogGap::missing).sum();
    assert!(missing > 0, "more was shown than the log holds");
    assert_eq!(outputs + missing, last);

    let shown = fs::read(folder.path().join("shown")).unwrap();
    assert_eq!(shown.len(), BYTES);
    let (mut end, mut received, mut lost) = (0, 0, 0);
    for (number, run) in runs.iter().enumerate() {
        let closed = run.windows(CLOSED.len()).position(|window| window == CLOSED);
        let run = &run[..closed.unwrap_or(run.len())];
        if number > 0 && run.len() < 32 {
            assert!(run.trim_ascii().is_empty());
            continue;
        }
        let begin = if number == 0 { 0 } else { place(run) };
        assert!(begin >= end, "{begin} was before {end}");
        lost += begin - end;
        let run = &run[..run.len().min(BYTES - begin)];
        assert!(*run == shown[begin..begin + run.len()], "another output than was shown, from {begin} on");
        received += run.len();
        end = begin + run.len();
    }
    lost += BYTES - end;
    eprintln!(
        "{received} bytes in {outputs} outputs, {lost} bytes in {} holes of {missing} outputs",
        gaps.len()
    );
    assert_eq!(received + lost, BYTES);
    assert!(lost > 0);
}

async fn newest(processes: &Processes, id: &str) -> u64 {
    let logs = processes.logs(id, &ProcessLogsQuery::new().tail(1_u64)).await.unwrap();
    logs.entries.last().map_or(0, |entry| entry.sequence)
}
