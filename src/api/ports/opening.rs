//! A connection whose relay was started.

use std::sync::{Arc, OnceLock};

use tokio::io::duplex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::carrier::Carrier;
use super::flow::Flow;
use super::relay::Output;
use super::{Bounds, PortStream};
use crate::api::call::timed_out;
use crate::api::processes::{Owned, Processes};
use crate::error::Result;

/// What an application writes ahead of the connection.
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
        let flow = Arc::new(Flow::new(window));
        // No more than 1 MiB.
        let (read, reads) = duplex(window as usize);
        let (written, writes) = duplex(BUFFER);
        let (failed, dropped) = (Arc::<OnceLock<_>>::default(), CancellationToken::new());
        let aborted = CancellationToken::new();
        let stream = PortStream {
            port,
            read,
            written,
            flow: flow.clone(),
            failed: failed.clone(),
            aborted: aborted.clone(),
            _dropped: dropped.clone().drop_guard(),
        };
        let carrier =
            Carrier { processes, owned, output, reads, writes, flow, failed, dropped, aborted, most_input };
        (stream, carrier)
    }
}
