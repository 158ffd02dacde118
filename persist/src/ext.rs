//! What every driver can do, on top of the contract.

use crate::{
    PersistError, PruneReport, Retention, SessionCopy, SessionExport, SessionImport, SessionPersistDriver,
    Usage, prune, walk,
};

/// Conveniences of each [`SessionPersistDriver`], be it behind a reference, an `Arc` or a layer.
pub trait SessionPersistDriverExt: SessionPersistDriver {
    /// Deletes the sessions that the retention picks: see [`prune`].
    fn prune(&self, retention: &Retention) -> impl Future<Output = Result<PruneReport, PersistError>> + Send {
        prune(self, retention)
    }

    /// What the session's events take; those of a store without [upkeep](crate::SessionUpkeep) are all read for this.
    fn usage_of(&self, session_id: &str) -> impl Future<Output = Result<Usage, PersistError>> + Send {
        walk::usage(self, session_id)
    }

    /// The session as JSON Lines: see [`SessionExport`].
    fn export(&self, session_id: impl Into<String>) -> SessionExport<&Self> {
        SessionExport::new(self, session_id)
    }

    /// A session from JSON Lines: see [`SessionImport`].
    fn import(&self) -> SessionImport<&Self> {
        SessionImport::new(self)
    }

    /// Copies sessions to another store: see [`SessionCopy`].
    fn copy_to<'a, T>(&'a self, to: &'a T) -> SessionCopy<'a, Self, T>
    where
        T: SessionPersistDriver + ?Sized,
    {
        SessionCopy::new(self, to)
    }
}

impl<D: SessionPersistDriver + ?Sized> SessionPersistDriverExt for D {}
