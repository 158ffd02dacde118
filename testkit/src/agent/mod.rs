//! The scripted ACP agent: the protocol on the official crate, the turns from scripts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::{
    Agent, Error, Lines, UntypedMessage, on_receive_notification, on_receive_request,
};
use agent_client_protocol_schema::v1::{
    AgentCapabilities, AuthMethod, AuthMethodAgent, AuthenticateRequest, AuthenticateResponse,
    CancelNotification, Implementation, InitializeRequest, InitializeResponse, LoadSessionRequest,
    NewSessionRequest, NewSessionResponse, PromptCapabilities, PromptRequest, PromptResponse,
    ResumeSessionRequest, SessionResumeCapabilities, SetSessionConfigOptionRequest,
    SetSessionConfigOptionResponse, SetSessionModeRequest, SetSessionModeResponse,
};
use futures::Stream;
use serde_json::json;

mod archive;
mod env;
mod history;
mod host;
mod manage;
mod options;
mod resume;
mod session;
pub(crate) mod stdio;
mod turn;
mod update;

pub(crate) use archive::Archive;
pub(crate) use host::Host;
pub use options::{AgentOptions, FailInit};
use session::Sessions;
use turn::Turn;

/// What the parts of one agent process share.
pub(crate) struct Shared {
    host: Arc<dyn Host>,
    options: AgentOptions,
    /// None for an agent whose sessions end with it.
    archive: Option<Arc<Archive>>,
    sessions: Sessions,
    tools: AtomicU64,
    logged_in: AtomicBool,
}

impl Shared {
    async fn write(&self, lines: Vec<u8>) -> Result<(), Error> {
        self.host.write(lines).await.map_err(failed)
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
        let resume = self.options.resume.then(SessionResumeCapabilities::new);
        let capabilities = AgentCapabilities::new()
            .prompt_capabilities(prompt)
            .load_session(self.options.load)
            .session_capabilities(manage::capabilities(self.options.manage).resume(resume));
        let methods = self
            .options
            .login
            .then(|| ["browser", "key"].map(|id| AuthMethod::Agent(AuthMethodAgent::new(id, id))).to_vec());
        Ok(InitializeResponse::new(ProtocolVersion::V1)
            .agent_capabilities(capabilities)
            .auth_methods(methods.unwrap_or_default())
            .agent_info(Implementation::new("scripted-acp-agent", env!("CARGO_PKG_VERSION"))))
    }

    fn authenticate(&self, method: &str) -> Result<AuthenticateResponse, Error> {
        if self.options.login && method != "key" {
            return Err(Error::invalid_params().data(json!(format!("nobody is at the {method}"))));
        }
        self.logged_in.store(true, Ordering::Relaxed);
        Ok(AuthenticateResponse::new())
    }

    fn check_login(&self) -> Result<(), Error> {
        let needed = self.options.login && !self.logged_in.load(Ordering::Relaxed);
        if needed { Err(Error::auth_required()) } else { Ok(()) }
    }

    fn create(&self) -> Result<NewSessionResponse, Error> {
        self.check_login()?;
        let response = self.sessions.create();
        self.remember(&response.session_id.0, &[])?;
        Ok(response)
    }

    async fn set_mode(&self, set: &SetSessionModeRequest) -> Result<SetSessionModeResponse, Error> {
        self.sessions.set_mode(&set.session_id.0, &set.mode_id.0)?;
        self.tell_mode(&set.session_id.0).await?;
        Ok(SetSessionModeResponse::new())
    }

    async fn set_option(
        &self,
        set: &SetSessionConfigOptionRequest,
    ) -> Result<SetSessionConfigOptionResponse, Error> {
        let options = self.sessions.set_option(&set.session_id.0, &set.config_id.0, &set.value)?;
        self.tell_options(&set.session_id.0).await?;
        Ok(SetSessionConfigOptionResponse::new(options))
    }

    /// The methods that the protocol's current version has no types for.
    async fn old_method(&self, message: &UntypedMessage) -> Result<serde_json::Value, Error> {
        let text = |name: &str| message.params()[name].as_str().unwrap_or_default();
        match message.method() {
            "session/set_model" => {
                self.sessions.set_model(text("sessionId"), text("modelId"))?;
                self.tell_options(text("sessionId")).await?;
                Ok(json!({}))
            }
            method if self.options.manage => self.manage(method, text("sessionId")),
            method => Err(Error::method_not_found().data(json!(method))),
        }
    }
}

fn failed(error: io::Error) -> Error {
    Error::internal_error().data(json!(error.to_string()))
}

/// Serves one client until its lines end. What the crate sends (responses, requests) and what
/// a script writes meet in `host`; a script's lines go out before it asks or answers, so each
/// session's order is the order of its script.
pub(crate) async fn serve(
    host: Arc<dyn Host>,
    options: AgentOptions,
    archive: Arc<Archive>,
    incoming: impl Stream<Item = io::Result<String>> + Send + 'static,
) -> Result<(), Error> {
    let outgoing = futures::sink::unfold(host.clone(), async |host, line: String| {
        host.write(format!("{line}\n").into_bytes()).await?;
        Ok::<_, io::Error>(host)
    });
    let archive = (options.load || options.resume).then_some(archive);
    let sessions = Sessions::new(options.thought);
    let (tools, logged_in) = (AtomicU64::new(0), AtomicBool::new(false));
    let shared = Arc::new(Shared { host, options, archive, sessions, tools, logged_in });
    let [init, login, new, load, resume, mode, option, prompt, cancel, other] =
        [(); 10].map(|()| shared.clone());
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
            async move |request: AuthenticateRequest, responder, _| {
                responder.respond_with_result(login.authenticate(&request.method_id.0))
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |_: NewSessionRequest, responder, _| responder.respond_with_result(new.create()),
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: LoadSessionRequest, responder, connection| {
                let opened = load.load(&request.session_id.0).await;
                resume::answer(opened, request.session_id, responder, &connection)
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: ResumeSessionRequest, responder, connection| {
                let opened = resume.resume(&request.session_id.0);
                resume::answer(opened, request.session_id, responder, &connection)
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |set: SetSessionModeRequest, responder, _| {
                responder.respond_with_result(mode.set_mode(&set).await)
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |set: SetSessionConfigOptionRequest, responder, _| {
                responder.respond_with_result(option.set_option(&set).await)
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
                responder.respond_with_result(other.old_method(&message).await)
            },
            on_receive_request!(),
        )
        .connect_to(Lines::new(outgoing, incoming))
        .await
}
