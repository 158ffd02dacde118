//! An engine, actors in this process, and the testkit's sandbox.

use std::time::Duration;

use sandbox_agent_engine_harness::{Actors, play_within};
use sandbox_agent_multiplayer::{ConnectionRequest, Error, Limits, Participant, Person, Rights};
use sandbox_agent_multiplayer_rivet::{ActorLimits, WorkspaceActor, WorkspaceKey};
use sandbox_agent_sdk::{SandboxAgent, SessionRequest};
use sandbox_agent_testkit::{AgentOptions, Sandbox};

/// What must not hang ends within this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn sandbox() -> Sandbox {
    let heartbeat = Duration::from_millis(150);
    Sandbox::builder().heartbeat(heartbeat).quick_delete().agent(AgentOptions::new()).start().await.unwrap()
}

/// Workspaces on this sandbox, which let in who says a name: `bob` looks on, all others own.
pub(crate) fn workspaces(sandbox: &str) -> WorkspaceActor {
    let url = sandbox.to_owned();
    WorkspaceActor::new(move |_: WorkspaceKey| {
        let sdk = SandboxAgent::builder(url.clone());
        async move { Ok(sdk) }
    })
    .session(SessionRequest::new("default", "mock").cwd("/"))
    .authorize_with(|request: ConnectionRequest| async move {
        let rights = match request.param("name") {
            Some("bob") => Rights::OBSERVER,
            _ => Rights::OWNER,
        };
        match (request.param("name"), request.token.as_deref()) {
            (Some(name), Some("good")) => Ok(Participant::new(Person::new(name), rights)),
            _ => Err(Error::refused("say who you are")),
        }
    })
    .limits(Limits::default().grace(Duration::from_millis(500)))
    .actor_limits(ActorLimits::default().sleep(Duration::from_secs(20)))
}

/// Plays a scenario with these workspaces.
pub(crate) async fn play<F>(workspaces: WorkspaceActor, scenario: impl FnOnce(Actors) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    play_within(Duration::from_secs(180), [("workspace", workspaces.factory())], scenario).await;
}
