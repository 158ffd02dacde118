//! What is said before the first prompt: who we are, which session, and its settings.

use std::sync::Arc;

use sandbox_agent_persist::SessionRecord;
use serde_json::{Map, Value, json};

use super::control::AUTHENTICATE;
use super::core::SessionCore;
use super::dispatch;
use super::memo::Memo;
use super::offers::{LOAD, Offers, RESUME, not_offered};
use super::outcome::ResumeOutcome;
use super::request::{Setup, Wish};
use super::settings::{self, NotRestored, Settings};
use crate::acp::{Link, Outbound, read_answer};
use crate::acp_types::{AuthMethod, Implementation, InitializeRequest, ProtocolVersion};
use crate::error::{Delivery, Error, ErrorKind, Result};

/// A session as it was opened on a new process.
pub(super) struct Shaken {
    pub(super) agent_session_id: String,
    pub(super) outcome: ResumeOutcome,
    pub(super) not_restored: Vec<NotRestored>,
}

impl SessionCore {
    /// Opens the session on a process that was just started, by the best rung that the agent offers;
    /// `None` when another SDK has opened it on another one meanwhile.
    pub(super) async fn shake_hands(&self, link: &Arc<Link>, wish: &Wish) -> Result<Option<Shaken>> {
        let record = self.record();
        let offers = self.initialize(link).await?;
        self.log_in(link, &offers).await?;
        let opened = self.take_up(link, &record, &offers).await;
        let (agent_session_id, outcome, answer) = opened.map_err(|error| wants_login(error, &offers))?;
        let taken_up = matches!(outcome, ResumeOutcome::Resumed | ResumeOutcome::Loaded);
        let mut settings = Settings::opened(&answer);
        if taken_up {
            settings = settings.or(&Settings::recorded(&record));
        }
        let not_restored = self.bring_back(link, &agent_session_id, &mut settings, &record, wish).await?;
        if self.is_overtaken(link).await? {
            return Ok(None);
        }
        let untold = outcome == ResumeOutcome::Transcript;
        self.keep(link, &agent_session_id, &settings, untold, Some(offers)).await?;
        Ok(Some(Shaken { agent_session_id, outcome, not_restored }))
    }

    /// Says who we are and what we handle; gives what the agent says of itself.
    async fn initialize(&self, link: &Arc<Link>) -> Result<Offers> {
        let client = Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let initialize = InitializeRequest::new(ProtocolVersion::V1)
            .client_capabilities(self.conduct().declared())
            .client_info(client);
        let answer = self.call(link, "initialize", initialize).await?;
        Ok(Offers::of_answer(read_answer(&answer.payload)?))
    }

    /// By the method that whoever opens the session chose, if any.
    async fn log_in(&self, link: &Arc<Link>, offers: &Offers) -> Result<()> {
        let Some(authentication) = self.conduct().authentication else { return Ok(()) };
        let methods = offers.auth_methods();
        let Some(chosen) = authentication.chosen(&methods) else { return Ok(()) };
        match methods.iter().find(|method| *method.id().0 == *chosen) {
            None => {
                let offered: Vec<_> = methods.iter().map(|method| method.id().to_string()).collect();
                let message =
                    format!("the agent offers no authentication method {chosen:?}; it offers {offered:?}");
                return Err(Error::invalid(message).with_offered(offered));
            }
            Some(AuthMethod::Terminal(_)) => {
                let message = format!(
                    "the authentication method {chosen:?} needs a person at the agent's own terminal"
                );
                return Err(Error::invalid(message));
            }
            Some(_) => {}
        }
        let answer = self.call(link, AUTHENTICATE, json!({ "methodId": chosen })).await?;
        read_answer::<Value>(&answer.payload).map(drop)
    }

    /// The agent's id of the session, how the agent came to know it, and what it says of it.
    async fn take_up(
        &self,
        link: &Arc<Link>,
        record: &SessionRecord,
        offers: &Offers,
    ) -> Result<(String, ResumeOutcome, Value)> {
        let setup = Setup::read(record.session_init.as_ref());
        let known = &record.agent_session_id;
        let memo = Memo::read(record);
        if memo.adopted {
            return self.take_over_theirs(link, known, &setup, offers).await;
        }
        if !known.is_empty() {
            for (rung, outcome) in offers.rungs() {
                match self.ask_for(link, rung, known, &setup).await {
                    Ok(answer) => return Ok((known.clone(), outcome, answer)),
                    Err(error) if matches!(error.kind(), ErrorKind::Agent { .. }) => {
                        tracing::warn!(session = %self.id, %error, rung, "the agent could not take the session up");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let answer = self.call(link, "session/new", open_params(&setup)).await?;
        let answer: Value = read_answer(&answer.payload)?;
        let id = answer["sessionId"].as_str();
        let id = id.ok_or_else(|| Error::protocol("the agent opened a session without an id"))?.to_owned();
        let has_past = !known.is_empty() || memo.transcript;
        let outcome = if has_past { ResumeOutcome::Transcript } else { ResumeOutcome::Fresh };
        Ok((id, outcome, answer))
    }

    /// Takes up a session that the agent has and the record does not. What is told of it on loading is new
    /// here, and stored.
    async fn take_over_theirs(
        &self,
        link: &Arc<Link>,
        known: &str,
        setup: &Setup,
        offers: &Offers,
    ) -> Result<(String, ResumeOutcome, Value)> {
        let mut params = open_params(setup);
        params.insert("sessionId".into(), json!(known));
        let rungs = [(LOAD, ResumeOutcome::Loaded), (RESUME, ResumeOutcome::Resumed)];
        let rung = rungs.into_iter().find(|(rung, _)| offers.has(rung));
        let (rung, outcome) = rung.ok_or_else(|| not_offered(LOAD))?;
        let answer = self.call(link, rung, params).await?;
        Ok((known.to_owned(), outcome, read_answer(&answer.payload)?))
    }

    async fn ask_for(&self, link: &Arc<Link>, rung: &str, known: &str, setup: &Setup) -> Result<Value> {
        let mut params = open_params(setup);
        params.insert("sessionId".into(), json!(known));
        let outbound = Outbound::request(rung, params)?;
        if rung == LOAD {
            let rpc_id = outbound.rpc_id.as_deref().unwrap_or_default();
            self.replay.begin(&link.server_id, rpc_id, known);
        }
        let answer = self.ask(link, rung, &outbound).await;
        dispatch::end_replay(self, link);
        read_answer(&answer?.payload)
    }

    /// Brings the settings to what this call asks for, and for the rest to what they were.
    pub(super) async fn bring_back(
        &self,
        link: &Arc<Link>,
        agent_session_id: &str,
        settings: &mut Settings,
        record: &SessionRecord,
        Wish { mode, model, options, .. }: &Wish,
    ) -> Result<Vec<NotRestored>> {
        let ways = [("mode", mode), ("model", model)];
        let ways = ways.into_iter().filter_map(|(name, wish)| Some((name.to_owned(), json!(wish.as_ref()?))));
        let options = options.iter().flatten().map(|(name, wanted)| (name.clone(), wanted.clone()));
        let mut insisted = Vec::new();
        for (name, wanted) in ways.chain(options) {
            if let Err(offered) = self.bring(link, agent_session_id, settings, &name, &wanted).await? {
                return Err(settings.not_offered(&name, &wanted, offered));
            }
            // By now the agent has shown all of its options, so that the name is the one that is remembered.
            insisted.push(settings.key(&name));
        }
        let remembered = Settings::recorded(record).chosen();
        let remembered = remembered.into_iter().filter(|(name, _)| !insisted.contains(name));
        let mut not_restored = Vec::new();
        for (name, wanted) in remembered {
            let brought = self.bring(link, agent_session_id, settings, &name, &wanted).await;
            let offered = match brought {
                Ok(Ok(())) => continue,
                Ok(Err(offered)) => offered,
                Err(error) if matches!(error.kind(), ErrorKind::Agent { .. }) => Vec::new(),
                Err(error) => return Err(error),
            };
            settings.assume(&name, &wanted);
            not_restored.push(NotRestored { setting: name, wanted: settings::shown(&wanted), offered });
        }
        Ok(not_restored)
    }

    /// Whether the record names another process by now.
    pub(super) async fn is_overtaken(&self, link: &Link) -> Result<bool> {
        let driver = self.store.driver();
        let stored = self.store.call(|| driver.get_session(&self.id)).await?;
        let overtaken = stored.is_some_and(|stored| stored.last_connection_id != link.server_id);
        if overtaken {
            self.refresh_record().await?;
        }
        Ok(overtaken)
    }

    /// From now on the record says that the session is open on this process, and how.
    /// An agent that is `untold` of the past is owed a transcript.
    pub(super) async fn keep(
        &self,
        link: &Link,
        agent_session_id: &str,
        settings: &Settings,
        untold: bool,
        offers: Option<Offers>,
    ) -> Result<()> {
        self.change_record(|record| {
            record.agent_session_id = agent_session_id.to_owned();
            record.last_connection_id.clone_from(&link.server_id);
            settings.record(record);
            Memo::change(record, |memo| {
                memo.opening = None;
                memo.adopted = false;
                if let Some(offers) = &offers {
                    memo.offers = offers.to_record();
                }
                memo.transcript |= untold;
            });
        })
        .await
    }

    /// Whether the next prompt has to carry the history: kept in the record until one did.
    pub(super) async fn owe_transcript(&self, owed: bool) -> Result<()> {
        self.change_record(|record| Memo::change(record, |memo| memo.transcript = owed)).await
    }

    /// Sets one setting, unless it is so already; an inner error is what the agent offers instead.
    async fn bring(
        &self,
        link: &Arc<Link>,
        agent_session_id: &str,
        settings: &mut Settings,
        name: &str,
        wanted: &Value,
    ) -> Result<Result<(), Vec<String>>> {
        let key = settings.key(name);
        if settings.chosen().iter().any(|(setting, value)| *setting == key && value == wanted) {
            return Ok(Ok(()));
        }
        let change = match settings.change(name, wanted) {
            Ok(change) => change,
            Err(offered) => return Ok(Err(offered)),
        };
        let params = settings::for_session(&change, agent_session_id);
        let answer = self.call(link, change.method, params.clone()).await?;
        let answer: Value = read_answer(&answer.payload)?;
        settings.apply(change.method, &params, &answer);
        Ok(Ok(()))
    }
}

/// Says what can be done about it.
fn wants_login(error: Error, offers: &Offers) -> Error {
    let offered: Vec<_> = offers.auth_methods().iter().map(|method| method.id().to_string()).collect();
    // Agents without any may mean something else by it.
    if *error.kind() != (ErrorKind::Agent { code: -32000 }) || offered.is_empty() {
        return error;
    }
    let message = format!("the agent wants a login first; choose an authentication method of {offered:?}");
    Error::new(error.kind().clone(), message)
        .with_offered(offered)
        .with_delivery(Delivery::Executed)
        .with_source(error)
}

pub(super) fn open_params(setup: &Setup) -> Map<String, Value> {
    let mut params = Map::new();
    params.insert("cwd".into(), json!(setup.cwd.as_deref().unwrap_or("/")));
    params.insert("mcpServers".into(), json!(setup.mcp_servers.as_deref().unwrap_or_default()));
    if let Some(meta) = &setup.meta {
        params.insert("_meta".into(), json!(meta));
    }
    params
}
