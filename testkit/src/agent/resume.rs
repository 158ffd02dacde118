//! Sessions that outlive their process.

use agent_client_protocol::v1::ConnectionTo;
use agent_client_protocol::{Client, Error, JsonRpcResponse, Responder, V1};
use agent_client_protocol_schema::v1::{
    AvailableCommand, AvailableCommandsUpdate, ConfigOptionUpdate, ContentBlock, CurrentModeUpdate,
    LoadSessionResponse, ResumeSessionResponse, SessionId, SessionNotification, SessionUpdate,
};
use serde_json::json;

use super::history::{self, Said};
use super::session::Settings;
use super::turn::BATCH;
use super::update::{update, update_json};
use super::{Shared, failed};

impl Shared {
    /// Adds lines to a session's past, if the agent keeps one.
    pub(super) fn remember(&self, session: &str, lines: &[u8]) -> Result<(), Error> {
        match &self.archive {
            Some(archive) => archive.append(session, lines).map_err(failed),
            None => Ok(()),
        }
    }

    pub(super) fn remember_prompt(&self, session: &str, prompt: &[ContentBlock]) -> Result<(), Error> {
        self.sessions.add_prompt(session)?;
        match &self.archive {
            Some(_) => self.remember(session, &history::prompt_line(session, prompt)),
            None => Ok(()),
        }
    }

    /// Tells the client lines of a session. They are remembered first, so that the past is
    /// never behind what was said.
    pub(super) async fn tell(&self, session: &str, lines: Vec<u8>) -> Result<(), Error> {
        self.remember(session, &lines)?;
        self.write(lines).await
    }

    pub(super) async fn tell_mode(&self, session: &str) -> Result<(), Error> {
        let mode = self.sessions.settings(session)?.mode;
        self.tell_setting(session, SessionUpdate::CurrentModeUpdate(CurrentModeUpdate::new(mode))).await
    }

    pub(super) async fn tell_options(&self, session: &str) -> Result<(), Error> {
        let options = self.sessions.settings(session)?.config_options();
        self.tell_setting(session, SessionUpdate::ConfigOptionUpdate(ConfigOptionUpdate::new(options))).await
    }

    /// An agent whose sessions end with it leaves it at the answer.
    async fn tell_setting(&self, session: &str, what: SessionUpdate) -> Result<(), Error> {
        match &self.archive {
            Some(_) => self.tell(session, update(session, &what)).await,
            None => Ok(()),
        }
    }

    /// Opens a session with its past told anew.
    pub(super) async fn load(&self, session: &str) -> Result<LoadSessionResponse, Error> {
        let past = self.past(session, "session/load", self.options.load)?;
        let settings = self.reopen(session, &past);
        let past = if self.options.merge_replay { history::merge(past) } else { past };
        let mut lines = Vec::new();
        for told in history::replay(past) {
            lines.extend(update_json(session, &told));
            if lines.len() >= BATCH {
                self.write(std::mem::take(&mut lines)).await?;
                tokio::task::yield_now().await;
            }
        }
        self.write(lines).await?;
        Ok(LoadSessionResponse::new().modes(settings.modes()).config_options(settings.config_options()))
    }

    /// Opens a session without a word about its past.
    pub(super) fn resume(&self, session: &str) -> Result<ResumeSessionResponse, Error> {
        let past = self.past(session, "session/resume", self.options.resume)?;
        let settings = self.reopen(session, &past);
        Ok(ResumeSessionResponse::new().modes(settings.modes()).config_options(settings.config_options()))
    }

    fn past(&self, session: &str, method: &str, is_offered: bool) -> Result<Vec<Said>, Error> {
        self.check_login()?;
        let Some(archive) = self.archive.as_ref().filter(|_| is_offered) else {
            return Err(Error::method_not_found().data(json!(method)));
        };
        let lines = archive.read(session).map_err(failed)?;
        let lines = lines.ok_or_else(|| super::session::unknown(session))?;
        history::read(&lines).map_err(failed)
    }

    fn reopen(&self, session: &str, past: &[Said]) -> Settings {
        let prompts = past.iter().filter(|said| matches!(said, Said::Prompt(_))).count();
        self.sessions.reopen(session, prompts)
    }
}

/// Answers a request to open a session again; then tells the session's commands.
pub(super) fn answer<R: JsonRpcResponse>(
    opened: Result<R, Error>,
    session: SessionId,
    responder: Responder<R, V1>,
    connection: &ConnectionTo<Client>,
) -> Result<(), Error> {
    let is_open = opened.is_ok();
    responder.respond_with_result(opened)?;
    if !is_open {
        return Ok(());
    }
    let commands = vec![AvailableCommand::new("history", "Says how many prompts the agent knows of")];
    let update = SessionUpdate::AvailableCommandsUpdate(AvailableCommandsUpdate::new(commands));
    connection.send_notification(SessionNotification::new(session, update))
}
