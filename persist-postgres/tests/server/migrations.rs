//! Tables that are made, brought up to date, or refused.

use sandbox_agent_persist::{PersistErrorKind, SessionLease, SessionPersistDriver};
use sandbox_agent_persist_postgres::PostgresSessionPersistDriver as Driver;
use tokio::task::JoinSet;

use crate::scratch::{Scratch, held, in_time, raw, stored, url, url_as};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn many_nodes_may_start_at_once() {
    for _ in 0..3 {
        let scratch = Scratch::new();
        let mut starts = JoinSet::new();
        for number in 0..20 {
            let options = scratch.options().connections(1);
            starts.spawn(async move {
                let store = Driver::connect_with_options(&url(), options).await.unwrap();
                stored(&store, &format!("s{number}"), 1..=3).await;
            });
        }
        in_time(starts.join_all()).await;
        let store = scratch.connect().await;
        assert_eq!(held(&store, "s19").await.len(), 3);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn tables_of_a_later_version_are_refused_and_left_alone() {
    let scratch = Scratch::new();
    scratch.connect().await.close();
    scratch.run("UPDATE {s}.schema_version SET version = 99").await;
    let error = Driver::connect_with_options(&url(), scratch.options()).await.unwrap_err();
    assert_eq!(error.kind(), PersistErrorKind::Other);
    let shown = error.to_string();
    assert!(shown.contains("tables of version 99") && shown.contains(&scratch.schema), "{shown}");
    scratch.run("UPDATE {s}.schema_version SET version = 1").await;
    stored(&scratch.connect().await, "s", 1..=1).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn another_programs_schema_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    scratch.run("CREATE SCHEMA {s}; CREATE TABLE {s}.events (x integer)").await;
    let error = Driver::connect_with_options(&url(), scratch.options()).await.unwrap_err();
    assert_eq!(error.kind(), PersistErrorKind::Other);
    assert!(error.to_string().contains("give another PostgresOptions::schema"), "{error}");
    scratch.run("INSERT INTO {s}.events VALUES (1); CREATE TABLE {s}.sessions (x integer)").await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn two_schemas_of_one_database_know_nothing_of_each_other() {
    let (one, two) = (Scratch::new(), Scratch::new());
    let (one, two) = (one.connect().await, two.connect().await);
    stored(&one, "s", 1..=3).await;
    stored(&two, "s", 1..=2).await;
    one.take_over("s", "one", std::time::Duration::MAX).await.unwrap();
    stored(&two, "s", 3..=3).await;
    one.delete_session("other").await.unwrap();
    assert_eq!(held(&one, "s").await, held(&two, "s").await);
}

/// The rights that the crate's documentation lists.
const RIGHTS: &str = "
    GRANT USAGE ON SCHEMA {s} TO USER;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {s} TO USER;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA {s} TO USER;";

#[tokio::test]
#[ignore = "needs PostgreSQL: set SANDBOX_AGENT_POSTGRES_URL"]
async fn a_user_with_few_rights_uses_tables_that_are_there() {
    let scratch = Scratch::new();
    let user = scratch.schema.to_lowercase().replace('-', "_");
    let admin = raw().await;
    admin.batch_execute(&format!("CREATE ROLE {user} LOGIN PASSWORD 'few rights'")).await.unwrap();
    let url = url_as(&user, "few%20rights");
    let refused = async || {
        let error = Driver::connect_with_options(&url, scratch.options()).await.unwrap_err();
        assert_eq!(error.kind(), PersistErrorKind::Other);
        assert!(error.to_string().contains("too few rights"), "{error}");
    };
    refused().await;

    let owner = scratch.connect().await;
    let s = format!("\"{}\"", scratch.schema);
    admin.batch_execute(&RIGHTS.replace("{s}", &s).replace("USER", &user)).await.unwrap();
    let store = Driver::connect_with_options(&url, scratch.options()).await.unwrap();
    stored(&store, "s", 1..=3).await;
    let lease = store.take_over("s", "few", std::time::Duration::from_secs(60)).await.unwrap();
    stored(&*store.fenced(&lease), "s", 4..=4).await;
    let follow = store.follow().unwrap();
    assert_eq!(in_time(follow.changed("s", 3)).await.unwrap(), 4);
    store.fenced(&lease).delete_session("s").await.unwrap();
    drop(owner);

    admin.batch_execute(&format!("REVOKE ALL ON SCHEMA {s} FROM {user}")).await.unwrap();
    let error = store.list_sessions(Default::default()).await.unwrap_err();
    assert_eq!(error.kind(), PersistErrorKind::Other);
    assert!(error.to_string().contains("too few rights"), "{error}");
    store.close();
    admin.batch_execute(&format!("DROP OWNED BY {user}; DROP ROLE {user}")).await.unwrap();
}
