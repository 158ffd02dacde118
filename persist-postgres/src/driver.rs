//! The driver: a handle of a store, which may carry a lease.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sandbox_agent_persist::{
    Acquired, Capabilities, Inserted, Lease, ListEventsRequest, ListPage, ListSessionsRequest, PersistError,
    SessionEvent, SessionFollow, SessionLease, SessionPersistDriver, SessionRecord, SessionUpkeep, Usage,
};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{NoTls, Socket};

use crate::PostgresOptions;
use crate::leases::{self, KEPT_MS};
use crate::server::Server;
use crate::store::Store;
use crate::text::stored;
use crate::{follow, reader, writer};

/// Keeps sessions in PostgreSQL. See the [crate](crate) for how.
///
/// Clones are handles of the same pool. Each call needs a tokio runtime with IO and time.
///
/// A call that is dropped before it returned may still be carried out by the server, as a whole;
/// its connection is given up. The connections end with the last handle.
#[derive(Clone)]
pub struct PostgresSessionPersistDriver {
    store: Arc<Store>,
    /// The lease that writes to its session carry.
    fence: Option<Arc<Lease>>,
}

impl PostgresSessionPersistDriver {
    /// Connects without TLS to the server of this connection string, and makes the tables if they aren't there.
    ///
    /// The string is `postgres://user:password@host:5432/database`, or `host=… user=… password=… dbname=…`.
    /// Several hosts may stand in it: the first one that takes writes is used.
    ///
    /// # Errors
    /// Each names the server, without the password, and the way out. `Unavailable`: it can't be reached, or has no
    /// connection left. `Other`: the string can't be read, the server lets us not in, isn't durable, or
    /// has tables of a later version than this one knows.
    pub async fn connect(url: &str) -> Result<Self, PersistError> {
        Self::connect_with_options(url, PostgresOptions::new()).await
    }

    /// Connects as [`connect`](Self::connect) does, with these options.
    pub async fn connect_with_options(url: &str, options: PostgresOptions) -> Result<Self, PersistError> {
        Self::connect_with_tls(url, options, NoTls).await
    }

    /// Connects as [`connect`](Self::connect) does, with these options and by this TLS. It is used unless the
    /// string has `sslmode=disable`, and insisted on with `sslmode=require`.
    pub async fn connect_with_tls<T>(
        url: &str,
        options: PostgresOptions,
        tls: T,
    ) -> Result<Self, PersistError>
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let server = Server::new(url, &options, tls)?;
        let store = Arc::new(Store::open(server, &options).await?);
        Ok(Self { store, fence: None })
    }

    /// Lets go of the connections, for every clone: idle ones at once, others when their calls have ended.
    ///
    /// Later calls are errors; closing again is none.
    pub fn close(&self) {
        self.store.pool.close();
        self.store.follower.close();
    }

    /// What a write to this session carries.
    fn carried(&self, session_id: &str) -> Option<i64> {
        self.fence.as_deref().filter(|lease| lease.session_id == session_id).map(leases::carried)
    }
}

/// Without the password.
impl fmt::Debug for PostgresSessionPersistDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSessionPersistDriver")
            .field("store", &self.store.place)
            .field("fence", &self.fence)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionPersistDriver for PostgresSessionPersistDriver {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new().multi_process().leases().follows().upkeep();
        capabilities.durable = self.store.durable;
        capabilities
    }

    async fn get_session(&self, id: &str) -> Result<Option<SessionRecord>, PersistError> {
        reader::session(&self.store, id).await
    }

    async fn list_sessions(
        &self,
        request: ListSessionsRequest,
    ) -> Result<ListPage<SessionRecord>, PersistError> {
        reader::sessions(&self.store, &request).await
    }

    async fn update_session(&self, record: SessionRecord) -> Result<(), PersistError> {
        writer::update(&self.store, self.carried(&record.id), &record).await
    }

    async fn list_events(&self, request: ListEventsRequest) -> Result<ListPage<SessionEvent>, PersistError> {
        reader::events(&self.store, &request).await
    }

    async fn insert_event(&self, session_id: &str, event: SessionEvent) -> Result<Inserted, PersistError> {
        writer::insert(&self.store, session_id, self.carried(session_id), &[event]).await
    }

    async fn insert_events(
        &self,
        session_id: &str,
        events: Vec<SessionEvent>,
    ) -> Result<Inserted, PersistError> {
        writer::insert(&self.store, session_id, self.carried(session_id), &events).await
    }

    async fn delete_session(&self, id: &str) -> Result<(), PersistError> {
        writer::delete(&self.store, id, self.carried(id)).await
    }

    fn leases(&self) -> Option<&dyn SessionLease> {
        Some(self)
    }

    fn follow(&self) -> Option<&dyn SessionFollow> {
        Some(self)
    }

    fn upkeep(&self) -> Option<&dyn SessionUpkeep> {
        Some(self)
    }
}

#[async_trait]
impl SessionLease for PostgresSessionPersistDriver {
    async fn acquire(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Acquired, PersistError> {
        leases::acquire(&self.store, session_id, holder, ttl, false).await
    }

    async fn take_over(&self, session_id: &str, holder: &str, ttl: Duration) -> Result<Lease, PersistError> {
        match leases::acquire(&self.store, session_id, holder, ttl, true).await? {
            Acquired::Granted(lease) | Acquired::Held(lease) => Ok(lease),
        }
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease, PersistError> {
        leases::renew(&self.store, lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), PersistError> {
        leases::release(&self.store, lease).await
    }

    async fn holder(&self, session_id: &str) -> Result<Option<Lease>, PersistError> {
        leases::in_force(&self.store, session_id).await
    }

    fn fenced(&self, lease: &Lease) -> Arc<dyn SessionPersistDriver> {
        Arc::new(Self { store: self.store.clone(), fence: Some(Arc::new(lease.clone())) })
    }
}

#[async_trait]
impl SessionFollow for PostgresSessionPersistDriver {
    async fn changed(&self, session_id: &str, after_index: u64) -> Result<u64, PersistError> {
        follow::changed(&self.store, session_id, after_index).await
    }
}

#[async_trait]
impl SessionUpkeep for PostgresSessionPersistDriver {
    async fn usage(&self, session_id: &str) -> Result<Usage, PersistError> {
        let store = &self.store;
        let rows = store.pool.query_long(&store.statements.usage, &[&stored(session_id)]).await?;
        let Some(row) = rows.first() else { return Ok(Usage::default()) };
        let count = |column| store.column::<i64>(row, column).map(|count| count.max(0).unsigned_abs());
        Ok(Usage::new(count(0)?, count(1)?))
    }

    async fn fold(&self, session_id: &str, folded: SessionEvent) -> Result<bool, PersistError> {
        writer::fold(&self.store, session_id, self.carried(session_id), &folded).await
    }

    async fn vacuum(&self) -> Result<(), PersistError> {
        let store = &self.store;
        store.pool.query(&store.statements.forget_leases, &[&KEPT_MS]).await?;
        store.pool.batch_long(&store.statements.vacuum).await
    }
}
