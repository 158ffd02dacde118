//! The actor of a workflow: each step's result is in its SQLite before the next step begins.

use std::future::Future;
use std::sync::Arc;

use rivetkit_core::{ActorContext, ActorEvent, ActorStart, BindParam, ColumnValue};
use sandbox_agent_multiplayer_rivet::RivetWorkspaces;
use tokio::sync::Mutex;

use crate::steps;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS steps (name TEXT PRIMARY KEY, result TEXT NOT NULL)";
/// What the workflow was asked for, and what came of it, are kept as its first and last step.
const INPUT: &str = "input";
const OUTPUT: &str = "output";
/// How often the engine looks after a workflow that is not over: the least that it takes.
const WATCH_MS: i64 = 5_000;

#[derive(Clone)]
pub(crate) struct Workflow {
    actor: ActorContext,
    pub(crate) workspaces: RivetWorkspaces,
    /// Held by the one that goes on.
    going_on: Arc<Mutex<()>>,
}

/// An actor's whole life, from when it starts, or starts again, until it sleeps.
pub(crate) async fn run(start: ActorStart, workspaces: RivetWorkspaces) -> anyhow::Result<()> {
    let ActorStart { ctx, mut events, .. } = start;
    ctx.sql().exec(TABLE).await?;
    let workflow = Workflow { actor: ctx, workspaces, going_on: Arc::default() };
    // After a crash, this goes on with what was begun.
    tokio::spawn(workflow.clone().go_on());
    while let Some(event) = events.recv().await {
        match event {
            ActorEvent::Action { name, args, reply, .. } => {
                let workflow = workflow.clone();
                tokio::spawn(async move { reply.send(workflow.act(&name, &args).await) });
            }
            // An example lets everybody in: say no here to whom you don't know by `params`.
            ActorEvent::ConnectionPreflight { reply, .. }
            | ActorEvent::ConnectionOpen { reply, .. }
            | ActorEvent::RunGracefulCleanup { reply, .. } => reply.send(Ok(())),
            ActorEvent::SerializeState { reply, .. } => reply.send(Ok(Vec::new())),
            _ => {}
        }
    }
    Ok(())
}

impl Workflow {
    async fn act(self, name: &str, args: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut answer = Vec::new();
        match name {
            "start" => {
                let [issue]: [String; 1] = ciborium::from_reader(args)?;
                self.step(INPUT, async { Ok(issue) }).await?;
                // Were the host to die, nobody would call: so the engine does.
                self.actor.cron_every("watch", WATCH_MS, "goOn", &[0x80], None).await?;
                tokio::spawn(self.go_on());
                ciborium::into_writer(&true, &mut answer)?;
            }
            "goOn" => {
                tokio::spawn(self.go_on());
                ciborium::into_writer(&true, &mut answer)?;
            }
            "result" => ciborium::into_writer(&self.kept(OUTPUT).await?, &mut answer)?,
            _ => anyhow::bail!("there are start(issue) and result(), not {name}"),
        }
        Ok(answer)
    }

    /// Goes through the steps that are left, unless that is going on already. What fails is tried again when
    /// the engine looks after it.
    async fn go_on(self) {
        let Ok(_alone) = self.going_on.clone().try_lock_owned() else { return };
        let _awake = self.actor.keep_awake_region();
        if let Err(error) = self.all_steps().await {
            eprintln!("workflow: {error:#}");
        }
    }

    async fn all_steps(&self) -> anyhow::Result<()> {
        let Some(issue) = self.kept(INPUT).await? else { return Ok(()) };
        if self.kept(OUTPUT).await?.is_none() {
            let output = steps::fix_bug(self, &issue).await?;
            self.step(OUTPUT, async { Ok(output) }).await?;
        }
        self.actor.cron_delete("watch").await?;
        Ok(())
    }

    /// A step's result: the one that is kept, or what `work` gives, which is kept before this returns.
    pub(crate) async fn step<F>(&self, name: &str, work: F) -> anyhow::Result<String>
    where
        F: Future<Output = anyhow::Result<String>>,
    {
        if let Some(kept) = self.kept(name).await? {
            println!("workflow: {name} is done already");
            return Ok(kept);
        }
        println!("workflow: {name}");
        let result = work.await?;
        let params = [name, &result].map(|text| BindParam::Text(text.to_owned())).into();
        self.actor.sql().run("INSERT INTO steps (name, result) VALUES (?, ?)", Some(params)).await?;
        Ok(result)
    }

    async fn kept(&self, name: &str) -> anyhow::Result<Option<String>> {
        let params = vec![BindParam::Text(name.to_owned())];
        let found = self.actor.sql().query("SELECT result FROM steps WHERE name = ?", Some(params)).await?;
        Ok(found.rows.into_iter().flatten().find_map(|value| match value {
            ColumnValue::Text(text) => Some(text),
            _ => None,
        }))
    }
}
