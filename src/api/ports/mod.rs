//! Ports in the sandbox: a connection to a service there, or a port of this machine that leads to one.
//!
//! The server forwards no ports. So each connection goes through a process in the sandbox, a short script that `perl`,
//! `python3` or `node` runs, whichever is there: what is written goes to its input, what is read comes from its log.
//! Both carry any byte. Numbers in the log, and counts at the end of each direction, show whether something is
//! missing, and then the connection breaks with [`ConnectionBroken`](crate::ErrorKind::ConnectionBroken): a connection
//! that ends without an error is whole.
//!
//! | | bound |
//! | --- | --- |
//! | bytes on their way, each direction of a connection | 1 MiB, or a quarter of the server's log where that is less; whoever sends more waits |
//! | connections of one [`PortForward`] | 32; more wait until one ends |
//! | processes of the server, of all its clients | 64 unless [configured](super::processes::ProcessConfig), one a connection |
//! | a relay whose client is gone, by `kill -9` or with its network | ends after 105 s, or 15 s more than [`Limits::reconnect`](crate::Limits::reconnect) and [`call`](crate::Limits::call) together |
//! | a service that sends nothing | none: the connection stays |
//!
//! ```no_run
//! use sandbox_agent_sdk::SandboxAgent;
//!
//! # async fn example(sdk: SandboxAgent) -> Result<(), Box<dyn std::error::Error>> {
//! // A web server of the sandbox's, with the HTTP client that you have.
//! let forward = sdk.ports().forward(3000).await?;
//! let page = reqwest::get(format!("{}/index.html", forward.url())).await?.error_for_status()?.text().await?;
//! println!("{page}");
//! forward.close().await;
//! # Ok(()) }
//! ```

mod carrier;
mod flow;
mod forward;
mod frames;
mod input;
mod opening;
mod relay;
mod stream;

use std::sync::Arc;

use tokio::sync::OnceCell;

pub use forward::PortForward;
pub use stream::PortStream;

use super::processes::{FollowLogs, Owned, Processes};
use crate::error::{Error, Result};
use opening::Opening;
use relay::Output;

/// Enough that a fast line is never idle, and a tenth of the log that the server keeps.
const WINDOW: u32 = 1024 * 1024;
/// The server takes so much input at once, unless it is set lower.
const MOST_INPUT: u64 = 64 * 1024;
/// With less than this nothing could be carried.
const LEAST_INPUT: u64 = 64;

/// The ports of the sandbox. A cheap clone.
///
/// A port is one on which something in the sandbox takes connections at `127.0.0.1`, or at `::1` where nothing does at
/// the other.
#[derive(Clone, Debug)]
pub struct Ports {
    processes: Processes,
    bounds: Arc<OnceCell<Bounds>>,
}

/// What the server lets a connection have.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    window: u32,
    most_input: usize,
}

impl Ports {
    pub(crate) fn new(processes: Processes) -> Self {
        Self { processes, bounds: Arc::default() }
    }

    /// Connects to a port in the sandbox.
    ///
    /// Fails with [`PortRefused`](crate::ErrorKind::PortRefused) where nothing takes connections there, and with
    /// [`ProgramMissing`](crate::ErrorKind::ProgramMissing) where the sandbox has nothing that could carry them. Bounded by
    /// [`Limits::call`](crate::Limits::call) for each of three steps; dropping the call leaves nothing behind.
    ///
    /// ```no_run
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # async fn example(sdk: sandbox_agent_sdk::SandboxAgent) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut redis = sdk.ports().connect(6379).await?;
    /// redis.write_all(b"PING\r\n").await?;
    /// let mut answer = [0; 7];
    /// redis.read_exact(&mut answer).await?;
    /// assert_eq!(&answer, b"+PONG\r\n");
    /// # Ok(()) }
    /// ```
    pub async fn connect(&self, port: u16) -> Result<PortStream> {
        let mut opening = self.start(port).await?;
        opening.opened().await?;
        let (stream, carrier) = opening.carry();
        self.processes.api.runtime.spawn(carrier.run());
        Ok(stream)
    }

    /// Listens on a free port of `127.0.0.1`, and carries each connection to it to a port in the sandbox.
    ///
    /// Whether something takes connections there shows with each of them: see [`PortForward`]. Returns at once,
    /// and fails with [`Io`](crate::ErrorKind::Io) where this machine has no free port.
    pub async fn forward(&self, port: u16) -> Result<PortForward> {
        self.forward_from(0, port).await
    }

    /// The same from a port of this machine that is named; one that is taken is an [`Io`](crate::ErrorKind::Io).
    pub async fn forward_from(&self, local: u16, port: u16) -> Result<PortForward> {
        PortForward::start(self.clone(), local, port).await
    }

    /// Starts the relay of a connection.
    async fn start(&self, port: u16) -> Result<Opening> {
        if port == 0 {
            return Err(Error::invalid("nothing listens on port 0; name the service's port"));
        }
        let bounds = *self.bounds.get_or_try_init(|| self.ask_bounds()).await?;
        let processes = self.processes.clone();
        let request = relay::request(port, bounds.window, &processes.api.limits);
        let (info, owned) = Owned::start(&processes, request).await.map_err(not_started)?;
        let logs = processes.follow(info, FollowLogs::new(), Arc::default()).await?;
        Ok(Opening { processes, owned, output: Output::new(logs, port), port, bounds })
    }

    async fn ask_bounds(&self) -> Result<Bounds> {
        let config = self.processes.config().await?;
        let kept = u32::try_from(config.max_log_bytes_per_process / 4).unwrap_or(u32::MAX);
        let most_input = config.max_input_bytes_per_request.min(MOST_INPUT);
        if most_input < LEAST_INPUT || kept == 0 {
            let message = "the server's bounds for processes leave no room for a connection; raise \
                           `max_log_bytes_per_process` and `max_input_bytes_per_request`";
            return Err(Error::invalid(message));
        }
        // No more than 64 KiB.
        Ok(Bounds { window: kept.min(WINDOW), most_input: most_input as usize })
    }
}

/// What the server says where there is no shell is that of the system.
fn not_started(error: Error) -> Error {
    let no_shell = error.problem().is_some_and(|problem| {
        problem.code() == "stream_error"
            && problem.detail.as_deref().is_some_and(|why| why.contains("(os error 2)"))
    });
    if no_shell { relay::missing(&["sh"]).with_source(error) } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::http::Problem;

    #[test]
    fn only_a_program_that_is_not_there_is_missing() {
        let kind = |code: u8| {
            let problem = serde_json::json!({
                "type": "urn:sandbox-agent:error:stream_error",
                "title": "Stream Error",
                "status": 502,
                "detail": format!("failed to spawn process: it failed (os error {code})"),
            });
            let Ok(problem) = serde_json::from_value::<Problem>(problem) else { panic!() };
            not_started(Error::new(ErrorKind::Refused(problem), "refused")).kind().clone()
        };
        assert!(matches!(kind(2), ErrorKind::ProgramMissing { .. }));
        assert!(matches!(kind(24), ErrorKind::Refused(_)), "too many open files");
    }
}
