//! The tables, made and brought up to date.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Client;

use crate::names::Schema;
use crate::server::Unfit;

/// Each brings the schema from the version that is its place in the list to the next.
const MIGRATIONS: [&str; 1] = [include_str!("tables_1.sql")];

/// The first half of the lock's key that is held while tables are made.
const MIGRATING: &str = "sandbox-agent tables";

/// Makes the tables, or brings them up to date, however many do so at once.
pub(crate) async fn migrate(client: &mut ClientWrapper, schema: &Schema) -> Result<(), Unfit> {
    // Who finds all of it needs no right to make tables.
    if version(client, schema).await? == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    let lock = "SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))";
    transaction.query_one(lock, &[&MIGRATING, &schema.plain]).await?;
    // Another may have been faster.
    let from = version(transaction.client(), schema).await?;
    let s = &schema.quoted;
    let found = "SELECT FROM pg_namespace WHERE nspname = $1";
    if transaction.query_opt(found, &[&schema.plain]).await?.is_none() {
        transaction.batch_execute(&format!("CREATE SCHEMA {s}")).await?;
    }
    for (version, migration) in (1..).zip(MIGRATIONS).skip(from) {
        let channel = format!("'{}'", schema.channel());
        let tables = migration.replace("{schema}", s).replace("{channel}", &channel);
        transaction.batch_execute(&tables).await?;
        let noted = format!(
            "CREATE TABLE IF NOT EXISTS {s}.schema_version (version integer NOT NULL);
             DELETE FROM {s}.schema_version;
             INSERT INTO {s}.schema_version VALUES ({version});"
        );
        transaction.batch_execute(&noted).await?;
    }
    Ok(transaction.commit().await?)
}

/// The version of the tables; 0 where there are none.
async fn version(client: &Client, schema: &Schema) -> Result<usize, Unfit> {
    // A look at the catalog's own tables. What to_regclass knows may be older than the lock.
    let found = "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = 'schema_version'";
    if client.query_opt(found, &[&schema.plain]).await?.is_none() {
        return Ok(0);
    }
    let version = format!("SELECT max(version) FROM {}.schema_version", schema.quoted);
    let row = client.query_one(&version, &[]).await?;
    let version = row.try_get::<_, Option<i32>>(0)?.unwrap_or(0);
    let known = MIGRATIONS.len();
    usize::try_from(version).ok().filter(|version| *version <= known).ok_or_else(|| {
        Unfit::Refused(format!(
            "has tables of version {version} in the schema {:?}, and this program knows up to {known}; update it, \
             or give another PostgresOptions::schema",
            schema.plain
        ))
    })
}
