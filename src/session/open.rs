//! Opens a session on an agent process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::core::{Live, SessionCore};
use super::dispatch;
use super::outcome::ResumeOutcome;
use super::request::Setup;
use crate::acp::{Link, read_answer};
use crate::acp_types::{ClientCapabilities, Implementation, InitializeRequest, ProtocolVersion};
use crate::error::{Error, ErrorKind, Result};

impl SessionCore {
    /// The agent process in use; opens the session on a new one where there is none.
    pub(crate) async fn ensure_live(self: &Arc<Self>) -> Result<(Live, ResumeOutcome)> {
        let mut live = self.live.lock().await;
        if let Some(live) = live.as_ref().filter(|live| !live.link.is_dead()) {
            return Ok((live.clone(), ResumeOutcome::Open));
        }
        if self.is_ended() {
            return Err(self.end_error());
        }
        if self.record().destroyed_at.is_some() {
            return Err(Error::new(
                ErrorKind::SessionDestroyed,
                format!("session {:?} was destroyed; resume it to open it again", self.id),
            ));
        }
        *live = None;
        // Asked before the handshake is recorded.
        let has_past = self.tail.last() > 0;
        let opened = {
            let _opening = Opening::begin(self);
            self.open().await?
        };
        *live = Some(opened.clone());
        self.transcript_due.store(has_past, Ordering::Release);
        let outcome = if has_past { ResumeOutcome::Transcript } else { ResumeOutcome::Fresh };
        Ok((opened, outcome))
    }

    /// Starts a process and makes a session on it. The process is ended when that fails.
    async fn open(self: &Arc<Self>) -> Result<Live> {
        let record = self.record();
        let receiver = self.clone();
        let link = Link::start(
            self.http.clone(),
            &record.agent,
            self.limits.clone(),
            self.runtime.clone(),
            self.stop.child_token(),
            move |link, inbound| dispatch::receive(&receiver, link, inbound),
        );
        self.set_opened_on(&link.server_id);
        let mut abandon = Abandon(Some((self.clone(), link.clone())));
        let opened = self.shake_hands(&link, &Setup::read(record.session_init.as_ref())).await;
        if opened.is_err() && self.is_ended() {
            // The runtime may end with the SDK: nothing is left to a task.
            abandon.0 = None;
            link.bury(&Error::closed());
            link.delete().await;
        }
        let agent_session_id = opened?;
        abandon.0 = None;
        self.set_link(Some(link.clone()));
        self.state.change(|facts| facts.live = true);
        self.follow(&link);
        Ok(Live { link, agent_session_id })
    }

    async fn shake_hands(&self, link: &Arc<Link>, setup: &Setup) -> Result<String> {
        let client = Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        // What is declared is what is handled: neither files nor terminals.
        let initialize = InitializeRequest::new(ProtocolVersion::V1)
            .client_capabilities(ClientCapabilities::new())
            .client_info(client);
        let answer = self.call(link, "initialize", initialize).await?;
        read_answer::<Value>(&answer.payload)?;

        let mut params = Map::new();
        params.insert("cwd".into(), json!(setup.cwd.as_deref().unwrap_or("/")));
        params.insert("mcpServers".into(), json!(setup.mcp_servers.as_deref().unwrap_or_default()));
        if let Some(meta) = &setup.meta {
            params.insert("_meta".into(), json!(meta));
        }
        let answer = self.call(link, "session/new", params).await?;
        let opened: Value = read_answer(&answer.payload)?;
        let agent_session_id = opened["sessionId"]
            .as_str()
            .ok_or_else(|| Error::protocol("the agent opened a session without an id"))?
            .to_owned();
        if let Some(mode) = &setup.mode {
            self.choose(link, &agent_session_id, &opened, &MODE, mode).await?;
        }
        if let Some(model) = &setup.model {
            self.choose(link, &agent_session_id, &opened, &MODEL, model).await?;
        }
        let id = agent_session_id.clone();
        self.change_record(|record| {
            record.agent_session_id = id;
            record.last_connection_id = link.server_id.clone();
            record.modes = opened.get("modes").cloned();
            record.config_options = opened.get("configOptions").cloned();
        })
        .await?;
        Ok(agent_session_id)
    }

    /// Sets a mode or model by whichever of the protocol's two ways the agent offers.
    async fn choose(
        &self,
        link: &Arc<Link>,
        session: &str,
        opened: &Value,
        what: &Choice,
        wanted: &str,
    ) -> Result<()> {
        let listed = ids(&opened[what.state][what.available], what.id);
        if listed.iter().any(|id| id == wanted) {
            let params = json!({ "sessionId": session, what.param: wanted });
            let answer = self.call(link, what.method, params).await?;
            return read_answer::<Value>(&answer.payload).map(drop);
        }
        let options = opened["configOptions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let option = options.iter().find(|option| option["category"] == what.category);
        let values = option.map(|option| values(&option["options"])).unwrap_or_default();
        if let (Some(option), true) = (option, values.iter().any(|value| value == wanted)) {
            let params = json!({ "sessionId": session, "configId": option["id"], "value": wanted });
            let answer = self.call(link, "session/set_config_option", params).await?;
            return read_answer::<Value>(&answer.payload).map(drop);
        }
        let offered: Vec<_> = listed.into_iter().chain(values).collect();
        Err(Error::invalid(format!(
            "the agent offers no {} {wanted:?}; it offers {offered:?}",
            what.category
        )))
    }

    /// Shows in the state whether the process can be heard.
    fn follow(self: &Arc<Self>, link: &Arc<Link>) {
        let (core, link) = (self.clone(), link.clone());
        self.runtime.spawn(async move {
            let mut connected = link.connection();
            loop {
                let now = *connected.borrow_and_update();
                core.state.change(|facts| facts.connected = now);
                let changed = link.stop_token().run_until_cancelled(connected.changed()).await;
                if !matches!(changed, Some(Ok(()))) {
                    break;
                }
            }
            core.state.change(|facts| (facts.live, facts.connected) = (false, false));
        });
    }
}

/// Shown in the state for as long as it lives, also when the call is dropped.
struct Opening<'a>(&'a SessionCore);

impl<'a> Opening<'a> {
    fn begin(core: &'a SessionCore) -> Self {
        core.state.change(|facts| facts.opening = true);
        Self(core)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.state.change(|facts| facts.opening = false);
    }
}

struct Choice {
    category: &'static str,
    state: &'static str,
    available: &'static str,
    id: &'static str,
    method: &'static str,
    param: &'static str,
}

const MODE: Choice = Choice {
    category: "mode",
    state: "modes",
    available: "availableModes",
    id: "id",
    method: "session/set_mode",
    param: "modeId",
};

const MODEL: Choice = Choice {
    category: "model",
    state: "models",
    available: "availableModels",
    id: "modelId",
    method: "session/set_model",
    param: "modelId",
};

fn ids(list: &Value, key: &str) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item[key].as_str().map(str::to_owned)).collect()
}

/// The values of a select option, which may stand in groups.
fn values(options: &Value) -> Vec<String> {
    let items = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let nested = items.iter().flat_map(|item| ids(&item["options"], "value"));
    ids(options, "value").into_iter().chain(nested).collect()
}

/// Ends a process on which no session came about, also when the call that opened it was dropped.
struct Abandon(Option<(Arc<SessionCore>, Arc<Link>)>);

impl Drop for Abandon {
    fn drop(&mut self) {
        if let Some((core, link)) = self.0.take() {
            link.bury(&Error::closed());
            core.runtime.spawn(async move { link.delete().await });
        }
    }
}
