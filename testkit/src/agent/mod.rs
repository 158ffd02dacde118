//! The scripted ACP agent: the protocol on the official crate, the turns from scripts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::{
    Agent, Error, Lines, UntypedMessage, on_receive_notification, on_receive_request,
};
use agent_client_protocol_schema::v1::{
    AgentCapabilities, AuthenticateRequest, AuthenticateResponse, CancelNotification, Implementation,
    InitializeRequest, InitializeResponse, NewSessionRequest, PromptCapabilities, PromptRequest,
    PromptResponse, SetSessionConfigOptionRequest, SetSessionConfigOptionResponse, SetSessionModeRequest,
    SetSessionModeResponse,
};
use futures::Stream;
use serde_json::json;

mod host;
mod session;
pub(crate) mod stdio;
mod turn;
mod update;

pub(crate) use host::Host;
use session::Sessions;
use turn::Turn;

/// How an agent process starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentOptions {
    /// How long the answer to `initialize` takes.
    pub init_delay: Duration,
    /// How `initialize` goes wrong, if it shall.
    pub fail_init: Option<FailInit>,
}

/// How `initialize` goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailInit {
    /// The process exits with code 1 instead of answering.
    Exit,
    /// The answer is the JSON-RPC error -32603.
    Error,
}

/// What the parts of one agent process share.
pub(crate) struct Shared {
    host: Arc<dyn Host>,
    options: AgentOptions,
    sessions: Sessions,
    tools: AtomicU64,
}

impl Shared {
    async fn write(&self, lines: Vec<u8>) -> Result<(), Error> {
        self.host.write(lines).await.map_err(|error| Error::internal_error().data(json!(error.to_string())))
    }

    fn next_tool_id(&self) -> String {
        format!("tool-{}", self.tools.fetch_add(1, Ordering::Relaxed) + 1)
    }

    async fn initialize(&self) -> Result<InitializeResponse, Error> {
        tokio::time::sleep(self.options.init_delay).await;
        match self.options.fail_init {
            Some(FailInit::Exit) => self.host.exit(1).await,
            Some(FailInit::Error) => {
                return Err(Error::internal_error().data(json!("asked to fail")));
            }
            None => {}
        }
        let prompt = PromptCapabilities::new().image(true).embedded_context(true);
        Ok(InitializeResponse::new(ProtocolVersion::V1)
            .agent_capabilities(AgentCapabilities::new().prompt_capabilities(prompt))
            .agent_info(Implementation::new("scripted-acp-agent", env!("CARGO_PKG_VERSION"))))
    }

    /// The methods that the protocol's current version has no types for.
    fn old_method(&self, message: &UntypedMessage) -> Result<serde_json::Value, Error> {
        let text = |name: &str| message.params()[name].as_str().unwrap_or_default();
        match message.method() {
            "session/set_model" => {
                self.sessions.set_model(text("sessionId"), text("modelId"))?;
                Ok(json!({}))
            }
            method => Err(Error::method_not_found().data(json!(method))),
        }
    }
}

/// Serves one client until its lines end. What the crate sends (responses, requests) and what
/// a script writes meet in `host`; a script's lines go out before it asks or answers, so each
/// session's order is the order of its script.
pub(crate) async fn serve(
    host: Arc<dyn Host>,
    options: AgentOptions,
    incoming: impl Stream<Item = io::Result<String>> + Send + 'static,
) -> Result<(), Error> {
    let outgoing = futures::sink::unfold(host.clone(), async |host, line: String| {
        host.write(format!("{line}\n").into_bytes()).await?;
        Ok::<_, io::Error>(host)
    });
    let shared = Arc::new(Shared { host, options, sessions: Sessions::new(), tools: AtomicU64::new(0) });
    let [init, new, mode, option, prompt, cancel, other] = [(); 7].map(|()| shared.clone());
    Agent
        .v1()
        .name("scripted-acp-agent")
        .on_receive_request(
            async move |_: InitializeRequest, responder, _| {
                responder.respond_with_result(init.initialize().await)
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async |_: AuthenticateRequest, responder, _| responder.respond(AuthenticateResponse::new()),
            on_receive_request!(),
        )
        .on_receive_request(
            async move |_: NewSessionRequest, responder, _| responder.respond(new.sessions.create()),
            on_receive_request!(),
        )
        .on_receive_request(
            async move |set: SetSessionModeRequest, responder, _| {
                let done = mode.sessions.set_mode(&set.session_id.0, &set.mode_id.0);
                responder.respond_with_result(done.map(|()| SetSessionModeResponse::new()))
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |set: SetSessionConfigOptionRequest, responder, _| {
                let value = set.value.as_value_id().map(|value| value.0.clone());
                let options = option.sessions.set_option(
                    &set.session_id.0,
                    &set.config_id.0,
                    value.as_deref().unwrap_or_default(),
                );
                responder.respond_with_result(options.map(SetSessionConfigOptionResponse::new))
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: PromptRequest, responder, connection| {
                let session = request.session_id.to_string();
                let cancels = match prompt.sessions.cancels(&session) {
                    Ok(cancels) => cancels,
                    Err(error) => return responder.respond_with_error(error),
                };
                let turn = Turn {
                    shared: prompt.clone(),
                    connection: connection.clone(),
                    session,
                    prompt: request.prompt,
                    cancels,
                };
                connection.spawn(async move {
                    responder.respond_with_result(turn.run().await.map(PromptResponse::new))
                })
            },
            on_receive_request!(),
        )
        .on_receive_notification(
            async move |request: CancelNotification, _| {
                cancel.sessions.cancel(&request.session_id.0);
                Ok(())
            },
            on_receive_notification!(),
        )
        .on_receive_request(
            async move |message: UntypedMessage, responder, _| {
                responder.respond_with_result(other.old_method(&message))
            },
            on_receive_request!(),
        )
        .connect_to(Lines::new(outgoing, incoming))
        .await
}
