//! An engine, actors in this process, and the testkit's sandbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandbox_agent_engine_harness::{Actors, play_within};
use sandbox_agent_multiplayer::{ConnectionRequest, Error, Limits, Participant, Person, Rights};
use sandbox_agent_multiplayer_rivet::{ActorLimits, Credentials, WorkspaceActor, WorkspaceKey};
use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
use sandbox_agent_testkit::{AgentOptions, Sandbox};

/// What must not hang ends within this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Tests take turns: each has an engine of its own.
pub(crate) static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

pub(crate) async fn sandbox() -> Sandbox {
    let heartbeat = Duration::from_millis(150);
    Sandbox::builder().heartbeat(heartbeat).quick_delete().agent(AgentOptions::new()).start().await.unwrap()
}

/// Workspaces on this sandbox, which let in who says a name: `bob` looks on, all others own.
pub(crate) fn workspaces(sandbox: &str) -> WorkspaceActor {
    counted(sandbox, Arc::default())
}

/// The same, with how often one was opened.
pub(crate) fn counted(sandbox: &str, opened: Arc<AtomicUsize>) -> WorkspaceActor {
    let url = sandbox.to_owned();
    WorkspaceActor::new(move |_: WorkspaceKey| {
        opened.fetch_add(1, Ordering::Relaxed);
        let sdk = SandboxAgent::builder(url.clone());
        async move { Ok(sdk) }
    })
    .session(SessionRequest::new("default", "mock").cwd("/"))
    .authorize_with(|request: ConnectionRequest| async move {
        let rights = if request.param("name") == Some("bob") { Rights::OBSERVER } else { Rights::OWNER };
        match (request.token.as_deref(), request.param("name")) {
            (Some("good"), Some(name)) => Ok(Participant::new(Person::new(name), rights)),
            _ => Err(Error::refused("say who you are")),
        }
    })
    .limits(Limits::default().grace(Duration::from_millis(500)))
    .actor_limits(ActorLimits::default().sleep(Duration::from_secs(20)))
}

pub(crate) fn named(name: &str) -> Credentials {
    Credentials::new().token("good").param("name", name)
}

/// Plays a scenario with these workspaces.
pub(crate) async fn play<F>(workspaces: WorkspaceActor, scenario: impl FnOnce(Actors) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let _turn = TURN.lock().await;
    play_within(Duration::from_secs(180), [("workspace", workspaces.factory())], scenario).await;
}
