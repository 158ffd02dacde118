//! Following, and how it goes wrong.

use sandbox_agent_persist::{PersistError, SessionFollow, async_trait};

use crate::driver::Driver;
use crate::faults::Fault::*;

#[async_trait]
impl SessionFollow for Driver {
    async fn changed(&self, session_id: &str, after_index: u64) -> Result<u64, PersistError> {
        if self.fault == TellsAtOnce {
            return Ok(after_index + 1);
        }
        let mut told = self.told.subscribe();
        let mut skips = self.fault == TellsOfLaterOnly;
        loop {
            let last = self.state().last_index(session_id);
            if last > after_index && !skips {
                return Ok(if self.fault == TellsTheNextIndex { last + 1 } else { last });
            }
            skips = false;
            if self.fault == TellsOneOnly && self.told.receiver_count() > 1 {
                std::future::pending::<()>().await;
            }
            // The sender is the driver's own.
            told.changed().await.unwrap();
            if self.fault == TellsOfAnySession {
                return Ok(after_index + 1);
            }
        }
    }
}
