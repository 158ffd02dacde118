//! An SDK in a sandbox that a provider makes: what becomes of the sandbox, however the call ends.

use std::sync::{Arc, Mutex};

use sandbox_agent_sdk::persist::async_trait;
use sandbox_agent_sdk::{
    ErrorKind, Limit, MemorySessionPersistDriver, SandboxAgent, SandboxEndpoint, SandboxError,
    SandboxErrorKind, SandboxProvider, SessionRequest,
};
use sandbox_agent_testkit::Sandbox;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::{MOMENT, PATIENCE, eventually, limits};

/// Sandboxes that all have one server.
#[derive(Debug, Default)]
struct Provider {
    url: String,
    token: String,
    calls: Mutex<Vec<String>>,
    /// What fails.
    fails: Option<&'static str>,
    /// What never ends, unless it is notified.
    hangs: Option<&'static str>,
    go: Notify,
}

impl Provider {
    async fn call(&self, name: &'static str, id: &str) -> Result<(), SandboxError> {
        self.calls.lock().unwrap().push(format!("{name} {id}"));
        if self.hangs == Some(name) {
            self.go.notified().await;
        }
        match self.fails {
            Some(failing) if failing == name => {
                Err(SandboxError::new(SandboxErrorKind::Unavailable, "no room; call again later"))
            }
            _ => Ok(()),
        }
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

#[async_trait]
impl SandboxProvider for Provider {
    fn name(&self) -> &str {
        "test"
    }

    async fn create(&self) -> Result<String, SandboxError> {
        self.call("create", "7").await?;
        Ok("7".to_owned())
    }

    async fn ensure_server(&self, id: &str) -> Result<(), SandboxError> {
        self.call("ensure", id).await
    }

    async fn endpoint(&self, id: &str) -> Result<SandboxEndpoint, SandboxError> {
        self.call("endpoint", id).await?;
        Ok(SandboxEndpoint::new(&self.url).token(&self.token).header("x-sandbox", id))
    }

    async fn destroy(&self, id: &str) -> Result<(), SandboxError> {
        self.call("destroy", id).await
    }

    fn default_cwd(&self) -> Option<String> {
        Some("/work".to_owned())
    }
}

async fn server() -> Sandbox {
    Sandbox::builder().token("let-me-in").quick_delete().start().await.unwrap()
}

fn provider(server: &Sandbox) -> Provider {
    Provider { url: server.url().to_owned(), token: "let-me-in".to_owned(), ..Provider::default() }
}

#[tokio::test]
async fn a_sandbox_is_made_reached_and_destroyed() {
    let server = server().await;
    let provider = Arc::new(provider(&server));
    let store = MemorySessionPersistDriver::new();
    let sdk = SandboxAgent::builder_in(provider.clone()).persist(store.clone()).connect().await.unwrap();
    assert_eq!(sdk.sandbox_id(), Some("test/7"));
    assert_eq!(provider.calls(), ["create 7", "ensure 7", "endpoint 7"]);

    let session = sdk.create_session(SessionRequest::new("one", "mock")).await.unwrap();
    let record = session.record();
    assert_eq!(record.sandbox_id.as_deref(), Some("test/7"));
    assert_eq!(record.session_init.unwrap()["cwd"], "/work");
    let own = SessionRequest::new("two", "mock").cwd("/mine");
    assert_eq!(sdk.create_session(own).await.unwrap().record().session_init.unwrap()["cwd"], "/mine");

    // Who can't pause does not destroy instead.
    let unsupported = sdk.pause_sandbox().await.unwrap_err();
    assert_eq!(*unsupported.kind(), ErrorKind::Sandbox(SandboxErrorKind::Unsupported));
    assert_eq!(provider.calls().len(), 3);
    sdk.destroy_sandbox().await.unwrap();
    assert_eq!(provider.calls()[3..], ["destroy 7"]);
    let closed = session.prompt("say no").await.unwrap_err();
    assert_eq!(*closed.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn whoever_comes_back_makes_no_sandbox_and_destroys_none() {
    let server = server().await;
    let provider = Arc::new(provider(&server));
    let sdk = SandboxAgent::reconnect(provider.clone(), "test/3").await.unwrap();
    assert_eq!(sdk.sandbox_id(), Some("test/3"));
    assert_eq!(provider.calls(), ["ensure 3", "endpoint 3"]);
    for foreign in ["other/3", "3", "test/", ""] {
        let error = SandboxAgent::reconnect(provider.clone(), foreign).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidInput, "{foreign}");
        assert!(error.to_string().contains("test/"), "{error}");
    }
    assert_eq!(provider.calls().len(), 2);

    let failing = Arc::new(Provider { fails: Some("ensure"), ..self::provider(&server) });
    let error = SandboxAgent::reconnect(failing.clone(), "test/3").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Sandbox(SandboxErrorKind::Unavailable));
    assert_eq!(failing.calls(), ["ensure 3"]);
}

#[tokio::test]
async fn a_sandbox_that_was_made_in_vain_is_destroyed() {
    let server = server().await;
    for fails in ["ensure", "endpoint"] {
        let provider = Arc::new(Provider { fails: Some(fails), ..provider(&server) });
        let error = SandboxAgent::start(provider.clone()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Sandbox(SandboxErrorKind::Unavailable));
        assert_eq!(provider.calls().last().unwrap(), "destroy 7", "{fails}");
    }
    let wrong = Arc::new(Provider { token: "guess".to_owned(), ..provider(&server) });
    let error = SandboxAgent::start(wrong.clone()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unauthorized);
    assert_eq!(wrong.calls().last().unwrap(), "destroy 7");

    // What can be known before is not found out by a sandbox.
    let untouched = Arc::new(provider(&server));
    let error = SandboxAgent::builder_in(untouched.clone()).holder("").connect().await.unwrap_err();
    assert_eq!((error.kind(), untouched.calls().len()), (&ErrorKind::InvalidInput, 0));
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_no_sandbox() {
    let server = server().await;
    for hangs in ["create", "ensure", "endpoint"] {
        let provider = Arc::new(Provider { hangs: Some(hangs), ..provider(&server) });
        let start = SandboxAgent::start(provider.clone());
        let at_it = eventually("it hangs", async || {
            provider.calls().last().is_some_and(|call| call.starts_with(hangs))
        });
        tokio::select! {
            started = start => panic!("{started:?}"),
            () = at_it => {}
        }
        // What was asked for before the drop may be made after it.
        provider.go.notify_one();
        eventually("it is destroyed", async || provider.calls().last().unwrap() == "destroy 7").await;
    }
}

#[tokio::test]
async fn a_provider_that_hangs_is_given_up() {
    let server = server().await;
    let provider = Arc::new(Provider { hangs: Some("ensure"), ..provider(&server) });
    let start = SandboxAgent::builder_in(provider.clone()).limits(limits().sandbox(MOMENT)).connect();
    let error = timeout(PATIENCE, start).await.unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TimedOut(Limit::Sandbox));
    assert_eq!(provider.calls().last().unwrap(), "destroy 7");
}

#[tokio::test]
async fn an_sdk_of_an_address_has_no_sandbox() {
    let server = Sandbox::start().await;
    let sdk = SandboxAgent::connect(server.url()).await.unwrap();
    assert_eq!(sdk.sandbox_id(), None);
    for outcome in [sdk.destroy_sandbox().await, sdk.kill_sandbox().await, sdk.pause_sandbox().await] {
        assert_eq!(*outcome.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    // Nothing was closed by it.
    sdk.create_session(SessionRequest::new("one", "mock")).await.unwrap();
    let named = SandboxAgent::builder(server.url()).sandbox_id("test/7").connect().await.unwrap_err();
    assert_eq!(*named.kind(), ErrorKind::InvalidInput);
}
