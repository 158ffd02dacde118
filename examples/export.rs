//! Writes a session of an SQLite file as Markdown and as JSON Lines, brings the lines into another
//! file, and shows what a retention would delete. Needs no server: run `persist_sqlite` before.
//!
//! The arguments are the file, `sessions.db` unless told, and the session, `default` unless told.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::time::Duration;

use futures::StreamExt;
use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::Markdown;
use sandbox_agent_sdk::persist::{Retention, SessionPersistDriverExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).unwrap_or_else(|| "sessions.db".to_owned());
    let id = env::args().nth(2).unwrap_or_else(|| "default".to_owned());
    if !fs::exists(&file)? {
        return Err(format!("no file {file}: run `cargo run --example persist_sqlite` first").into());
    }
    let store = SqliteSessionPersistDriver::open(&file).await?;

    let mut document = Markdown::of(&store, &id);
    while let Some(piece) = document.next().await {
        print!("{}", piece?);
    }

    let lines = format!("{id}.jsonl");
    let mut written = BufWriter::new(File::create(&lines)?);
    let mut export = store.export(&id);
    while let Some(line) = export.next_line().await? {
        writeln!(written, "{line}")?;
    }
    written.into_inner()?.sync_all()?;
    println!("\nWritten to {lines}.");

    // Going on where it was, if an import of these lines was broken off before.
    let copy = SqliteSessionPersistDriver::open("imported.db").await?;
    let mut import = copy.import();
    for line in BufReader::new(File::open(&lines)?).lines() {
        import.line(&line?).await?;
    }
    let imported = import.finish().await?;
    println!("Brought into imported.db: {imported:?}");

    let retention = Retention::new().older_than(Duration::from_secs(30 * 24 * 3600)).dry_run();
    let report = store.prune(&retention).await?;
    println!("A retention of 30 days would delete {} sessions.", report.pruned.len());
    copy.close().await?;
    store.close().await?;
    Ok(())
}
