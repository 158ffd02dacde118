//! A connection whose relay was started.

use std::sync::{Arc, OnceLock};

use tokio::io::duplex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::carrier::Carrier;
use super::relay::Output;
use super::{Bounds, PortStream};
use crate::api::call::timed_out;
use crate::api::processes::{Owned, Processes};
use crate::error::Result;

/// What an application reads and writes ahead of the connection, each way.
const BUFFER: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Opening {
    pub(super) processes: Processes,
    pub(super) owned: Owned,
    pub(super) output: Output,
    pub(super) port: u16,
    pub(super) bounds: Bounds,
}

impl Opening {
    /// Waits until the service has taken the connection.
    pub(super) async fn opened(&mut self) -> Result<()> {
        let limit = self.processes.api.limits.call;
        let opened = timeout(limit, self.output.opened()).await;
        opened.map_err(|_| timed_out("the relay in the sandbox", limit))?
    }

    /// The open connection, and what has to run for it.
    pub(super) fn carry(self) -> (PortStream, Carrier) {
        let Self { processes, owned, output, port, bounds: Bounds { window, most_input } } = self;
        let (ours, app) = duplex(BUFFER);
        let (failed, dropped) = (Arc::<OnceLock<_>>::default(), CancellationToken::new());
        let stream = PortStream::new(port, ours, failed.clone(), dropped.clone().drop_guard());
        (stream, Carrier { processes, owned, output, app, failed, dropped, window, most_input })
    }
}
