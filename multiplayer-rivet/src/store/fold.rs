//! Putting one event in the place of a run.

use sandbox_agent_persist::{PersistError, SessionEvent};

use super::batch::{check_size, length};
use super::chain::Chain;
use super::database::{Database, Statement, Value};
use super::pieces::Stored;

/// The last event of the run becomes the folded one, if the store holds just this run and does not know the id.
const INTO_LAST: &str = "UPDATE sandbox_agent_events SET id = ?4, folded_from = ?5, bytes = ?6, created_at = ?7, \
    connection_id = ?8, sender = ?9, payload = ?10 WHERE session_id = ?1 AND event_index = ?3 \
    AND NOT EXISTS (SELECT 1 FROM sandbox_agent_events WHERE id = ?4) \
    AND (SELECT min(coalesce(folded_from, event_index)) = ?2 \
            AND sum(event_index - coalesce(folded_from, event_index) + 1) = ?3 - ?2 + 1 \
        FROM sandbox_agent_events WHERE session_id = ?1 AND event_index BETWEEN ?2 AND ?3)";

pub(super) async fn fold(database: &Database, folded: &SessionEvent) -> Result<bool, PersistError> {
    check_size(folded)?;
    // No event has what can't be an index.
    let Ok((last, folded_from)) = folded.signed_indexes() else { return Ok(false) };
    let first = folded_from.unwrap_or(last);
    let session_id = folded.session_id.as_str();
    let payload = Stored::of(folded.payload.get());
    let values: [Value; 10] = [
        session_id.into(),
        first.into(),
        last.into(),
        folded.id.as_str().into(),
        folded_from.into(),
        length(folded.payload.get()).into(),
        folded.created_at.into(),
        folded.connection_id.as_str().into(),
        folded.sender.as_str().into(),
        payload.inline().into(),
    ];
    let mut chain = Chain::default();
    chain.push(Statement::new(INTO_LAST, values), 1);
    chain.push_pieces(session_id, last, payload.pieces());
    // How many these are is not known, so that they come last.
    let others = format!(
        "DELETE FROM sandbox_agent_events WHERE session_id = ?1 AND event_index >= ?2 AND event_index < ?3 AND {}",
        chain.condition()
    );
    let others = Statement::new(others, [session_id.into(), first.into(), last.into()]);
    let changed = database.write([chain.into_statements(), vec![others]].concat()).await?;
    Ok(changed.first() == Some(&1))
}
