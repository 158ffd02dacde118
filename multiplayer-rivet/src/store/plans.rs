//! How the engine goes about each list.
#![allow(clippy::unwrap_used)]

use sandbox_agent_engine_harness::{PATIENCE, with_idle_actors};
use sandbox_agent_persist::Order;

use super::database::{Database, Statement, Value};
use super::{events, schema, sessions};

/// The steps of a plan.
async fn plan(database: &Database, sql: &str, values: usize) -> Vec<String> {
    let values = (0..values).map(|_| Value::Integer(1));
    let rows = database.read(Statement::new(format!("EXPLAIN QUERY PLAN {sql}"), values)).await.unwrap();
    let step = |row: Vec<Value>| match row.into_iter().next_back() {
        Some(Value::Text(step)) => step,
        other => panic!("{other:?}"),
    };
    rows.into_iter().map(step).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn each_list_goes_along_an_index() {
    with_idle_actors(PATIENCE, |actors| async move {
        let database = Database::of(&actors.awake("one").await);
        schema::bring_up_to_date(&database).await.unwrap();
        for order in [Order::Ascending, Order::Descending] {
            for bound in [false, true] {
                let more = usize::from(bound);
                goes_along_an_index(&plan(&database, &events::list_sql(order, bound), 4 + more).await, true);
                let of_sessions = plan(&database, &sessions::list_sql(order, bound), 9 + 2 * more).await;
                goes_along_an_index(&of_sessions, bound);
            }
        }
    })
    .await;
}

/// No table is read from its beginning, and what is read is cut to the page before it is sorted.
fn goes_along_an_index(steps: &[String], is_search: bool) {
    let cut = steps.iter().position(|step| step.starts_with("SCAN (subquery")).unwrap();
    assert!(!steps[..cut].iter().any(|step| step.contains("TEMP B-TREE")), "{steps:#?}");
    let tables = ["sandbox_agent_events", "sandbox_agent_sessions", "event", "session", "piece"];
    let of_tables: Vec<_> = steps
        .iter()
        .filter(|step| step.split(' ').nth(1).is_some_and(|name| tables.contains(&name)))
        .collect();
    assert!(of_tables.len() >= 3, "{steps:#?}");
    for (place, step) in of_tables.into_iter().enumerate() {
        assert!(step.contains(" USING "), "{steps:#?}");
        assert!(step.starts_with("SEARCH ") || (place == 0 && !is_search), "{steps:#?}");
    }
}
