//! Reads the output of one process to its end, over as many connections as it takes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::follow::{LogEvent, LogOutput};
use super::sequence::{LogSequence, Step};
use super::types::{ProcessInfo, ProcessLogEntry, ProcessLogsStream};
use super::{ProcessLogsQuery, Processes, operations};
use crate::api::retry::passes;
use crate::error::{Error, ErrorKind, Result};
use crate::sse::{EventSource, Item, Reconnect};

/// The stream says nothing of the process's end, so that it is asked for: soon, for a short command, then
/// ever less often.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_secs(2);
/// While output comes the end may be near.
const BUSY_LOOK: Duration = Duration::from_millis(250);
/// A process that ended may have left output on its way, and the server tells of the end before it has read
/// all of that: the end counts once nothing has come for this often as long. A server that is busy is given longer,
/// by how long it takes to answer.
const SETTLE: Duration = Duration::from_millis(50);
const SETTLED: u32 = 3;
/// What a terminal has is read later than what a pipe has.
const SETTLED_TERMINAL: u32 = 6;
/// So many times its slowest answer.
const SETTLED_BUSY: u32 = 20;
/// So often at most: its children may write on without end.
const MOST_SETTLES: usize = 40;
/// What the server has is sent at once; later than this it was passed over.
const QUIET: Duration = Duration::from_millis(250);

pub(super) struct Follower {
    processes: Processes,
    id: String,
    /// Tells the process from one that a restarted server gave the same id.
    created_at_ms: i64,
    wanted: Option<ProcessLogsStream>,
    sequence: LogSequence,
    ready: VecDeque<LogEvent>,
    source: Option<EventSource>,
    reconnect: Reconnect,
    looks_at: Instant,
    pause: Duration,
    /// Whether the log was compared since the stream was opened: the server may miss an entry between what it
    /// has and what comes, and no later one betrays it when that was the last.
    compared: bool,
    /// Somebody else heard of the process's end.
    ended: Arc<Notify>,
    end: End,
}

enum End {
    NotSeen,
    /// It ended, and so much was written until then.
    Ended(Box<ProcessInfo>, u64),
    Told,
}

impl Follower {
    pub(super) fn new(
        processes: Processes,
        info: ProcessInfo,
        wanted: Option<ProcessLogsStream>,
        last: u64,
        kept: Vec<ProcessLogEntry>,
        ended: Arc<Notify>,
    ) -> Result<Self> {
        let mut follower = Self {
            reconnect: Reconnect::new(processes.api.limits.reconnect),
            processes,
            id: info.id,
            created_at_ms: info.created_at_ms,
            wanted,
            sequence: LogSequence::after(last),
            ready: VecDeque::new(),
            source: None,
            looks_at: Instant::now(),
            pause: FIRST_LOOK,
            compared: false,
            ended,
            end: End::NotSeen,
        };
        kept.into_iter().try_for_each(|entry| follower.deliver(entry))?;
        Ok(follower)
    }

    pub(super) async fn next(&mut self) -> Result<Option<LogEvent>> {
        let stop = self.processes.api.stop.clone();
        stop.run_until_cancelled(self.advance()).await.unwrap_or_else(|| Err(Error::closed()))
    }

    async fn advance(&mut self) -> Result<Option<LogEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            match &mut self.end {
                End::Told => return Ok(None),
                End::Ended(info, until) if self.sequence.last() >= *until => {
                    let exited = LogEvent::Exited((**info).clone());
                    self.end = End::Told;
                    return Ok(Some(exited));
                }
                End::Ended(..) => self.read_to_the_end().await?,
                End::NotSeen => self.read().await?,
            }
        }
    }

    async fn read(&mut self) -> Result<()> {
        let Some(source) = &mut self.source else { return self.connect().await };
        let item = tokio::select! {
            item = source.next() => item,
            () = sleep_until(self.looks_at) => return self.look().await,
            () = self.ended.notified() => return self.look().await,
        };
        match item {
            Ok(Some(item)) => self.take(item),
            Ok(None) => self.lost(Error::new(ErrorKind::Unreachable, "the server ended the output")).await,
            Err(error) => self.lost(error).await,
        }
    }

    /// Reads what was written before the process ended: first as it is sent, then what was passed over.
    async fn read_to_the_end(&mut self) -> Result<()> {
        if let Some(source) = &mut self.source {
            match source.next_while_it_gives(QUIET).await {
                Ok(Some(item)) => return self.take(item),
                Ok(None) | Err(_) => self.source = None,
            }
        }
        if let Err(error) = self.compare().await {
            return self.lost(error).await;
        }
        if let End::Ended(_, until) = &mut self.end {
            // The log was read as a whole: what it lacks is not to be had.
            *until = self.sequence.last();
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<()> {
        let query =
            ProcessLogsQuery { follow: Some(true), ..ProcessLogsQuery::new().since(self.sequence.last()) };
        let api = &self.processes.api;
        let address = api.request(&operations::LOGS, &[&self.id], &query)?;
        let (silence, most) = (api.limits.heartbeat, api.limits.event_bytes);
        match EventSource::connect(&api.http, address.builder(&api.http), silence, most).await {
            Ok(source) => self.source = Some(source),
            Err(error) => return self.lost(error).await,
        }
        self.reconnect.opened(Instant::now());
        self.compared = false;
        self.pause = FIRST_LOOK;
        self.looks_at = Instant::now() + self.pause;
        // Only once it is open: a server that restarts later cuts it.
        match self.info().await {
            Ok(_) => Ok(()),
            Err(error) => self.lost(error).await,
        }
    }

    /// Waits for another try, or fails with what can't be mended.
    async fn lost(&mut self, error: Error) -> Result<()> {
        self.source = None;
        if error.problem().is_some_and(|problem| problem.status == 404) {
            return Err(self.gone().with_source(error));
        }
        if !passes(&error) {
            return Err(error);
        }
        match self.reconnect.failed(Instant::now()) {
            Some(delay) => sleep(delay).await,
            None => return Err(error),
        }
        Ok(())
    }

    fn gone(&self) -> Error {
        let message = format!(
            "the server has no process {:?} any more: its record was deleted, or the server was restarted",
            self.id
        );
        Error::new(ErrorKind::ProcessGone, message)
    }

    /// The process, unless the id is another one's by now.
    async fn info(&self) -> Result<ProcessInfo> {
        let info = self.processes.get(&self.id).await?;
        if info.created_at_ms == self.created_at_ms { Ok(info) } else { Err(self.gone()) }
    }

    /// Whether the process has ended, and whether there is output that did not come.
    async fn look(&mut self) -> Result<()> {
        self.pause = (self.pause * 2).min(LAST_LOOK);
        let looked = match self.info().await {
            Ok(info) if info.is_exited() => self.settle(info).await,
            Ok(_) if !self.compared => self.compare().await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        self.looks_at = Instant::now() + self.pause;
        match looked {
            // The stream notices by itself when the server stays away.
            Err(error) if error.is_unreachable() || error.is_timeout() => Ok(()),
            Err(error) => self.lost(error).await,
            Ok(()) => Ok(()),
        }
    }

    async fn settle(&mut self, info: ProcessInfo) -> Result<()> {
        let enough = if info.tty { SETTLED_TERMINAL } else { SETTLED };
        let mut until = self.processes.newest_sequence(&self.id).await?;
        let (mut quiet_since, mut slowest) = (Instant::now(), Duration::ZERO);
        for _ in 0..MOST_SETTLES {
            sleep(SETTLE).await;
            let asked = Instant::now();
            let now = self.processes.newest_sequence(&self.id).await?;
            slowest = slowest.max(asked.elapsed());
            if now != until {
                (until, quiet_since) = (now, Instant::now());
            }
            if quiet_since.elapsed() >= SETTLE * enough + slowest * SETTLED_BUSY {
                break;
            }
        }
        self.end = End::Ended(Box::new(info), until);
        Ok(())
    }

    /// Fetches what the log has beyond what was delivered.
    async fn compare(&mut self) -> Result<()> {
        let query = ProcessLogsQuery::new().since(self.sequence.last());
        let entries = self.processes.logs(&self.id, &query).await?.entries;
        self.compared = true;
        if !entries.is_empty() {
            self.sequence.asked();
        }
        entries.into_iter().try_for_each(|entry| self.arrived(entry))
    }

    fn take(&mut self, item: Item) -> Result<()> {
        match item {
            Item::Event { data, .. } => {
                self.pause = self.pause.min(BUSY_LOOK);
                self.looks_at = self.looks_at.min(Instant::now() + self.pause);
                let entry = serde_json::from_str(&data)
                    .map_err(|error| Error::protocol("output can't be read").with_source(error))?;
                self.arrived(entry)
            }
            Item::Heartbeat => Ok(()),
            Item::Unreadable { id, .. } => {
                Err(Error::protocol(format!("output {} can't be read", id.unwrap_or_default())))
            }
        }
    }

    fn arrived(&mut self, entry: ProcessLogEntry) -> Result<()> {
        match self.sequence.arrive(entry.sequence) {
            Step::Double => Ok(()),
            Step::Deliver => self.deliver(entry),
            Step::Hole(gap) => {
                self.ready.push_back(LogEvent::Gap(gap));
                self.deliver(entry)
            }
            Step::Ask => {
                self.sequence.asked();
                self.source = None;
                Ok(())
            }
        }
    }

    fn deliver(&mut self, entry: ProcessLogEntry) -> Result<()> {
        if self
            .wanted
            .as_ref()
            .is_none_or(|wanted| *wanted == entry.stream || *wanted == ProcessLogsStream::Combined)
        {
            self.ready.push_back(LogEvent::Output(LogOutput::read(entry)?));
        }
        Ok(())
    }
}
