//! What SQLite means to do for a query, for the tests of the queries.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use rusqlite::{Connection, Params, Statement, StatementStatus};

use crate::schema;

/// A file in memory with the tables as they are now.
pub(crate) fn file() -> Connection {
    let mut file = Connection::open_in_memory().unwrap();
    schema::bring_up_to_date(&mut file, Path::new("in memory")).unwrap();
    file
}

/// The steps of a query that concern this table.
#[derive(Debug)]
pub(crate) struct Plan(Vec<String>);

impl Plan {
    pub(crate) fn of(file: &Connection, sql: &str, table: &str) -> Self {
        let mut statement = file.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.raw_query().mapped(|row| row.get::<_, String>(3));
        let steps: Vec<_> = steps.map(Result::unwrap).collect();
        assert!(steps.iter().any(|step| step.contains(table)), "{steps:?}");
        Self(steps)
    }

    /// It sorts nothing and reads no table from end to end.
    #[track_caller]
    pub(crate) fn goes_along_an_index(&self) {
        for step in &self.0 {
            assert!(!step.contains("TEMP B-TREE"), "{self:?}");
            let reads = step.starts_with("SCAN") || step.starts_with("SEARCH");
            let index = step.contains(" USING INDEX ") || step.contains(" USING COVERING INDEX ");
            // The pieces of tags that are looked for are no table of the file.
            assert!(!reads || index || step.contains("VIRTUAL TABLE"), "{self:?}");
        }
    }

    pub(crate) fn uses(&self, index: &str) -> bool {
        self.0.first().is_some_and(|step| step.split(' ').any(|word| word == index))
    }

    /// It begins where it is looked up.
    pub(crate) fn is_search(&self) -> bool {
        self.0.first().is_some_and(|step| step.starts_with("SEARCH"))
    }
}

/// How many steps of SQLite's machine the query takes, which gives so many rows.
pub(crate) fn steps(statement: &mut Statement<'_>, values: impl Params, rows: usize) -> u32 {
    let found = statement.query_map(values, |_| Ok(())).unwrap().count();
    assert_eq!(found, rows);
    statement.get_status(StatementStatus::VmStep).unsigned_abs()
}
