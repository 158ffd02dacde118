//! Bringing records over to the current key, and telling which keys are needed.

use std::collections::BTreeMap;

use sandbox_agent_persist::{
    ListEventsRequest, ListSessionsRequest, PersistError, PersistErrorKind, SessionPersistDriver,
};

use super::{EncryptedDriver, Encryption};

/// So few at once that large ones fit into memory.
const PAGE: usize = 64;

/// What became of the records of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotated {
    /// So many were brought over.
    pub records: u64,
    /// So many had the current key already.
    pub current: u64,
    /// Sessions that somebody else has a lease of, whose records stay as they are. They are brought over when that
    /// one writes them, or by another call.
    pub leased: Vec<String>,
    /// Sessions whose record can't be read, which stays as it is: [`rotate_record`](EncryptedDriver::rotate_record)
    /// says why, and `delete_session` deletes them unread.
    pub unreadable: Vec<String>,
}

impl<D: SessionPersistDriver> EncryptedDriver<D> {
    /// Encrypts each record anew that has another key than the current one, or none.
    ///
    /// A record that another process updates at the same moment may be set back to what it was before; one
    /// that somebody else has a lease of, or that can't be read, is passed over, and named. Called again, it goes on.
    pub async fn rotate_records(&self) -> Result<Rotated, PersistError> {
        let mut rotated = Rotated::default();
        let mut request = ListSessionsRequest::new();
        loop {
            let page = self.inner().list_sessions(request.clone()).await?;
            for record in page.items {
                match self.rotate_record(&record.id).await {
                    Ok(true) => rotated.records += 1,
                    Ok(false) => rotated.current += 1,
                    Err(error) if error.is_fenced() => rotated.leased.push(record.id),
                    Err(error) if error.kind() == PersistErrorKind::Corrupt => {
                        rotated.unreadable.push(record.id);
                    }
                    Err(error) => return Err(error),
                }
            }
            match page.next_cursor {
                Some(cursor) => request.cursor = Some(cursor),
                None => return Ok(rotated),
            }
        }
    }

    /// Encrypts this session's record anew if it has another key than the current one, or none; says whether
    /// it did.
    ///
    /// # Errors
    /// `Fenced`: somebody else has a lease of the session. `Corrupt`: the record can't be read. And those of the
    /// store.
    pub async fn rotate_record(&self, session_id: &str) -> Result<bool, PersistError> {
        let Some(stored) = self.inner().get_session(session_id).await? else {
            return Ok(false);
        };
        let key = Encryption::sealed_members(&stored)?.map(|sealed| sealed.key);
        if key.as_deref() == Some(self.transform().keys.current_id()) {
            return Ok(false);
        }
        let Some(record) = self.get_session(session_id).await? else {
            return Ok(false);
        };
        self.update_session(record).await?;
        Ok(true)
    }

    /// The ids of the keys that this session needs, with the number of values that each has encrypted: of its
    /// events and of its record. Plain ones have `None`. Nothing is decrypted.
    pub async fn keys_of(&self, session_id: &str) -> Result<BTreeMap<Option<String>, u64>, PersistError> {
        let mut keys = BTreeMap::new();
        let mut count = |key: Option<String>| *keys.entry(key).or_default() += 1;
        if let Some(record) = self.inner().get_session(session_id).await? {
            count(Encryption::sealed_members(&record)?.map(|sealed| sealed.key));
        }
        let mut request = ListEventsRequest::new(session_id).limit(PAGE);
        loop {
            let page = match self.inner().list_events(request.clone()).await {
                Ok(page) => page,
                Err(error) => match error.kind() {
                    // They went while it was counted, and need no key any more.
                    PersistErrorKind::Evicted { to, .. } if request.cursor.is_some() => {
                        request = ListEventsRequest::new(session_id).limit(PAGE).after_index(to);
                        continue;
                    }
                    _ => return Err(error),
                },
            };
            for event in &page.items {
                count(Encryption::sealed_payload(event)?.map(|sealed| sealed.key));
            }
            match page.next_cursor {
                Some(cursor) => request.cursor = Some(cursor),
                None => return Ok(keys),
            }
        }
    }
}
