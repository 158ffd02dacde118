//! The actor that remembers: its SQLite outlives sleep, crashes and the host.

use rivetkit_core::{ActorContext, ActorEvent, ActorStart, BindParam, ColumnValue};
use serde::Serialize;
use serde_json::Value;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS memories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL,
    category TEXT NOT NULL,
    content TEXT NOT NULL,
    created_at INTEGER NOT NULL DEFAULT (unixepoch())
)";
const STORE: &str = "INSERT INTO memories (session_id, category, content) VALUES (?, ?, ?)";
const SEARCH: &str =
    "SELECT category, content FROM memories WHERE content LIKE '%' || ? || '%' ORDER BY id DESC LIMIT 20";

/// An actor's whole life, from when it wakes until it sleeps.
pub(crate) async fn run(start: ActorStart) -> anyhow::Result<()> {
    let ActorStart { ctx, is_new, mut events, .. } = start;
    println!("memory: {}", if is_new { "begins" } else { "wakes" });
    ctx.sql().exec(TABLE).await?;
    while let Some(event) = events.recv().await {
        match event {
            ActorEvent::Action { name, args, reply, .. } => {
                let ctx = ctx.clone();
                // Never wait in the loop: an actor answers many calls at once.
                tokio::spawn(async move { reply.send(act(&ctx, &name, &args).await) });
            }
            // An example lets everybody in: say no here to whom you don't know by `params`.
            ActorEvent::ConnectionPreflight { reply, .. } | ActorEvent::ConnectionOpen { reply, .. } => {
                reply.send(Ok(()));
            }
            ActorEvent::RunGracefulCleanup { reply, .. } => {
                println!("memory: sleeps");
                reply.send(Ok(()));
            }
            ActorEvent::SerializeState { reply, .. } => reply.send(Ok(Vec::new())),
            _ => {}
        }
    }
    Ok(())
}

async fn act(ctx: &ActorContext, name: &str, args: &[u8]) -> anyhow::Result<Vec<u8>> {
    let args: Vec<String> = ciborium::from_reader(args)?;
    match (name, &args[..]) {
        ("store", [session, category, content]) => {
            let params = [session, category, content].map(|text| BindParam::Text(text.clone())).into();
            ctx.sql().run(STORE, Some(params)).await?;
            cbor(&Value::Null)
        }
        ("search", [query]) => {
            let found = ctx.sql().query(SEARCH, Some(vec![BindParam::Text(query.clone())])).await?;
            let rows = found.rows.iter().map(|row| row.iter().map(text).collect());
            cbor(&rows.collect::<Vec<Vec<&str>>>())
        }
        _ => anyhow::bail!("there are store(session, category, content) and search(text), not {name}"),
    }
}

fn text(value: &ColumnValue) -> &str {
    match value {
        ColumnValue::Text(text) => text,
        _ => "",
    }
}

fn cbor<T: Serialize>(value: &T) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes)?;
    Ok(bytes)
}
