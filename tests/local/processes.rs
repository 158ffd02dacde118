//! What runs, as the system itself says.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// No test comes near it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The processes that have this text in their arguments or their environment, but for those that have ended and wait
/// for somebody to ask how.
pub fn with(text: &str) -> Vec<(u32, String)> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.unwrap();
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let has = |file: &str| {
            let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        let found = (has("cmdline") || has("environ")) && runs(pid);
        found.then(|| (pid, name(pid)))
    });
    processes.collect()
}

pub fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    // After the name, which may have anything in it.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn name(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

/// Whether this is the server itself, by its name.
pub fn is_server(name: &str) -> bool {
    name.contains("server --host") && !name.contains("sandbox-agent-guard")
}

/// Waits until a condition holds; what it tells when it does not is in the panic.
pub fn wait<T>(mut condition: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match condition() {
            Ok(done) => return done,
            Err(what) => assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until none of these runs, and nothing that has this text about it.
pub fn wait_until_gone(text: &str, pids: &[u32]) {
    wait(|| {
        let left = with(text);
        let pids: Vec<_> = pids.iter().filter(|pid| runs(**pid)).collect();
        if left.is_empty() && pids.is_empty() { Ok(()) } else { Err(format!("{pids:?} {left:?}")) }
    });
}
