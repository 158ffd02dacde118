//! The actor that does things at their time: the engine wakes it, whoever is connected.
//!
//! ```text
//! schedule, when it is due ┐
//! a client, at once        ┴→ queue → one job after the other
//! ```
//!
//! The engine keeps both, so that a job is there until it is done, whatever crashes. What fails is tried for some
//! minutes, and then given up.

use std::time::Duration;

use rivetkit_core::{ActorContext, ActorEvent, ActorStart, QueueNextOpts, QueueSendResult, QueueSendStatus};
use sandbox_agent_multiplayer::{Call, Command, CommandOutput, Error, ErrorKind, NewPrompt};
use sandbox_agent_multiplayer_rivet::{Credentials, RivetWorkspaces};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// What is to be done, in the workspace with this key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Somebody's prompt, by the calendar.
    Prompt { workspace: String, text: String },
    /// A command, which no agent has to be asked for.
    Command { workspace: String, program: String, args: Vec<String> },
}

/// A job in the queue. One that comes twice is the same prompt: the agent is asked once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Errand {
    pub(crate) id: String,
    pub(crate) job: Job,
}

const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(2);
/// The queue's name.
pub(crate) const JOBS: &str = "jobs";

/// When.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum When {
    /// Once, in so many seconds.
    In(u64),
    /// Each time that a cron expression names, under a name that replaces an older one.
    Cron { name: String, expression: String },
}

/// An actor's whole life, from when it wakes until it sleeps. Its schedule and its queue outlive that.
pub(crate) async fn run(start: ActorStart, workspaces: RivetWorkspaces) -> anyhow::Result<()> {
    let ActorStart { ctx, is_new, mut events, .. } = start;
    println!("calendar: {}", if is_new { "begins" } else { "wakes" });
    let worker = tokio::spawn(work(ctx.clone(), workspaces));
    while let Some(event) = events.recv().await {
        match event {
            // By the engine's clock.
            ActorEvent::Action { args, scheduled_fire: Some(fire), reply, .. } => {
                let id = format!("{}@{}", fire.id, fire.scheduled_at);
                reply.send(is_due(&ctx, id, &args).await.map(|()| nothing()));
            }
            // By a client.
            ActorEvent::Action { name, args, reply, .. } => {
                reply.send(schedule(&ctx, &name, &args).await.map(|()| nothing()));
            }
            ActorEvent::QueueSend { name, body, reply, .. } => {
                let sent = QueueSendResult { status: QueueSendStatus::Completed, response: None };
                reply.send(ctx.send(&name, &body).await.map(|_| sent));
            }
            // An example lets everybody in: say no here to whom you don't know by `params`.
            ActorEvent::ConnectionPreflight { reply, .. } | ActorEvent::ConnectionOpen { reply, .. } => {
                reply.send(Ok(()));
            }
            ActorEvent::RunGracefulCleanup { reply, .. } => {
                println!("calendar: sleeps");
                // What it is at is in the queue still, and is done after waking.
                worker.abort();
                reply.send(Ok(()));
            }
            ActorEvent::SerializeState { reply, .. } => reply.send(Ok(Vec::new())),
            _ => {}
        }
    }
    Ok(())
}

async fn schedule(ctx: &ActorContext, name: &str, args: &[u8]) -> anyhow::Result<()> {
    anyhow::ensure!(name == "schedule", "there is schedule(when, job), not {name}");
    let (when, job): (When, Job) = ciborium::from_reader(args)?;
    let mut args = Vec::new();
    ciborium::into_writer(&[job], &mut args)?;
    match when {
        When::In(seconds) => drop(ctx.after(Duration::from_secs(seconds), "due", &args).await?),
        When::Cron { name, expression } => {
            // In UTC unless told; the last 10 times stay to be looked at by `cron_history`.
            ctx.cron_set(&name, &expression, None, "due", &args, Some(10)).await?;
        }
    }
    Ok(())
}

async fn is_due(ctx: &ActorContext, id: String, args: &[u8]) -> anyhow::Result<()> {
    let [job]: [Job; 1] = ciborium::from_reader(args)?;
    let mut body = Vec::new();
    ciborium::into_writer(&Errand { id, job }, &mut body)?;
    ctx.send(JOBS, &body).await?;
    Ok(())
}

/// Does what is in the queue, until the actor sleeps.
async fn work(ctx: ActorContext, workspaces: RivetWorkspaces) {
    loop {
        let next =
            QueueNextOpts { names: Some(vec![JOBS.to_owned()]), completable: true, ..Default::default() };
        // An error is the actor's end.
        let Ok(next) = ctx.next(next).await else { return };
        let Some(message) = next else { continue };
        let _awake = ctx.keep_awake_region();
        for tries in 1.. {
            let Err(error) = does(&workspaces, &message.body).await else { break };
            println!("calendar: a job failed: {error:#}");
            if tries == TRIES || !passes(&error) {
                println!("calendar: it is given up");
                break;
            }
            sleep(PAUSE * tries).await;
        }
        if let Err(error) = message.complete(None).await {
            println!("calendar: a job stays in the queue: {error:#}");
        }
    }
}

/// Whether it may go well later, such as when the workspace's host is back.
fn passes(error: &anyhow::Error) -> bool {
    use ErrorKind::{Disconnected, Full, Overtaken, Sandbox, Store, TimedOut};
    error.downcast_ref::<Error>().is_some_and(|error| {
        matches!(error.kind(), Disconnected | Full | Overtaken | Sandbox | Store | TimedOut)
    })
}

async fn does(workspaces: &RivetWorkspaces, body: &[u8]) -> anyhow::Result<()> {
    let Errand { id, job } = ciborium::from_reader(body)?;
    let me = Credentials::new().token("the calendar's token");
    match job {
        Job::Prompt { workspace, text } => {
            let workspace = workspaces.get_or_create(&*workspace, me, None).await?;
            // Accepted is enough: the workspace's own actor stays awake until the turn is over.
            workspace.prompt(NewPrompt::with_id(id, text)).await?;
            workspace.dispose();
            println!("calendar: asked the agent");
        }
        Job::Command { workspace, program, args } => {
            let workspace = workspaces.get_or_create(&*workspace, me, None).await?;
            let answer = workspace.call(Call::Exec(Command::new(program).args(args))).await?;
            let output: CommandOutput = serde_json::from_str(answer.get())?;
            workspace.dispose();
            println!("calendar: ran a command, exit code {:?}", output.exit_code);
        }
    }
    Ok(())
}

/// An empty answer, as CBOR.
fn nothing() -> Vec<u8> {
    vec![0xf6]
}
