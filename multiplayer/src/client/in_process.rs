//! A workspace of this process as a transport.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use sandbox_agent_sdk::persist::RawValue;

use super::transport::{Caller, Connection, Pushed, Resume, Transport};
use crate::call::Call;
use crate::error::{Error, ErrorKind, Result};
use crate::line::Frames;
use crate::member::Member;

/// How many frames are pushed at once.
const BATCH: usize = 64;
/// The bytes of a page: as many as go through a message elsewhere.
const PAGE_BYTES: usize = 1024 * 1024;

/// The transport of somebody who takes part in a workspace of this process.
///
/// Nothing is lost on it, and nobody is let in: the member is who they are. What is final elsewhere is
/// so here, and a workspace that is closed, overtaken or whose store failed comes back as no member's.
#[derive(Debug)]
pub struct InProcess {
    member: Arc<Member>,
}

impl InProcess {
    /// The transport of this member, who is here until it is dropped.
    pub fn new(member: Member) -> Self {
        Self { member: Arc::new(member) }
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn connect(&self, resume: Resume) -> Result<Connection> {
        let frames = match resume.after {
            Some(after) => self.member.frames_after(after)?,
            None => self.member.frames()?,
        };
        let pushes = stream::unfold(Some(frames), |frames| async {
            let mut frames = frames?;
            match next(&mut frames).await {
                Ok(pushed) => Some((pushed, Some(frames))),
                Err(error) => Some((Pushed::Gone(error), None)),
            }
        });
        Ok(Connection::new(Calls(self.member.clone()), pushes.boxed()))
    }

    fn is_final(&self, error: &Error) -> bool {
        use ErrorKind::{Closed, InvalidInput, NotFound, Overtaken, Refused, Store};
        matches!(error.kind(), Closed | InvalidInput | NotFound | Overtaken | Refused | Store)
    }
}

async fn next(frames: &mut Frames) -> Result<Pushed> {
    match frames.recv_many(BATCH).await {
        Some(frames) => frames.map(Pushed::Frames),
        None => Err(Error::closed()),
    }
}

#[derive(Debug)]
struct Calls(Arc<Member>);

#[async_trait]
impl Caller for Calls {
    async fn call(&self, call: Call) -> Result<Box<RawValue>> {
        self.0.call(call, PAGE_BYTES).await
    }
}
