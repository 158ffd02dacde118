//! Compares what a store holds with what writers were told.

use std::collections::BTreeMap;

use anyhow::Result;
use sandbox_agent_sdk::persist::{PersistError, PersistErrorKind};
use sandbox_agent_sdk::{ListEventsRequest, SessionPersistDriver};

use crate::record::{event, record};
use crate::writer::Told;

const PAGE: usize = 500;

/// What was told of each session: the last event, or how often the record was written.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    pub(crate) events: BTreeMap<String, u64>,
    pub(crate) records: BTreeMap<String, u64>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Wrong {
    /// Events and records that were acknowledged and are not there.
    pub(crate) missing: u64,
    /// Those that are there, and not as they were written.
    pub(crate) torn: u64,
}

impl Acknowledged {
    /// Remembers it; gives how many events and records more that are.
    pub(crate) fn add(&mut self, told: Told) -> u64 {
        let (of, session, count) = match told {
            Told::Events(session, last) => (&mut self.events, session, last),
            Told::Record(session, times) => (&mut self.records, session, times),
        };
        let before = of.insert(session, count).unwrap_or(0);
        count.saturating_sub(before)
    }

    pub(crate) async fn check(&self, driver: &dyn SessionPersistDriver) -> Result<Wrong> {
        let mut wrong = Wrong::default();
        for (session, last) in &self.events {
            let (held, torn) = events(driver, session).await?;
            wrong.missing += last.saturating_sub(held);
            wrong.torn += torn;
        }
        for (session, times) in &self.records {
            let Some(held) = or_torn(driver.get_session(session).await, &mut wrong.torn)?.flatten() else {
                wrong.missing += times;
                continue;
            };
            let held_times: u64 = held.agent_session_id.parse().unwrap_or(0);
            wrong.missing += times.saturating_sub(held_times);
            wrong.torn += u64::from(held != record(session, held_times));
        }
        Ok(wrong)
    }
}

/// How many events the session has in order, and how many are not as they were written.
async fn events(driver: &dyn SessionPersistDriver, session: &str) -> Result<(u64, u64)> {
    let (mut last, mut torn) = (0, 0);
    loop {
        let request = ListEventsRequest::new(session).after_index(last).limit(PAGE);
        let Some(page) = or_torn(driver.list_events(request).await, &mut torn)? else {
            return Ok((last, torn));
        };
        for found in &page.items {
            last += 1;
            torn += u64::from(*found != event(session, last)?);
        }
        if page.next_cursor.is_none() {
            return Ok((last, torn));
        }
    }
}

/// A store that can't be read is torn; any other error is this program's.
fn or_torn<T>(answer: Result<T, PersistError>, torn: &mut u64) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == PersistErrorKind::Corrupt => {
            eprintln!("{error}");
            *torn += 1;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sandbox_agent_sdk::MemorySessionPersistDriver;
    use sandbox_agent_sdk::persist::{Inserted, RawValue};

    use super::*;

    #[tokio::test]
    async fn what_is_missing_or_torn_is_counted() {
        let driver = MemorySessionPersistDriver::new();
        for index in 1..=3 {
            let mut event = event("s", index).unwrap();
            if index == 2 {
                event.payload = RawValue::from_string("{\"text\":\"other\"}".to_owned()).unwrap();
            }
            assert_eq!(driver.insert_event("s", event).await.unwrap(), Inserted::Stored);
        }
        driver.update_session(record("r", 4)).await.unwrap();
        let mut acknowledged = Acknowledged::default();
        assert_eq!(acknowledged.add(Told::Events("s".to_owned(), 2)), 2);
        assert_eq!(acknowledged.add(Told::Record("r".to_owned(), 3)), 3);
        assert_eq!(acknowledged.check(&driver).await.unwrap(), Wrong { missing: 0, torn: 1 });
        assert_eq!(acknowledged.add(Told::Events("s".to_owned(), 7)), 5);
        assert_eq!(acknowledged.add(Told::Record("r".to_owned(), 6)), 3);
        assert_eq!(acknowledged.add(Told::Record("gone".to_owned(), 1)), 1);
        assert_eq!(acknowledged.check(&driver).await.unwrap(), Wrong { missing: 4 + 2 + 1, torn: 1 });
    }
}
