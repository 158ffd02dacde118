//! A client on paused time, over a host that does what a test says.

#![allow(clippy::unwrap_used)]

mod calls;
mod face;
mod host;
mod line;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use host::Host;
pub(super) use host::{frame, run};

use super::{ClientFrames, Status, WorkspaceClient};
use crate::frame::Frame;

/// Longer than anything may take.
const EVER: Duration = Duration::from_secs(600);

fn client(host: &Host) -> WorkspaceClient {
    WorkspaceClient::builder(host.clone()).start()
}

async fn connected(host: &Host) -> WorkspaceClient {
    WorkspaceClient::builder(host.clone()).connect().await.unwrap()
}

async fn next(frames: &mut ClientFrames) -> Arc<Frame> {
    timeout(EVER, frames.recv()).await.unwrap().unwrap().unwrap()
}

/// The next frames, up to this one.
async fn up_to(frames: &mut ClientFrames, last: u64) {
    let mut at = frames.position().unwrap();
    while at < last {
        let frame = next(frames).await;
        assert_eq!(frame.from, at + 1, "without a hole and without a double");
        at = frame.sequence;
    }
    assert_eq!(at, last);
}

async fn becomes(client: &WorkspaceClient, wanted: impl FnMut(&Status) -> bool) -> Status {
    timeout(EVER, client.status().wait_for(wanted)).await.unwrap().unwrap().clone()
}

fn is_connected(status: &Status) -> bool {
    matches!(status, Status::Connected)
}
