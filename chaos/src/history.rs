//! All that is known of a seed when it is over, for the oracle to judge.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use sandbox_agent_sdk::{ListEventsRequest, ListSessionsRequest, SessionEvent, SessionPersistDriver};
use sandbox_agent_testkit::{AgentLine, Direction};
use serde::Deserialize;

use crate::log::{Entry, whole_lines};

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) processes: Vec<Process>,
    pub(crate) sessions: Vec<Recorded>,
    pub(crate) client: Vec<Entry>,
}

/// What an agent process logged.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) sent: Vec<Sent>,
    pub(crate) received: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at_ms: i64,
    pub(crate) line: String,
}

/// What the store has of a session.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) id: String,
    pub(crate) events: Vec<SessionEvent>,
}

/// A line of the log of `scripted-acp-agent`.
#[derive(Deserialize)]
struct Logged {
    pid: u32,
    dir: String,
    at_ms: i64,
    line: String,
}

/// The processes in a log that they share.
pub(crate) fn processes_of_file(path: &Path) -> Result<Vec<Process>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
    };
    let mut processes = Processes::default();
    for line in whole_lines(&String::from_utf8_lossy(&text)) {
        let Logged { pid, dir, at_ms, line } = entry(line)?;
        processes.add(pid, dir == "out", at_ms, line);
    }
    Ok(processes.all)
}

/// An entry; a kill may have left half of another one before it, whose line was never sent.
/// Quotes within an entry are escaped, so that only its beginning has this sign.
fn entry(line: &str) -> Result<Logged> {
    let start = line.rfind("{\"").unwrap_or(0);
    serde_json::from_str(&line[start..]).with_context(|| line.to_owned())
}

/// The processes of an in-process server.
pub(crate) fn processes_of_lines(lines: Vec<AgentLine>) -> Vec<Process> {
    let mut processes = Processes::default();
    for AgentLine { pid, direction, at_ms, line, .. } in lines {
        processes.add(pid, direction == Direction::Wrote, at_ms as i64, line);
    }
    processes.all
}

#[derive(Default)]
struct Processes {
    all: Vec<Process>,
    by_pid: HashMap<u32, usize>,
}

impl Processes {
    fn add(&mut self, pid: u32, sent: bool, at_ms: i64, line: String) {
        // A handshake is the first that a process gets: another one has taken over the number.
        let begins = !sent && method(&line).as_deref() == Some("initialize");
        let place = match self.by_pid.get(&pid) {
            Some(place) if !begins || self.all[*place].received.is_empty() => *place,
            _ => {
                self.all.push(Process { name: format!("pid {pid}"), ..Process::default() });
                self.by_pid.insert(pid, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        match sent {
            true => self.all[place].sent.push(Sent { at_ms, line }),
            false => self.all[place].received.push(line),
        }
    }
}

/// The method of an envelope, if it has one.
pub(crate) fn method(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Head {
        method: Option<String>,
    }
    serde_json::from_str::<Head>(line).ok()?.method
}

pub(crate) async fn recorded(store: &dyn SessionPersistDriver) -> Result<Vec<Recorded>> {
    let mut sessions = Vec::new();
    for session in store.list_sessions(ListSessionsRequest::new().limit(1000)).await?.items {
        let mut events = Vec::new();
        let mut request = ListEventsRequest::new(&session.id).limit(1000);
        loop {
            let page = store.list_events(request.clone()).await?;
            events.extend(page.items);
            match page.next_cursor {
                Some(cursor) => request = request.cursor(cursor),
                None => break,
            }
        }
        sessions.push(Recorded { id: session.id, events });
    }
    Ok(sessions)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn half_an_entry_before_a_whole_one_is_passed_over() {
        let whole = r#"{"pid":7,"dir":"out","at_ms":1,"line":"{\"a\":{\"b\":1}}"}"#;
        for before in ["", &whole[..30], &whole[..50]] {
            let read = entry(&format!("{before}{whole}")).unwrap();
            assert_eq!((read.pid, read.line.as_str()), (7, r#"{"a":{"b":1}}"#));
        }
        assert!(entry(&whole[..50]).is_err());
    }

    #[test]
    fn a_handshake_begins_a_process_also_under_a_number_that_was_there() {
        let initialize = r#"{"id":1,"method":"initialize"}"#;
        let mut processes = Processes::default();
        processes.add(7, false, 0, initialize.to_owned());
        processes.add(7, true, 1, "{}".to_owned());
        processes.add(8, false, 2, initialize.to_owned());
        processes.add(7, false, 3, initialize.to_owned());
        processes.add(7, true, 4, "[]".to_owned());
        let sent = |process: &Process| process.sent.iter().map(|sent| sent.line.clone()).collect::<Vec<_>>();
        let sent: Vec<_> = processes.all.iter().map(sent).collect();
        assert_eq!(sent, [vec!["{}"], vec![], vec!["[]"]]);
    }
}
