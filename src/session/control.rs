//! What a session's users choose: mode, model, options; and what its agent says of itself.

use std::sync::Arc;

use sandbox_agent_persist::{RawValue, SessionRecord};
use serde_json::{Value, json};

use super::core::SessionCore;
use super::handle::Session;
use super::memo::Memo;
use super::offers::Offers;
use super::request::Wish;
use super::setting::Setting;
use super::settings::{self, Settings};
use crate::acp::read_answer;
use crate::acp_types::{AgentCapabilities, AuthMethod};
use crate::error::{Delivery, Result};

impl Session {
    /// The agent's modes and the one that is chosen, as the record has them; `None` of an agent without modes.
    ///
    /// Returns at once. [`refresh`](Self::refresh) reads anew what another SDK may have changed.
    pub fn modes(&self) -> Option<Setting> {
        Settings::recorded(&self.record()).mode()
    }

    /// The agent's models and the one that is chosen; `None` of an agent that has none to choose. Returns at once.
    pub fn models(&self) -> Option<Setting> {
        Settings::recorded(&self.record()).model()
    }

    /// The agent's options and what is chosen, as it lists them: with many agents, mode and model are among
    /// them. Returns at once.
    pub fn config_options(&self) -> Vec<Setting> {
        Settings::recorded(&self.record()).all()
    }

    /// Chooses a mode, whichever way the agent has modes: see [`set_config_option`](Self::set_config_option).
    pub async fn set_mode(&self, mode: impl Into<String>) -> Result<()> {
        self.core.choose("mode", Value::String(mode.into())).await
    }

    /// Chooses a model, whichever way the agent has models: see [`set_config_option`](Self::set_config_option).
    pub async fn set_model(&self, model: impl Into<String>) -> Result<()> {
        self.core.choose("model", Value::String(model.into())).await
    }

    /// Chooses how much the agent thinks, where it has an option of the category `thought_level`: see
    /// [`set_config_option`](Self::set_config_option).
    pub async fn set_thought_level(&self, level: impl Into<String>) -> Result<()> {
        self.core.choose("thought_level", Value::String(level.into())).await
    }

    /// Sets an option, by its id or by its category, to a text or to `true` or `false`.
    ///
    /// It is kept in the record, and put back whenever the session is resumed. What the agent doesn't
    /// offer is not sent: the error is [`InvalidInput`](crate::ErrorKind::InvalidInput), and
    /// [lists](crate::Error::offered) what it offers. An error of the store with the delivery
    /// [`Executed`](Delivery::Executed) means that the setting holds and could not be kept. Bounded as
    /// [`raw_send`](Self::raw_send), and by [`Limits::store`](crate::Limits::store) twice. A dropped call may have
    /// been sent.
    ///
    /// ```no_run
    /// # async fn example(session: sandbox_agent_sdk::Session) -> Result<(), sandbox_agent_sdk::Error> {
    /// session.set_config_option("thought_level", "high").await?;
    /// session.set_config_option("web_search", true).await?;
    /// # Ok(()) }
    /// ```
    pub async fn set_config_option(&self, id_or_category: &str, value: impl Into<Value>) -> Result<()> {
        self.core.choose(id_or_category, value.into()).await
    }

    /// Reads the record anew, with the settings in it: what another SDK or program has changed since.
    ///
    /// Bounded by [`Limits::store`](crate::Limits::store). Fails with
    /// [`SessionNotFound`](crate::ErrorKind::SessionNotFound) when the session was deleted.
    pub async fn refresh(&self) -> Result<SessionRecord> {
        self.core.refresh_record().await?;
        Ok(self.record())
    }

    /// What the agent says that it can do, as it said when its process was started; nothing before the first one.
    pub fn agent_capabilities(&self) -> AgentCapabilities {
        self.core.offers().capabilities()
    }

    /// The ways to log in that the agent offers, as it said when its process was started.
    pub fn auth_methods(&self) -> Vec<AuthMethod> {
        self.core.offers().auth_methods()
    }

    /// Logs the agent in by one of its methods, on the process that it has: for an agent whose login has
    /// ended. Before a session is opened that is done by [`Authentication`](super::Authentication).
    ///
    /// Not checked against what the agent offers. Bounded as [`raw_send`](Self::raw_send).
    pub async fn authenticate(&self, method_id: &str) -> Result<()> {
        let live = self.core.ensure_live(Wish::default()).await?.live;
        let answer = self.core.call(&live.link, AUTHENTICATE, json!({ "methodId": method_id })).await?;
        read_answer::<Value>(&answer.payload).map(drop)
    }
}

pub(super) const AUTHENTICATE: &str = "authenticate";

impl SessionCore {
    pub(super) fn offers(&self) -> Offers {
        Offers::recorded(Memo::read(&self.record()).offers)
    }

    /// Brings a setting to a value, where the agent offers that, and keeps it.
    async fn choose(self: &Arc<Self>, setting: &str, wanted: Value) -> Result<()> {
        let live = self.ensure_live(Wish::default()).await?.live;
        let known = Settings::recorded(&self.record());
        let change =
            known.change(setting, &wanted).map_err(|offered| known.not_offered(setting, &wanted, offered))?;
        let params = settings::for_session(&change, &live.agent_session_id);
        let answer = self.call(&live.link, change.method, params.clone()).await?;
        let result: Box<RawValue> = read_answer(&answer.payload)?;
        let kept = self.remember_change(change.method, &params, &result).await;
        kept.map_err(|error| error.with_delivery(Delivery::Executed))
    }

    /// Keeps a setting that a call of the user's changed.
    pub(super) async fn remember_change(
        &self,
        method: &str,
        params: &Value,
        result: &RawValue,
    ) -> Result<()> {
        if !settings::is_change(method) {
            return Ok(());
        }
        let answer: Value = serde_json::from_str(result.get()).unwrap_or_default();
        // In memory at once: it holds, whether it can be stored now or not.
        self.amend(|record| {
            let mut settings = Settings::recorded(record);
            settings.apply(method, params, &answer);
            settings.record(record);
        });
        self.store_record().await
    }
}
