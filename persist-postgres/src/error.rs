//! From PostgreSQL's errors to the contract's.

use std::error::Error as _;
use std::io;

use sandbox_agent_persist::{PersistError, PersistErrorKind};
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

/// The error of a call that the server, or the way to it, failed.
pub(crate) fn failed(server: &str, error: Error) -> PersistError {
    let (kind, what) = match error.as_db_error() {
        // Its code is that of values that are too large.
        Some(said) if said.routine() == Some("PreCommit_Notify") => (
            PersistErrorKind::Unavailable,
            "can't tell of inserts, because somebody who listens does not read; end that connection",
        ),
        Some(said) => refused(said.code()),
        None => broken(&error),
    };
    let why = match error.as_db_error() {
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    };
    let shown = PersistError::new(kind, format!("{server} {what}: {why}"));
    match error.as_db_error().and_then(DbError::detail) {
        // It may be the row.
        Some(_) => shown,
        None => shown.with_source(error),
    }
}

/// What the server's own word means.
fn refused(code: &SqlState) -> (PersistErrorKind, &'static str) {
    let other = PersistErrorKind::Other;
    let unavailable = PersistErrorKind::Unavailable;
    match code {
        &SqlState::LOCK_NOT_AVAILABLE => (
            unavailable,
            "has another write to this session under way; try again, or raise PostgresOptions::busy_timeout",
        ),
        &SqlState::TOO_MANY_CONNECTIONS => (
            unavailable,
            "has no connection left; lower PostgresOptions::connections of its users, or raise max_connections",
        ),
        &SqlState::DISK_FULL => (unavailable, "is on a disk that is full; make room"),
        &SqlState::READ_ONLY_SQL_TRANSACTION => {
            (unavailable, "takes no writes, as a standby does; connect to the primary")
        }
        &SqlState::UNIQUE_VIOLATION => (unavailable, "was given the same id by two at once; try again"),
        &SqlState::INVALID_PASSWORD
        | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION
        | &SqlState::INVALID_CATALOG_NAME => {
            (other, "lets us not in; check user, password and database, and the server's pg_hba.conf")
        }
        &SqlState::INSUFFICIENT_PRIVILEGE => (
            other,
            "gives this user too few rights; the documentation of sandbox-agent-persist-postgres lists them",
        ),
        &SqlState::INVALID_SCHEMA_NAME | &SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_FUNCTION => {
            (other, "has not the tables that it had; connect again to make them")
        }
        &SqlState::DUPLICATE_TABLE => (
            other,
            "has a table in the schema that is another program's; give another PostgresOptions::schema",
        ),
        &SqlState::INVALID_SQL_STATEMENT_NAME => {
            (other, "forgets prepared statements; a pooler between has to keep a session's connection")
        }
        &SqlState::NUMERIC_VALUE_OUT_OF_RANGE => {
            (PersistErrorKind::TooLarge, "takes no index that large; the limit is 2^63 - 2")
        }
        code => match code.code().get(..2) {
            Some("54") => (
                PersistErrorKind::TooLarge,
                "takes no value that large; an id or tag has about 2,600 bytes at most",
            ),
            Some("XX") => (PersistErrorKind::Corrupt, "is damaged; restore it from a backup"),
            // Connection, transaction that may be tried again, resources, somebody stepped in.
            Some("08" | "40" | "53" | "57") => (unavailable, "can't do this now; try again"),
            _ => (other, "could not be used"),
        },
    }
}

/// What it means that there is no word of the server.
fn broken(error: &Error) -> (PersistErrorKind, &'static str) {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match io.map(io::Error::kind) {
        Some(io::ErrorKind::PermissionDenied) => {
            (PersistErrorKind::Unavailable, "takes no writes, as a standby does; connect to the primary")
        }
        // What the TLS of the other side shows, or a message that can't be.
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
            (PersistErrorKind::Other, "can't be talked to; check the address, and both sides' TLS")
        }
        Some(_) => (PersistErrorKind::Unavailable, "can't be reached; check that it runs, and the address"),
        None if error.is_closed() => (PersistErrorKind::Unavailable, "ended the connection; try again"),
        None => (
            PersistErrorKind::Other,
            "can't be talked to; check address, user and password, and connect with TLS where it asks for that",
        ),
    }
}

/// Whether a connection that had this error is as good as before.
pub(crate) fn leaves_whole(error: &Error) -> bool {
    match error.code() {
        Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
        | Some(&SqlState::FEATURE_NOT_SUPPORTED)
        | Some(&SqlState::INVALID_SQL_STATEMENT_NAME) => false,
        Some(code) => !matches!(code.code().get(..2), Some("08" | "57")),
        None => false,
    }
}

/// Whether two transactions got into each other's way, so that the same call does well right after.
pub(crate) fn is_collision(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(
            &SqlState::UNIQUE_VIOLATION
                | &SqlState::T_R_DEADLOCK_DETECTED
                | &SqlState::T_R_SERIALIZATION_FAILURE
        )
    )
}

/// The error of a row that holds what no driver wrote.
pub(crate) fn corrupt(place: &str, row: &str, why: &str) -> PersistError {
    PersistError::new(
        PersistErrorKind::Corrupt,
        format!("{place}: {row} can't be read: {why}; repair or delete that row"),
    )
}

/// The error of a call to which the server had no answer in time.
pub(crate) fn silent(server: &str) -> PersistError {
    PersistError::new(
        PersistErrorKind::Unavailable,
        format!("{server} did not answer in time; try again, or raise PostgresOptions::call_timeout"),
    )
}

pub(crate) fn closed(server: &str) -> PersistError {
    PersistError::new(PersistErrorKind::Other, format!("{server} was closed here; connect again"))
}
