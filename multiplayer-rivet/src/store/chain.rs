//! Statements that are given out together, of which each is done only if the one before was.
//!
//! An engine far away answers a batch as a whole. So what decides is in the statements: the first has the
//! conditions, and each later one asks whether the one before it has changed as many rows as it should.

use super::database::Statement;

/// A chain of statements.
#[derive(Debug, Default)]
pub(super) struct Chain {
    statements: Vec<Statement>,
    /// The rows that each changes when it is done; never none.
    rows: Vec<i64>,
}

impl Chain {
    /// The condition on the statement that comes next, as SQL.
    pub(super) fn condition(&self) -> String {
        self.rows.last().map_or_else(|| "TRUE".to_owned(), |rows| format!("changes() = {rows}"))
    }

    /// Adds a statement that has the [condition](Self::condition), and changes so many rows.
    pub(super) fn push(&mut self, statement: Statement, rows: usize) {
        self.statements.push(statement);
        // No statement has as many rows as i64 has numbers.
        self.rows.push(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// Adds the pieces of a text that belongs to an event, or to the record at index 0.
    pub(super) fn push_pieces(&mut self, session_id: &str, event_index: i64, pieces: &[&str]) {
        for (place, piece) in (0_i64..).zip(pieces) {
            let sql =
                format!("INSERT INTO sandbox_agent_pieces SELECT ?1, ?2, ?3, ?4 WHERE {}", self.condition());
            let values = [session_id.into(), event_index.into(), place.into(), (*piece).into()];
            self.push(Statement::new(sql, values), 1);
        }
    }

    pub(super) fn statements(&self) -> &[Statement] {
        &self.statements
    }

    pub(super) fn into_statements(self) -> Vec<Statement> {
        self.statements
    }
}
