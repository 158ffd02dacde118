//! The end of a session in this SDK: what is received is stored, and its process is ended or left.

use std::sync::Arc;

use sandbox_agent_persist::PersistErrorKind;
use tokio::time::timeout;

use super::core::SessionCore;
use super::tail::End;
use crate::acp::Link;
use crate::error::{Error, ErrorKind, Result};

/// What came of the end of a session.
#[derive(Debug)]
#[must_use = "its process may go on, or what it said last be lost"]
pub(crate) struct Parted {
    /// An error where its process was to be ended, and it is not known whether this SDK may.
    pub(crate) process: Result<()>,
    /// An error where something that was received is not in the store.
    pub(crate) stored: Result<()>,
}

impl Parted {
    pub(crate) fn whole(self) -> Result<()> {
        self.process.and(self.stored)
    }
}

impl SessionCore {
    /// Stores what was received and ends the tasks; with `kill` it ends the process too. All of it is done that
    /// can be, whatever fails.
    pub(crate) async fn shut_down(&self, kill: bool) -> Parted {
        // Also of a session whose store failed: its process lives.
        let lives = |link: &Arc<Link>| !link.death().is_some_and(|error| error.is_agent_gone());
        let link = self.link().filter(|link| kill && lives(link));
        let mut ours = match &link {
            Some(_) => self.may_end_process().await,
            None => Ok(false),
        };
        self.queue.close(&self.end_error());
        if let (Some(link), Ok(true)) = (&link, &ours) {
            link.bury(&self.end_error());
            // While the session is held still: its end lets go of it.
            ours = self.sign_off(link, "closed").await;
        }
        let end = async {
            self.stop.cancel();
            let mut mark = self.tail.watch();
            let ended = mark.wait_for(|mark| mark.end.is_some());
            let _ = timeout(self.limits.store, ended).await;
        };
        let delete = async {
            if let (Some(link), Ok(true)) = (&link, &ours) {
                link.delete().await;
            }
        };
        futures::join!(end, delete);
        self.let_go().await;
        Parted { process: ours.map(drop).map_err(|error| self.goes_on(error)), stored: self.all_stored() }
    }

    fn all_stored(&self) -> Result<()> {
        let end = self.tail.watch().borrow().end.clone();
        let id = &self.id;
        match end {
            Some(End::Closed) => Ok(()),
            // It is another one's now, or nobody's: nothing of it is to be stored by this SDK.
            Some(End::Failed(error)) if error.is_fenced() || *error.kind() == ErrorKind::SessionNotFound => {
                Ok(())
            }
            Some(End::Failed(error)) => {
                let message = format!("what session {id:?} received last could not be stored");
                Err(Error::new(error.kind().clone(), message).with_source(error))
            }
            None => Err(Error::new(
                ErrorKind::Persist(PersistErrorKind::Unavailable),
                format!(
                    "the session store did not take within {:?} what session {id:?} received last",
                    self.limits.store
                ),
            )),
        }
    }

    fn goes_on(&self, error: Error) -> Error {
        let id = &self.id;
        let message = format!(
            "the agent process of session {id:?} goes on, because the session store did not say whether another \
             SDK has it meanwhile; close the session once more when the store answers"
        );
        Error::new(error.kind().clone(), message).with_source(error)
    }
}
