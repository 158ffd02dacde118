//! The schema's name, and the statements that have it in them.

use sandbox_agent_persist::{PersistError, PersistErrorKind};

use crate::rows::{EVENT_COLUMNS, SESSION_COLUMNS};

/// PostgreSQL's own limit is 63 bytes; the channel has a longer name.
const LONGEST: usize = 48;

/// The schema's name as it stands in SQL.
#[derive(Clone)]
pub(crate) struct Schema {
    pub(crate) plain: String,
    pub(crate) quoted: String,
}

impl Schema {
    pub(crate) fn new(name: &str) -> Result<Self, PersistError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || name.len() > LONGEST || !name.bytes().all(plain) {
            let message = format!(
                "{name:?} is no name of a schema for PostgresOptions::schema: ASCII letters, digits, _ and - make \
                 one, at most {LONGEST}"
            );
            return Err(PersistError::new(PersistErrorKind::Other, message));
        }
        Ok(Self { plain: name.to_owned(), quoted: format!("\"{name}\"") })
    }

    /// Where inserts are told of.
    pub(crate) fn channel(&self) -> String {
        format!("{}.events", self.plain)
    }
}

/// Statements that are made once, and kept prepared by each connection.
pub(crate) struct Statements {
    pub(crate) get_session: String,
    pub(crate) put_session: String,
    pub(crate) delete_session: String,
    pub(crate) insert_events: String,
    pub(crate) events_up: String,
    pub(crate) events_down: String,
    pub(crate) usage: String,
    pub(crate) fold_events: String,
    pub(crate) vacuum: String,
    pub(crate) forget_leases: String,
    pub(crate) acquire_lease: String,
    pub(crate) renew_lease: String,
    pub(crate) release_lease: String,
    pub(crate) lease_in_force: String,
    pub(crate) follow: String,
    sessions: String,
}

impl Statements {
    pub(crate) fn new(schema: &Schema) -> Self {
        let s = &schema.quoted;
        Self {
            get_session: format!("SELECT {SESSION_COLUMNS} FROM {s}.sessions WHERE id = $1"),
            put_session: put_session(s),
            delete_session: format!("SELECT outcome, held_by FROM {s}.delete_session($1, $2)"),
            insert_events: format!(
                "SELECT outcome, held_by, next_index FROM {s}.insert_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
            ),
            events_up: events(s, "ASC"),
            events_down: events(s, "DESC"),
            usage: format!(
                "SELECT count(*), coalesce(sum(octet_length(payload)), 0)::bigint FROM {s}.events WHERE session_id = $1"
            ),
            fold_events: format!(
                "SELECT outcome, held_by FROM {s}.fold_events($1, $2, $3, $4, $5, $6, $7, $8, $9)"
            ),
            vacuum: format!("VACUUM (ANALYZE) {s}.sessions, {s}.events, {s}.leases, {s}.followed"),
            forget_leases: format!("DELETE FROM {s}.leases WHERE expires_at < {s}.now_ms() - $1"),
            acquire_lease: format!(
                "SELECT granted, held_by, held_token, held_until FROM {s}.acquire_lease($1, $2, $3, $4)"
            ),
            renew_lease: format!("SELECT held_by, held_token, held_until FROM {s}.renew_lease($1, $2, $3)"),
            release_lease: format!("SELECT {s}.release_lease($1, $2)"),
            lease_in_force: format!(
                "SELECT holder, token, expires_at FROM {s}.leases WHERE session_id = $1 AND expires_at > {s}.now_ms()"
            ),
            follow: format!("SELECT {s}.follow($1, $2)"),
            sessions: format!("SELECT {SESSION_COLUMNS} FROM {s}.sessions"),
        }
    }

    /// The sessions that meet the conditions, in the direction of a list.
    pub(crate) fn sessions(&self, conditions: &[String], direction: &str, limit: i64) -> String {
        let conditions = match conditions {
            [] => String::new(),
            some => format!("WHERE {}", some.join(" AND ")),
        };
        format!(
            "{} {conditions} ORDER BY created_at {direction}, id {direction} LIMIT {limit}",
            self.sessions
        )
    }
}

/// The last event may stand for a run that begins before the upper bound and ends behind it.
fn events(s: &str, direction: &str) -> String {
    format!(
        "SELECT {EVENT_COLUMNS} FROM {s}.events
         WHERE session_id = $1 AND event_index > $2 AND event_index < coalesce(
             (SELECT behind.event_index + 1 FROM (
                 SELECT event_index, folded_from FROM {s}.events
                 WHERE session_id = $1 AND event_index >= $3 ORDER BY event_index LIMIT 1
              ) behind WHERE behind.folded_from < $3),
             $3)
         ORDER BY event_index {direction} LIMIT $4"
    )
}

fn put_session(s: &str) -> String {
    format!(
        "WITH entered AS MATERIALIZED (SELECT refused, held_by FROM {s}.enter($1, $2)),
         put AS (
             INSERT INTO {s}.sessions ({SESSION_COLUMNS}, folded_title, last_active)
             SELECT $1, $3::text, $4::text, $5::text, $6::bigint, $7::bigint, $8::text, $9::text, $10::text,
                 $11::text, $12::text, $13::bigint, $14::text[], $15::bigint, $16::text, $17::bytea, $18::bigint
             FROM entered WHERE NOT refused
             ON CONFLICT (id) DO UPDATE SET
                 agent = excluded.agent,
                 agent_session_id = excluded.agent_session_id,
                 last_connection_id = excluded.last_connection_id,
                 created_at = excluded.created_at,
                 destroyed_at = excluded.destroyed_at,
                 sandbox_id = excluded.sandbox_id,
                 session_init = excluded.session_init,
                 config_options = excluded.config_options,
                 modes = excluded.modes,
                 title = excluded.title,
                 last_activity_at = excluded.last_activity_at,
                 tags = excluded.tags,
                 archived_at = excluded.archived_at,
                 extra = excluded.extra,
                 folded_title = excluded.folded_title,
                 last_active = excluded.last_active
         )
         SELECT CASE WHEN refused THEN 'fenced' ELSE 'stored' END AS outcome, held_by FROM entered"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_name_is_a_schema() {
        let longest = "x".repeat(LONGEST);
        for name in ["sandbox_agent", "Tenant-7", "1", &longest] {
            assert_eq!(Schema::new(name).unwrap().quoted, format!("\"{name}\""));
        }
        for name in ["", "a b", "a\"b", "a.b", "ü", "a;", &format!("{longest}x")] {
            let error = Schema::new(name).err().unwrap();
            assert!(error.to_string().contains("PostgresOptions::schema"), "{error}");
        }
    }
}
