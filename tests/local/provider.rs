//! An SDK in a local sandbox.

use std::path::Path;

use sandbox_agent_sdk::{
    ErrorKind, LocalProvider, LocalSandbox, MemorySessionPersistDriver, ResumeOutcome, SandboxAgent,
    SandboxErrorKind, SandboxProvider, SessionRequest,
};
use tempfile::TempDir;

use crate::processes::is_server;
use crate::support::{recorded, request, said};
use crate::{processes, scripted};

/// One whose sandboxes launch the scripted agent, from a folder that all share.
fn provider() -> (LocalProvider, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    scripted(folder.path());
    (LocalSandbox::builder().data_dir(folder.path()).cwd("/usr").provider(), folder)
}

async fn says(sdk: &SandboxAgent, session: &str) -> String {
    let opened = sdk.resume_session(session).await.unwrap();
    opened.session.prompt("whoami").await.unwrap();
    said(&recorded(&opened.session).await)
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_sandbox_is_in_the_records_and_found_again_by_its_id() {
    let (provider, _folder) = provider();
    let store = MemorySessionPersistDriver::new();
    let sdk = SandboxAgent::builder_in(provider.clone()).persist(store.clone()).connect().await.unwrap();
    let id = sdk.sandbox_id().unwrap().to_owned();
    assert!(id.starts_with("local/"), "{id}");
    let session = sdk.create_session(SessionRequest::new("one", "mock")).await.unwrap();
    let record = session.record();
    assert_eq!(record.sandbox_id.as_deref(), Some(&*id));
    assert_eq!(record.session_init.unwrap()["cwd"], "/usr", "the provider's own");
    sdk.detach().await.unwrap();
    drop((session, sdk));

    let again = SandboxAgent::builder_in(provider.clone()).sandbox_id(&id).persist(store);
    let again = again.connect().await.unwrap();
    assert_eq!(again.sandbox_id(), Some(&*id));
    let opened = again.resume_session("one").await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Reattached, "the server is the same");
    again.destroy_sandbox().await.unwrap();

    let gone = SandboxAgent::reconnect(provider, &id).await.unwrap_err();
    assert_eq!(*gone.kind(), ErrorKind::Sandbox(SandboxErrorKind::NotFound));
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_paused_sandbox_runs_nothing_and_wakes_with_its_data() {
    let provider = LocalProvider::new();
    let store = MemorySessionPersistDriver::new();
    let sdk = SandboxAgent::builder_in(provider.clone()).persist(store.clone()).connect().await.unwrap();
    let id = sdk.sandbox_id().unwrap().to_owned();
    let own = id.strip_prefix("local/").unwrap();
    let data = std::env::temp_dir().join(format!("sandbox-agent-{own}/data"));
    scripted(&data);
    sdk.create_session(request("one")).await.unwrap();
    sdk.pause_sandbox().await.unwrap();
    processes::wait_until_gone(data.to_str().unwrap(), &[]);
    assert!(data.is_dir());

    let again = SandboxAgent::builder_in(provider.clone()).sandbox_id(&id).persist(store);
    let again = again.connect().await.unwrap();
    assert!(says(&again, "one").await.contains("pid: "));
    again.kill_sandbox().await.unwrap();
    processes::wait_until_gone(data.to_str().unwrap(), &[]);
    assert!(!data.exists());
    provider.destroy(own).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_server_that_died_is_started_anew_at_its_old_address() {
    let (provider, _folder) = provider();
    let id = provider.create().await.unwrap();
    let sdk = SandboxAgent::reconnect(provider.clone(), &format!("local/{id}")).await.unwrap();
    sdk.create_session(request("one")).await.unwrap();
    let first = says(&sdk, "one").await;

    let (server, _) = processes::with(&id).into_iter().find(|(_, name)| is_server(name)).unwrap();
    let killed = std::process::Command::new("kill").args(["-KILL", &server.to_string()]).status();
    assert!(killed.unwrap().success());
    processes::wait(|| if processes::runs(server) { Err("it runs".to_owned()) } else { Ok(()) });
    // Once the sandbox knows of it.
    loop {
        provider.ensure_server(&id).await.unwrap();
        if processes::with(&id).iter().any(|(pid, name)| *pid != server && is_server(name)) {
            break;
        }
    }
    // The same SDK goes on: it learns that the process is gone, and starts another one.
    let session = sdk.get_session("one").await.unwrap().unwrap();
    while let Err(error) = session.prompt("say still here").await {
        assert!(error.is_agent_gone(), "{error:?}");
    }
    assert_ne!(says(&sdk, "one").await, first);
    sdk.destroy_sandbox().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_sandbox_lives_as_long_as_a_handle_of_the_sdk_or_of_a_session() {
    let (provider, folder) = provider();
    let sdk = SandboxAgent::start(provider).await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    drop(sdk);
    session.prompt("say still here").await.unwrap();
    assert_eq!(said(&recorded(&session).await), "still here");
    let text = folder.path().to_str().unwrap().to_owned();
    assert!(!processes::with(&text).is_empty());
    drop(session);
    processes::wait_until_gone(&text, &[]);
    assert!(Path::new(&text).exists());
}
