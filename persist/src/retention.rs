//! Retention: which sessions have to go, and what became of them.

mod prune;

use std::time::Duration;

pub use prune::prune;

use crate::{PersistError, SessionFilter};

/// How long a session counts as running after its newest event; an hour, which hardly any tool call
/// takes without a word.
pub const DEFAULT_GUARD: Duration = Duration::from_secs(60 * 60);

/// Which sessions [`prune`] deletes.
///
/// Each limit that is set picks sessions, whichever has been idle for longest first; without one
/// nothing is deleted. Sessions of either status are looked at, be they open or destroyed: most are
/// never destroyed, and `older_than(30 days)` is to leave none that is older. To spare the open ones, give
/// [`among`](Self::among) a filter.
///
/// Never deleted is a session that runs: one with a [lease](crate::Lease) in force, and one whose
/// newest event, or last activity, is more recent than the [`guard`](Self::guard).
///
/// A session without a record is in no list, so that no limit sees it;
/// [`delete_session`](crate::SessionPersistDriver::delete_session) deletes it.
///
/// ```
/// use std::time::Duration;
/// use sandbox_agent_persist::{Retention, SessionFilter, SessionPersistDriverExt};
/// # use sandbox_agent_persist_memory::MemorySessionPersistDriver;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), sandbox_agent_persist::PersistError> {
/// # let store = MemorySessionPersistDriver::new();
/// let month = Duration::from_secs(30 * 24 * 60 * 60);
/// let retention = Retention::new().older_than(month).max_bytes(10 << 30).keep_newest(20);
/// for gone in store.prune(&retention.clone().dry_run()).await?.pruned {
///     println!("{} would go: {} events, {} bytes", gone.session_id, gone.events, gone.bytes);
/// }
/// let report = store.prune(&retention.vacuum()).await?;
/// assert!(report.spared.is_empty());
///
/// let destroyed = Retention::new().older_than(month / 4).among(SessionFilter::new().destroyed());
/// println!("{} bytes gone", store.prune(&destroyed).await?.bytes());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Retention {
    /// Those whose last activity was longer ago.
    pub older_than: Option<Duration>,
    /// Those that are more than so many.
    pub max_sessions: Option<usize>,
    /// Those whose payloads take more than so many bytes, all together.
    pub max_bytes: Option<u64>,
    /// So many of the newest stay, whatever the limits say; 0 unless told.
    pub keep_newest: usize,
    /// For so long after its last activity a session counts as running; [`DEFAULT_GUARD`] unless told.
    pub guard: Duration,
    /// Only these are looked at, counted and deleted; all unless told.
    pub among: SessionFilter,
    /// Deletes nothing, and tells what would be; off unless told.
    pub dry_run: bool,
    /// Has the store give back the room of what was deleted, where it has upkeep; off unless told,
    /// because it may take as long as copying the store does.
    pub vacuum: bool,
    /// The time that ages are measured at, in milliseconds since the Unix epoch; now unless told.
    pub at: Option<i64>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            older_than: None,
            max_sessions: None,
            max_bytes: None,
            keep_newest: 0,
            guard: DEFAULT_GUARD,
            among: SessionFilter::new(),
            dry_run: false,
            vacuum: false,
            at: None,
        }
    }
}

impl Retention {
    /// No limit: deletes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Deletes sessions whose last activity was longer ago than this.
    ///
    /// It is that of the [record](crate::SessionRecord::last_activity_at); where that has none, the
    /// time of the newest event, and where there is none, that of its creation.
    #[must_use]
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Deletes sessions until there are at most so many.
    #[must_use]
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = Some(sessions);
        self
    }

    /// Deletes sessions until the payloads of their events take at most so many bytes.
    ///
    /// A store without [upkeep](crate::SessionUpkeep) has all its events read for this.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Keeps so many sessions, those of the newest activity, whatever the limits say.
    #[must_use]
    pub fn keep_newest(mut self, sessions: usize) -> Self {
        self.keep_newest = sessions;
        self
    }

    /// Keeps sessions that were active within so long.
    #[must_use]
    pub fn guard(mut self, period: Duration) -> Self {
        self.guard = period;
        self
    }

    /// Looks only at the sessions that this picks.
    #[must_use]
    pub fn among(mut self, filter: SessionFilter) -> Self {
        self.among = filter;
        self
    }

    /// Only tells what would be deleted.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Gives the room back afterwards, where the store has upkeep.
    #[must_use]
    pub fn vacuum(mut self) -> Self {
        self.vacuum = true;
        self
    }

    /// Measures ages at this time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn at(mut self, time: i64) -> Self {
        self.at = Some(time);
        self
    }
}

/// Which limit picked a session; the first that did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PruneRule {
    /// [`Retention::older_than`].
    Age,
    /// [`Retention::max_sessions`].
    Count,
    /// [`Retention::max_bytes`].
    Bytes,
}

/// A session that was deleted, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// The session.
    pub session_id: String,
    /// How many events it held.
    pub events: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
    /// When it was last active, in milliseconds since the Unix epoch.
    pub last_active: i64,
    /// What picked it.
    pub rule: PruneRule,
}

/// Why a session that a limit picked is still there.
#[derive(Debug)]
#[non_exhaustive]
pub enum SparedBecause {
    /// Somebody has its lease.
    Leased,
    /// It was active within the guard period, or came to life meanwhile.
    Active,
    /// The store failed to read or delete it. Of one whose record can't be read it is not known whether a limit
    /// picks it.
    Failed(PersistError),
}

/// A session that a limit picked, and that is still there.
#[derive(Debug)]
#[non_exhaustive]
pub struct Spared {
    /// The session.
    pub session_id: String,
    /// What kept it.
    pub because: SparedBecause,
}

/// What [`prune`] did, or would do.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct PruneReport {
    /// Those that were deleted, or would be, idle longest first.
    pub pruned: Vec<Pruned>,
    /// Those that should have gone, or may have to.
    pub spared: Vec<Spared>,
    /// How many of the sessions that were looked at stay.
    pub kept: usize,
    /// Whether nothing was deleted because that was asked for.
    pub dry_run: bool,
    /// Whether the room was given back.
    pub vacuumed: bool,
}

impl PruneReport {
    /// The events of all that were deleted.
    pub fn events(&self) -> u64 {
        self.pruned.iter().map(|pruned| pruned.events).sum()
    }

    /// The bytes of all that were deleted.
    pub fn bytes(&self) -> u64 {
        self.pruned.iter().map(|pruned| pruned.bytes).sum()
    }
}
