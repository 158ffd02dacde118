//! Which sessions a list is to have.

use crate::SessionRecord;

/// Whether a session was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// It was not.
    Open,
    /// It was.
    Destroyed,
}

/// Picks sessions; what is not set picks all. [`matches`](Self::matches) says what each part means,
/// and a driver's query has to mean the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionFilter {
    /// Those of this agent.
    pub agent: Option<String>,
    /// Those that were destroyed, or that were not.
    pub status: Option<SessionStatus>,
    /// Those that were archived, or that were not.
    pub archived: Option<bool>,
    /// Those whose title contains this text, whether in capitals or not.
    pub title: Option<String>,
    /// Those that have all of these tags.
    pub tags: Vec<String>,
    /// Those created at this time or later, in milliseconds since the Unix epoch.
    pub created_from: Option<i64>,
    /// Those created before this time.
    pub created_before: Option<i64>,
    /// Those whose last activity was at this time or later.
    pub active_from: Option<i64>,
    /// Those whose last activity was before this time.
    pub active_before: Option<i64>,
}

impl SessionFilter {
    /// Picks all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of this agent.
    #[must_use]
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = Some(agent.into());
        self
    }

    /// Those that were not destroyed.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.status = Some(SessionStatus::Open);
        self
    }

    /// Those that were destroyed.
    #[must_use]
    pub fn destroyed(mut self) -> Self {
        self.status = Some(SessionStatus::Destroyed);
        self
    }

    /// Those that were archived (`true`), or that were not (`false`).
    #[must_use]
    pub fn archived(mut self, archived: bool) -> Self {
        self.archived = Some(archived);
        self
    }

    /// Those whose title contains this text, whether in capitals or not.
    #[must_use]
    pub fn title(mut self, text: impl Into<String>) -> Self {
        self.title = Some(text.into());
        self
    }

    /// Those that have this tag, and all that were named before.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Those created at this time or later, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn created_from(mut self, time: i64) -> Self {
        self.created_from = Some(time);
        self
    }

    /// Those created before this time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn created_before(mut self, time: i64) -> Self {
        self.created_before = Some(time);
        self
    }

    /// Those whose [last activity](SessionRecord::last_active) was at this time or later.
    #[must_use]
    pub fn active_from(mut self, time: i64) -> Self {
        self.active_from = Some(time);
        self
    }

    /// Those whose [last activity](SessionRecord::last_active) was before this time.
    #[must_use]
    pub fn active_before(mut self, time: i64) -> Self {
        self.active_before = Some(time);
        self
    }

    /// Whether it picks this session.
    pub fn matches(&self, record: &SessionRecord) -> bool {
        let Self {
            agent,
            status,
            archived,
            title,
            tags,
            created_from,
            created_before,
            active_from,
            active_before,
        } = self;
        let in_title = |text: &String| {
            let title = record.title.as_deref().unwrap_or_default();
            fold_case(title).contains(&fold_case(text))
        };
        agent.as_ref().is_none_or(|agent| *agent == record.agent)
            && status.is_none_or(|status| status == record.status())
            && archived.is_none_or(|archived| archived == record.archived_at.is_some())
            && title.as_ref().is_none_or(in_title)
            && tags.iter().all(|tag| record.tags.contains(tag))
            && created_from.is_none_or(|from| record.created_at >= from)
            && created_before.is_none_or(|before| record.created_at < before)
            && active_from.is_none_or(|from| record.last_active() >= from)
            && active_before.is_none_or(|before| record.last_active() < before)
    }
}

/// The text as titles are compared: a driver that searches by itself stores titles so.
pub fn fold_case(text: &str) -> String {
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_picks_and_nothing_picks_all() {
        let mut record = SessionRecord::new("s", "codex", 100);
        record.title = Some("Fix the ÜBER test".to_owned());
        record.tags = ["a", "b"].map(str::to_owned).into();
        record.last_activity_at = Some(150);
        let all = SessionFilter::new;
        for (picked, filter) in [
            (true, all()),
            (true, all().agent("codex").open().archived(false).title("über").tag("b").tag("a")),
            (true, all().created_from(100).created_before(101).active_from(150).active_before(151)),
            (false, all().agent("Codex")),
            (false, all().destroyed()),
            (false, all().archived(true)),
            (false, all().title("fix  the")),
            (false, all().tag("a").tag("c")),
            (false, all().created_from(101)),
            (false, all().created_before(100)),
            (false, all().active_from(151)),
            (false, all().active_before(150)),
        ] {
            assert_eq!(filter.matches(&record), picked, "{filter:?}");
        }
        record.title = None;
        assert!(!all().title("fix").matches(&record));
        assert!(all().title("").matches(&record));
    }
}
