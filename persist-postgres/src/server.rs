//! The server: where it is, and how a connection to it is opened.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Connect;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use sandbox_agent_persist::{PersistError, PersistErrorKind};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, Client, Config, Error, SimpleQueryMessage, Socket};

use crate::PostgresOptions;

/// What the server says beside answers: notifications, and why it ended the connection.
pub(crate) type Messages = BoxStream<'static, Result<AsyncMessage, Error>>;

type Dial = dyn Fn(Config) -> BoxFuture<'static, Result<(Client, Messages), Error>> + Send + Sync;

const KEEPALIVE_DEFAULT: Duration = Duration::from_secs(2 * 60 * 60);
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// How a connection of ours behaves, whatever the server's defaults are. The queries are made for their
/// indexes, and a plan that is kept must not depend on how large the tables were when it was made.
/// A later function has to see what was committed while it waited for a lock.
const SETTINGS: &str = "
    SET search_path = pg_catalog;
    SET default_transaction_isolation = 'read committed';
    SET client_min_messages = warning;
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET enable_sort = off;
    SET jit = off;
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
    SELECT current_setting('fsync'), current_setting('server_encoding'),
        current_setting('server_version_num'), current_setting('server_version');";

/// The first version that has all that the tables need.
const OLDEST_VERSION: u32 = 120_000;

#[derive(Clone)]
pub(crate) struct Server {
    /// For people; has no password.
    pub(crate) shown: Arc<str>,
    config: Config,
    dial: Arc<Dial>,
    settings: Arc<str>,
    require_fsync: bool,
    connect_timeout: Duration,
}

/// Why a connection can't be used.
pub(crate) enum Unfit {
    /// The server failed it.
    Failed(Error),
    /// It is no server for us; says why, and the way out.
    Refused(String),
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Server {
    pub(crate) fn new<T>(url: &str, options: &PostgresOptions, tls: T) -> Result<Self, PersistError>
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        // The reader's own error may show a part of the password.
        let mut config: Config = url.parse().map_err(|_| {
            PersistError::new(
                PersistErrorKind::Other,
                "the connection string can't be read; it is postgres://user:password@host:5432/database with \
                 anything but letters and digits percent-encoded, or host=… user=… password='…' dbname=…",
            )
        })?;
        bound(&mut config, options);
        let dial = move |config: Config| -> BoxFuture<'static, _> {
            let tls = tls.clone();
            Box::pin(async move {
                let (client, mut connection) = config.connect(tls).await?;
                let messages = stream::poll_fn(move |cx| connection.poll_message(cx)).boxed();
                Ok((client, messages))
            })
        };
        Ok(Self {
            shown: shown(&config).into(),
            config,
            dial: Arc::new(dial),
            settings: settings(options).into(),
            require_fsync: options.require_fsync,
            connect_timeout: options.connect_timeout,
        })
    }

    /// A connection that is ready for use once something reads its messages.
    pub(crate) async fn connect(&self) -> Result<(Client, Messages), Error> {
        (self.dial)(self.config.clone()).await
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// Makes the connection behave, and checks that the server is one for us.
    pub(crate) async fn settle(&self, client: &Client) -> Result<(), Unfit> {
        let answer = client.simple_query(&self.settings).await?;
        let row = answer.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let word = |column| row.and_then(|row| row.get(column)).unwrap_or_default();
        let (fsync, encoding, version) = (word(0), word(1), word(2));
        if version.parse().unwrap_or(0) < OLDEST_VERSION {
            let is = word(3);
            return Err(Unfit::Refused(format!("is PostgreSQL {is}; version 12 or newer is needed")));
        }
        if encoding != "UTF8" {
            return Err(Unfit::Refused(format!(
                "has a database in the encoding {encoding}, which can't hold every text; make one with ENCODING 'UTF8'"
            )));
        }
        if self.require_fsync && fsync != "on" {
            return Err(Unfit::Refused(
                "has fsync off, so that it loses events when its machine dies; turn it on, or set \
                 PostgresOptions::require_fsync to false"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

impl Connect for Server {
    fn connect(&self, _config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(async {
            let (client, mut messages) = Self::connect(self).await?;
            // Ends with the connection. Who uses that is told by an error of its own.
            let reading = tokio::spawn(async move { while let Some(Ok(_)) = messages.next().await {} });
            Ok((client, reading))
        })
    }
}

/// Bounds what the string leaves unbounded, and asks for the server that takes writes.
fn bound(config: &mut Config, options: &PostgresOptions) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(options.connect_timeout);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(options.call_timeout);
    }
    if config.get_keepalives_idle() == KEEPALIVE_DEFAULT {
        config.keepalives_idle(KEEPALIVE);
        config.keepalives_interval(KEEPALIVE_INTERVAL);
        config.keepalives_retries(KEEPALIVE_RETRIES);
    }
    if config.get_application_name().is_none() {
        config.application_name("sandbox-agent");
    }
    if config.get_target_session_attrs() == TargetSessionAttrs::Any {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
}

fn settings(options: &PostgresOptions) -> String {
    let busy = options.busy_timeout.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
    format!("SET lock_timeout = {busy}; SET idle_in_transaction_session_timeout = {busy}; {SETTINGS}")
}

fn shown(config: &Config) -> String {
    let mut shown = String::from("PostgreSQL at ");
    let ports = config.get_ports();
    let addresses = config.get_hostaddrs().iter().map(ToString::to_string);
    let hosts: Vec<_> = match config.get_hosts() {
        [] => addresses.collect(),
        hosts => hosts.iter().map(named).collect(),
    };
    for (place, host) in hosts.iter().enumerate() {
        let port = ports.get(place).or(ports.first()).unwrap_or(&5432);
        let comma = if place == 0 { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(shown, "{comma}{host}:{port}");
    }
    if let Some(database) = config.get_dbname() {
        let _ = write!(shown, "/{database}");
    }
    if let Some(user) = config.get_user() {
        let _ = write!(shown, " as {user}");
    }
    shown
}

fn named(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio_postgres::NoTls;

    use super::*;

    #[test]
    fn a_server_is_shown_without_its_password() {
        let options = PostgresOptions::new();
        for (url, want) in [
            ("postgres://me:secret@db.example:6000/app", "PostgreSQL at db.example:6000/app as me"),
            ("host=a,b port=1,2 user=me password=secret", "PostgreSQL at a:1,b:2 as me"),
            ("host=/run/pg user=me password=secret dbname=app", "PostgreSQL at /run/pg:5432/app as me"),
        ] {
            let server = Server::new(url, &options, NoTls).unwrap();
            assert_eq!(&*server.shown, want);
        }
    }

    #[test]
    fn a_string_that_cannot_be_read_is_not_shown() {
        for url in
            ["postgres://me:secret@host/app?cret", "host=a password=se cret", "se cret", "host=a port=cret"]
        {
            let error = Server::new(url, &PostgresOptions::new(), NoTls).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("cret"), "{error}");
            assert!(error.to_string().contains("percent-encoded"), "{error}");
        }
    }
}
