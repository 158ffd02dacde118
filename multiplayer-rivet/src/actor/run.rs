//! The actor's events, each handed on at once: nothing is waited for here.

use std::sync::Arc;

use rivetkit_core::{ActorEvent, ActorStart, ConnHandle, Reply, ShutdownKind};
use sandbox_agent_multiplayer::{Error, ErrorKind, Result};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::doors::Doors;
use super::engine::{Engine, FRAMES};
use super::failure;
use super::host::Host;
use super::opening::Opening;
use super::settings::Settings;
use crate::cbor;
use crate::mirror::RecordMirror;

pub(super) async fn run(start: ActorStart, settings: Arc<Settings>) -> anyhow::Result<()> {
    let ActorStart { ctx, input, snapshot, mut events, .. } = start;
    let input = match &input {
        Some(input) => cbor::read(input, "the actor's input").unwrap_or_else(|error| {
            tracing::warn!(actor = %ctx.actor_id(), %error, "an actor goes on without its input");
            Value::Null
        }),
        None => Value::Null,
    };
    let engine = Engine { actor: ctx.clone() };
    let host = Arc::new(Host {
        key: engine.key(input),
        mirror: RecordMirror::open(&ctx, snapshot.as_deref()).await,
        engine,
        settings,
        opening: Opening::new(),
        doors: Doors::default(),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    // Whatever way the actor ends, nothing of it goes on.
    let _stop = host.stop.clone().drop_guard();
    while let Some(event) = events.recv().await {
        handle(&host, event);
    }
    Ok(())
}

fn handle(host: &Arc<Host>, event: ActorEvent) {
    match event {
        ActorEvent::ConnectionPreflight { conn, params, reply, .. } => {
            let host = host.clone();
            tokio::spawn(async move { answer(reply, host.let_in(conn.id(), &params).await) });
        }
        ActorEvent::ConnectionOpen { reply, .. } => reply.send(Ok(())),
        ActorEvent::ConnectionClosed { conn } => host.doors.closed(conn.id()),
        ActorEvent::SubscribeRequest { conn, event_name, reply } => {
            let seated = if event_name == FRAMES { host.take_seat(conn.id()) } else { Ok(()) };
            answer(reply, seated);
        }
        ActorEvent::Action { name, args, conn: Some(conn), reply, .. } => act(host, conn, name, args, reply),
        ActorEvent::Action { name, reply, .. } => {
            answer(
                reply,
                Err(Error::new(ErrorKind::InvalidInput, format!("nothing calls {name:?} by time"))),
            );
        }
        ActorEvent::SerializeState { reply, .. } => {
            reply.send(Ok(host.mirror.as_ref().map(RecordMirror::deltas).unwrap_or_default()));
        }
        ActorEvent::DisconnectConn { conn_id, reply } => {
            let actor = host.engine.actor.clone();
            tokio::spawn(async move { reply.send(actor.disconnect_conn(conn_id).await) });
        }
        ActorEvent::RunGracefulCleanup { reason, reply } => {
            let host = host.clone();
            tokio::spawn(async move {
                host.part(reason == ShutdownKind::Destroy).await;
                reply.send(Ok(()));
            });
        }
        // Whoever waits for another one is told by the runtime that nobody answers.
        _ => {}
    }
}

fn act(host: &Arc<Host>, conn: ConnHandle, name: String, args: Vec<u8>, reply: Reply<Vec<u8>>) {
    let host = host.clone();
    tokio::spawn(async move { answer(reply, host.call(conn.id(), &name, &args).await) });
}

fn answer<T>(reply: Reply<T>, answer: Result<T>) {
    reply.send(answer.map_err(|error| failure::to_client(&error)));
}
