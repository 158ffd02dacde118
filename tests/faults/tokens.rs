//! Tokens that change: a provider gives them, and the sandbox refuses those of before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sandbox_agent_sdk::acp_schema::StopReason;
use sandbox_agent_sdk::{
    Area, Delivery, Error, ErrorKind, Limits, SandboxAgent, Token, TokenProvider, async_trait,
};
use sandbox_agent_testkit::{Events, On, Sandbox};

use crate::support::{begun, request};
use crate::{HEARTBEAT, PATIENCE, limits};

const TOKEN: &str = "token-7f3a";
const OLD: &str = "token-old-2c9d";

/// Gives the old token until it was refused, before each request anew.
#[derive(Clone, Default)]
struct Forgetful {
    refused: Arc<AtomicUsize>,
}

#[async_trait]
impl TokenProvider for Forgetful {
    async fn token(
        &self,
        refused: Option<&Token>,
    ) -> Result<Token, Box<dyn std::error::Error + Send + Sync>> {
        match refused {
            None => Ok(OLD.into()),
            Some(refused) => {
                assert_eq!(refused.reveal(), OLD);
                self.refused.fetch_add(1, Ordering::Relaxed);
                Ok(TOKEN.into())
            }
        }
    }
}

/// Longer than the bounds that the SDK has for what is answered at once.
const SLOW: Duration = Duration::from_millis(2_300);

/// Gives the token, at once until it is told to take its time.
#[derive(Clone, Default)]
struct Hesitant {
    hesitates: Arc<AtomicBool>,
}

impl Hesitant {
    fn hesitate(&self) {
        self.hesitates.store(true, Ordering::Relaxed);
    }

    async fn connect(&self, sandbox: &Sandbox, limits: Limits) -> SandboxAgent {
        let builder = SandboxAgent::builder(sandbox.url()).token_provider(self.clone()).limits(limits);
        builder.connect().await.unwrap()
    }
}

#[async_trait]
impl TokenProvider for Hesitant {
    async fn token(&self, _: Option<&Token>) -> Result<Token, Box<dyn std::error::Error + Send + Sync>> {
        if self.hesitates.load(Ordering::Relaxed) {
            tokio::time::sleep(SLOW).await;
        }
        Ok(TOKEN.into())
    }
}

async fn guarded() -> Sandbox {
    Sandbox::builder().heartbeat(HEARTBEAT).quick_delete().token(TOKEN).start().await.unwrap()
}

#[tokio::test]
async fn each_request_and_each_new_stream_has_a_token_that_counts() {
    let (sandbox, provider) = (guarded().await, Forgetful::default());
    let sdk = SandboxAgent::builder(sandbox.url())
        .token("replaced")
        .token_provider(provider.clone())
        .limits(limits())
        .connect()
        .await
        .unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let mut turn = session.prompt("say begun; stream 200 rate=2000; say done");
    begun(&mut turn).await;
    let (before, opened) = (provider.refused.load(Ordering::Relaxed), sdk.metrics().streams_opened);
    sandbox.faults().cut_connections();
    let turn = tokio::time::timeout(PATIENCE, turn).await.unwrap();
    assert_eq!(turn.unwrap().stop_reason, StopReason::EndTurn);
    assert!(sdk.metrics().streams_opened > opened, "the stream was opened again");
    assert!(provider.refused.load(Ordering::Relaxed) > before, "and its token replaced");
    assert_eq!(sandbox.prompts_received().len(), 1, "what was refused did not run, nor twice");
    for shown in [format!("{sdk:?}"), format!("{session:?}"), format!("{:?}", sdk.inspector_url())] {
        assert!(!shown.contains(TOKEN) && !shown.contains(OLD), "{shown}");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_twice_is_an_error_without_it() {
    let sandbox = guarded().await;
    let asked = Arc::<AtomicUsize>::default();
    let count = asked.clone();
    let provider = move || {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, Error>(OLD.to_owned()) }
    };
    let builder = SandboxAgent::builder(sandbox.url()).token_provider(provider);
    assert!(!format!("{builder:?}").contains(OLD));
    let error = builder.connect().await.unwrap_err();
    assert!(error.is_unauthorized(), "{error:?}");
    assert!(!format!("{error:?} {error}").contains(OLD), "{error:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_provider_that_fails_is_named_and_nothing_is_sent() {
    let sandbox = guarded().await;
    let moment = crate::MOMENT;
    let provider = || async { Err::<String, _>(std::io::Error::other("the vault is sealed")) };
    let builder =
        SandboxAgent::builder(sandbox.url()).token_provider(provider).limits(limits().connect(moment));
    let error = builder.connect().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TokenUnavailable);
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "the vault is sealed");
}

#[tokio::test]
async fn the_page_for_people_has_no_secret_unless_asked_to() {
    let sandbox = guarded().await;
    let sdk = SandboxAgent::builder(format!("{}/", sandbox.url()))
        .token(TOKEN)
        .header("x-team", "a b")
        .connect()
        .await
        .unwrap();
    assert_eq!(sdk.inspector_url(), format!("{}/ui/", sandbox.url()));
    let signed = sdk.signed_inspector_url().await.unwrap();
    let expected = format!("{}/ui/?token={TOKEN}&headers=%7B%22x-team%22%3A%22a+b%22%7D", sandbox.url());
    assert_eq!(signed.reveal(), expected);
    assert_eq!(format!("{signed:?}"), "SecretUrl(…)");
    let rotating = SandboxAgent::builder(sandbox.url()).token_provider(|| async { Ok::<_, Error>(TOKEN) });
    let signed = rotating.connect().await.unwrap().signed_inspector_url().await.unwrap();
    assert_eq!(signed.reveal(), format!("{}/ui/?token={TOKEN}", sandbox.url()));
}

/// Gives the newest of its tokens, and holds that it counts for hours.
#[derive(Clone, Default)]
struct Cached {
    refused: Arc<AtomicUsize>,
}

#[async_trait]
impl TokenProvider for Cached {
    async fn token(
        &self,
        refused: Option<&Token>,
    ) -> Result<Token, Box<dyn std::error::Error + Send + Sync>> {
        self.refused.fetch_add(usize::from(refused.is_some()), Ordering::Relaxed);
        Ok(Token::new(TOKEN).valid_for(Duration::from_secs(3600)))
    }
}

#[tokio::test]
async fn only_the_servers_own_refusal_has_a_prompt_sent_again() {
    let (sandbox, provider) = (guarded().await, Cached::default());
    let sdk = SandboxAgent::builder(sandbox.url()).token_provider(provider.clone()).limits(limits());
    let sdk = sdk.connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    let process = crate::server(&session);
    let refuse = |on, body: &str| sandbox.faults().next(on).answer(401, "application/problem+json", body);
    let prompt = || On::rpc("session/prompt");

    refuse(
        prompt(),
        r#"{"type":"urn:sandbox-agent:error:token_invalid","title":"Token Invalid","status":401}"#,
    );
    session.prompt("say hello").await.unwrap();
    assert_eq!((sandbox.prompts_received().len(), provider.refused.load(Ordering::Relaxed)), (1, 1));

    refuse(prompt(), r#"{"type":"about:blank","title":"Log in","status":401}"#);
    let error = session.prompt("say hello again").await.unwrap_err();
    assert!(error.is_unauthorized(), "{error:?}");
    assert_eq!(error.delivery(), Some(Delivery::Unknown), "a proxy may say so after it passed the prompt on");
    assert_eq!(sandbox.prompts_received().len(), 1, "it was not sent again");
    session.prompt("say that all goes on").await.unwrap();
    assert_eq!(provider.refused.load(Ordering::Relaxed), 2, "with another token");
    assert_eq!(crate::server(&session), process, "and the same process");

    refuse(On::get().path("/v1/health"), "<html>Log in</html>");
    assert_eq!(sdk.health().await.unwrap().status, "ok", "what may be repeated is");
    assert_eq!((sandbox.faults().unspent(), provider.refused.load(Ordering::Relaxed)), (0, 3));
}

#[tokio::test]
async fn a_slow_provider_leaves_no_process_running() {
    let (sandbox, provider) = (guarded().await, Hesitant::default());
    let sdk = provider.connect(&sandbox, Limits::default()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    sdk.create_session(request("two")).await.unwrap();
    let first = crate::server(&session);
    provider.hesitate();
    sdk.acp_servers().close(&first).await.unwrap();
    assert!(!sandbox.servers().contains(&first), "what is said to be closed is");
    tokio::time::timeout(PATIENCE, sdk.close()).await.unwrap().unwrap();
    assert!(sandbox.servers().is_empty());
}

#[tokio::test]
async fn a_slow_provider_keeps_no_lost_answer_away() {
    // Its heartbeats are too rare to help.
    let sandbox = Sandbox::builder().token(TOKEN).quick_delete().start().await.unwrap();
    let provider = Hesitant::default();
    let sdk = provider.connect(&sandbox, Limits::default()).await;
    let session = sdk.create_session(request("one")).await.unwrap();
    provider.hesitate();
    sandbox.faults().lose(Events::responses(1));
    let turn = tokio::time::timeout(PATIENCE, session.prompt("say hello")).await.unwrap();
    assert_eq!(turn.unwrap().stop_reason, StopReason::EndTurn);
    assert_eq!(sandbox.faults().unspent(), 0);
}

#[tokio::test]
async fn the_time_of_a_provider_is_added_to_that_of_a_call() {
    let (sandbox, provider) = (guarded().await, Hesitant::default());
    let sdk = provider.connect(&sandbox, limits().area(Area::Health, crate::MOMENT)).await;
    provider.hesitate();
    assert_eq!(sdk.health().await.unwrap().status, "ok");
}
