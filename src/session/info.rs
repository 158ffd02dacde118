//! What a session is about, and when something last happened in it: what the catalogue finds it by.

use std::sync::{Arc, MutexGuard, PoisonError};

use sandbox_agent_persist::{RawValue, SessionRecord};
use serde::{Deserialize, Deserializer};

use super::core::SessionCore;
use super::memo::Memo;
use super::recorder::now_ms;
use super::view::params;
use crate::time;

/// The update by which an agent says what its session is about.
pub(super) const UPDATE: &str = "session_info_update";
/// Longer than any title that a list shows.
const TITLE_CHARS: usize = 500;

/// What is new and not in the record yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct News {
    /// `Some(None)`: it has no title any more.
    title: Option<Option<String>>,
    active_at: Option<i64>,
}

impl News {
    /// Something happened just now.
    fn activity() -> Self {
        Self { title: None, active_at: Some(now_ms()) }
    }

    /// What an update of the agent's says; nothing of what can't be read.
    fn said(payload: &RawValue) -> Self {
        #[derive(Deserialize)]
        struct Params {
            update: Info,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Info {
            #[serde(default, deserialize_with = "said")]
            title: Option<Option<String>>,
            #[serde(default)]
            updated_at: Option<String>,
        }
        let Some(Params { update }) = params(payload) else { return Self::default() };
        let active_at = update.updated_at.and_then(|time| time::parse(&time));
        Self { title: update.title.map(|title| title.and_then(|title| shown(&title))), active_at }
    }

    fn add(&mut self, newer: Self) {
        self.title = newer.title.or(self.title.take());
        self.active_at = newer.active_at.or(self.active_at);
    }

    fn apply(self, record: &mut SessionRecord) {
        // A title that a person gave stays.
        if let Some(title) = self.title
            && !Memo::read(record).titled
        {
            record.title = title;
        }
        record.last_activity_at = self.active_at.or(record.last_activity_at);
    }
}

/// The title by a person; without one, the agent's next one is taken again.
pub(crate) fn set_title(record: &mut SessionRecord, title: Option<&str>) {
    record.title = title.and_then(shown);
    let titled = record.title.is_some();
    Memo::change(record, |memo| memo.titled = titled);
}

/// One line that fits into a list; `None` when nothing is left.
fn shown(title: &str) -> Option<String> {
    let words: Vec<&str> = title.split_whitespace().collect();
    let title: String = words.join(" ").chars().take(TITLE_CHARS).collect();
    (!title.is_empty()).then_some(title)
}

/// Tells a member that is null from one that isn't there.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl SessionCore {
    /// Keeps what the agent says of its session.
    pub(super) fn heard_info(self: &Arc<Self>, payload: &RawValue) {
        self.news().add(News::said(payload));
        let core = self.clone();
        self.runtime.spawn(async move { core.note_news().await });
    }

    /// Keeps that something happened just now.
    pub(super) async fn note_activity(&self) {
        self.news().add(News::activity());
        self.note_news().await;
    }

    /// Brings what is new into the record. What can't be kept now is kept with what comes next.
    async fn note_news(&self) {
        let mut taken = News::default();
        let noted = self.change_record(|record| {
            // Not before it is this change's turn, so that the last word is the one that stays.
            taken = std::mem::take(&mut *self.news());
            taken.clone().apply(record);
        });
        if let Err(error) = noted.await {
            tracing::debug!(session = %self.id, %error, "what the session is about could not be kept");
            let mut news = self.news();
            taken.add(std::mem::take(&mut *news));
            *news = taken;
        }
    }

    /// Nothing panics while it holds the lock.
    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(update: serde_json::Value) -> News {
        let message = json!({ "jsonrpc": "2.0", "method": "session/update", "params": { "update": update } });
        News::said(&RawValue::from_string(message.to_string()).unwrap())
    }

    #[test]
    fn the_last_word_counts_and_what_is_not_said_stays() {
        let mut record = SessionRecord::new("s", "mock", 0);
        let mut news = said(json!({ "title": "Fix\n the  test", "updatedAt": "1970-01-01T00:00:02Z" }));
        news.add(said(json!({ "updatedAt": "1970-01-01T01:00:03.5+01:00" })));
        news.apply(&mut record);
        assert_eq!((record.title.as_deref(), record.last_activity_at), (Some("Fix the test"), Some(3_500)));
        said(json!({ "title": "Another" })).apply(&mut record);
        assert_eq!((record.title.as_deref(), record.last_activity_at), (Some("Another"), Some(3_500)));
        said(json!({ "title": null, "updatedAt": null })).apply(&mut record);
        assert_eq!((record.title.as_deref(), record.last_activity_at), (None, Some(3_500)));
    }

    #[test]
    fn what_can_t_be_read_says_nothing_and_no_title_is_without_end() {
        for update in [json!({}), json!({ "title": 5 }), json!({ "updatedAt": "yesterday" }), json!([])] {
            assert_eq!(said(update), News::default());
        }
        assert_eq!(said(json!({ "title": " \n" })).title, Some(None));
        assert_eq!(
            said(json!({ "title": "ü".repeat(9_999) })).title.unwrap().unwrap().chars().count(),
            TITLE_CHARS
        );
    }

    #[test]
    fn a_persons_title_stays_until_it_is_taken_away() {
        let mut record = SessionRecord::new("s", "mock", 0);
        set_title(&mut record, Some("mine"));
        said(json!({ "title": "the agent's" })).apply(&mut record);
        assert_eq!(record.title.as_deref(), Some("mine"));
        set_title(&mut record, None);
        said(json!({ "title": "the agent's" })).apply(&mut record);
        assert_eq!(record.title.as_deref(), Some("the agent's"));
    }
}
