//! The program in the sandbox that carries one connection: a short script for whichever of three interpreters is
//! there.

use std::time::Duration;

use futures::StreamExt;

use super::frames::{Frame, Reader};
use crate::api::processes::{LogEvent, LogOutput, ProcessCreateRequest, ProcessLogs, ProcessLogsStream};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;

/// Finds an interpreter, the one that starts fastest first.
const FIND: &str = include_str!("relay/find.sh");
const PERL: &str = include_str!("relay/relay.pl");
const PYTHON: &str = include_str!("relay/relay.py");
const NODE: &str = include_str!("relay/relay.js");

/// What any of has to be there.
const PROGRAMS: [&str; 3] = ["perl", "python3", "node"];
/// So often at least a relay hears that there is still somebody.
pub(super) const BEAT: Duration = Duration::from_secs(15);
/// A relay that hears nothing for so long ends, at the earliest: its client is gone.
const SILENCE: Duration = Duration::from_secs(90);
/// So much of what a relay says goes into an error.
const MOST_SAID: usize = 300;

/// A relay to this port that sends so many bytes before it hears that they were taken.
pub(super) fn request(port: u16, window: u32, limits: &Limits) -> ProcessCreateRequest {
    // A server may be away for so long between two beats, and then leave one unanswered.
    let away = limits.reconnect.saturating_add(limits.call).saturating_add(BEAT);
    let silence = SILENCE.max(away).as_secs();
    // In its environment, since whoever asks for processes is told their arguments.
    ProcessCreateRequest::new("sh")
        .args(["-c", "eval \"$SANDBOX_RELAY\"", "sandbox-relay"])
        .args([port.to_string(), window.to_string(), silence.to_string()])
        .env("SANDBOX_RELAY", FIND)
        .env("SANDBOX_RELAY_PERL", PERL)
        .env("SANDBOX_RELAY_PYTHON", PYTHON)
        .env("SANDBOX_RELAY_NODE", NODE)
        .interactive(true)
}

/// What a relay writes, with the errors that it may mean.
#[derive(Debug)]
pub(super) struct Output {
    logs: ProcessLogs,
    reader: Reader,
    said: Vec<u8>,
    port: u16,
}

impl Output {
    pub(super) fn new(logs: ProcessLogs, port: u16) -> Self {
        Self { logs, reader: Reader::default(), said: Vec::new(), port }
    }

    /// The next frame; `None` once the relay has ended and all that it wrote was read.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            match self.reader.next()? {
                Some(Frame::Failed(why)) => return Err(failed(&why, self.port)),
                Some(frame) => return Ok(Some(frame)),
                None => {}
            }
            match self.logs.next().await.transpose()? {
                Some(LogEvent::Output(LogOutput { stream: ProcessLogsStream::Stderr, bytes, .. })) => {
                    let room = MOST_SAID.saturating_sub(self.said.len());
                    self.said.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                Some(LogEvent::Output(output)) => self.reader.push(output.bytes),
                Some(LogEvent::Gap(gap)) => {
                    let message = format!(
                        "{} pieces of what port {} sent are missing: the server dropped them",
                        gap.missing(),
                        self.port
                    );
                    return Err(Error::new(ErrorKind::ConnectionBroken, message));
                }
                Some(LogEvent::Exited(_)) | None => return Ok(None),
            }
        }
    }

    /// Waits until the relay is connected.
    pub(super) async fn opened(&mut self) -> Result<()> {
        match self.next().await? {
            Some(Frame::Opened) => Ok(()),
            Some(_) => {
                Err(Error::protocol("the relay in the sandbox carried something before it was connected"))
            }
            None => Err(self.ended()),
        }
    }

    /// The error that the relay ended before its connection did.
    pub(super) fn ended(&self) -> Error {
        let said = String::from_utf8_lossy(&self.said);
        let message = format!("the relay to port {} ended in the sandbox: {}", self.port, said.trim());
        Error::new(ErrorKind::ConnectionBroken, message.trim_end_matches([':', ' ']))
    }
}

fn failed(why: &str, port: u16) -> Error {
    let (kind, detail) = why.split_once(' ').unwrap_or((why, ""));
    let detail: String = detail.chars().take(MOST_SAID).collect();
    match kind {
        "missing" => missing(&PROGRAMS),
        "refused" => {
            let message = format!(
                "nothing in the sandbox takes connections on port {port} ({detail}); start it, or wait for it"
            );
            Error::new(ErrorKind::PortRefused { port }, message)
        }
        _ => {
            let message = format!("the connection to port {port} broke in the sandbox: {detail}");
            Error::new(ErrorKind::ConnectionBroken, message)
        }
    }
}

/// The error that a program is missing in the sandbox.
pub(super) fn missing(any_of: &[&str]) -> Error {
    let message = format!(
        "the sandbox has no {}, one of which carries connections to its ports; install one there",
        any_of.join(", no ")
    );
    let any_of = any_of.iter().map(|&program| program.to_owned()).collect();
    Error::new(ErrorKind::ProgramMissing { any_of }, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_relay_says_of_its_end_is_typed() {
        let refused = failed("refused Connection refused", 80);
        assert_eq!(*refused.kind(), ErrorKind::PortRefused { port: 80 });
        assert!(refused.to_string().contains("(Connection refused)"), "{refused}");
        assert_eq!(*failed("broken ECONNRESET", 80).kind(), ErrorKind::ConnectionBroken);
        let ErrorKind::ProgramMissing { any_of } = failed("missing", 80).kind().clone() else { panic!() };
        assert_eq!(any_of, PROGRAMS);
    }

    #[test]
    fn a_relay_waits_longer_than_its_client_tries() {
        let silence = |limits| request(80, 1000, &limits).args[5].parse::<u64>().unwrap();
        let limits = |reconnect| Limits::default().call(Duration::from_secs(5)).reconnect(reconnect);
        assert_eq!(silence(limits(Duration::from_secs(1))), 90);
        assert_eq!(silence(limits(Duration::from_secs(600))), 620);
        silence(limits(Duration::MAX));
    }

    #[test]
    fn a_relays_arguments_say_whose_it_is_and_where_it_leads() {
        let request = request(80, 1000, &Limits::default());
        assert_eq!(request.args[2..], ["sandbox-relay", "80", "1000", "105"]);
        assert!(request.args.iter().all(|arg| arg.len() < 100), "its script is not among them");
    }
}
