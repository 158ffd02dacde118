//! The sessions of one agent process: their mode, their options, their prompts, their cancels.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_client_protocol::Error;
use agent_client_protocol_schema::v1::{
    NewSessionResponse, SessionConfigOption, SessionConfigOptionCategory, SessionConfigSelectOption,
    SessionMode, SessionModeState,
};
use serde_json::json;
use tokio::sync::watch;

const MODES: [&str; 2] = ["default", "plan"];
const MODEL_OPTION: &str = "model";
const MODELS: [&str; 2] = ["small", "large"];

/// What `session/set_*` changes.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) mode: String,
    pub(super) model: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { mode: MODES[0].to_owned(), model: MODELS[0].to_owned() }
    }
}

impl Settings {
    pub(super) fn modes(&self) -> SessionModeState {
        let modes = MODES.map(|mode| SessionMode::new(mode, mode));
        SessionModeState::new(self.mode.clone(), modes.to_vec())
    }

    pub(super) fn config_options(&self) -> Vec<SessionConfigOption> {
        let models = MODELS.map(|model| SessionConfigSelectOption::new(model, model));
        let model = SessionConfigOption::select(MODEL_OPTION, "Model", self.model.clone(), models.to_vec());
        vec![model.category(SessionConfigOptionCategory::Model)]
    }
}

#[derive(Default)]
struct Session {
    settings: Settings,
    prompts: usize,
    cancels: watch::Sender<u64>,
}

/// All sessions of one process.
pub(super) struct Sessions {
    seed: u64,
    open: Mutex<HashMap<String, Session>>,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { seed: RandomState::new().hash_one(std::process::id()), open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, id: &str, act: impl FnOnce(&mut Session) -> T) -> Result<T, Error> {
        self.open().get_mut(id).map(act).ok_or_else(|| unknown(id))
    }

    pub(super) fn create(&self) -> NewSessionResponse {
        let mut open = self.open();
        let id = format!("scripted-{:016x}-{}", self.seed, open.len() + 1);
        let session = Session::default();
        let response = NewSessionResponse::new(id.clone())
            .modes(session.settings.modes())
            .config_options(session.settings.config_options());
        open.insert(id, session);
        response
    }

    /// Opens a session with this many prompts behind it. Its settings are the defaults, as
    /// those of real agents are; its turns, if any run here, go on.
    pub(super) fn reopen(&self, id: &str, prompts: usize) -> Settings {
        let mut open = self.open();
        let session = open.entry(id.to_owned()).or_default();
        session.settings = Settings::default();
        session.prompts = prompts;
        session.settings.clone()
    }

    pub(super) fn add_prompt(&self, id: &str) -> Result<(), Error> {
        self.with(id, |session| session.prompts += 1)
    }

    /// How many prompts the session has had.
    pub(super) fn prompts(&self, id: &str) -> Result<usize, Error> {
        self.with(id, |session| session.prompts)
    }

    pub(super) fn settings(&self, id: &str) -> Result<Settings, Error> {
        self.with(id, |session| session.settings.clone())
    }

    /// Sees every cancel from now on.
    pub(super) fn cancels(&self, id: &str) -> Result<watch::Receiver<u64>, Error> {
        self.with(id, |session| session.cancels.subscribe())
    }

    /// Cancels the turns that run; an unknown session has none.
    pub(super) fn cancel(&self, id: &str) {
        let _ = self.with(id, |session| {
            session.cancels.send_modify(|cancels| *cancels += 1);
        });
    }

    pub(super) fn set_mode(&self, id: &str, mode: &str) -> Result<(), Error> {
        one_of(&MODES, mode)?;
        self.with(id, |session| session.settings.mode = mode.to_owned())
    }

    pub(super) fn set_model(&self, id: &str, model: &str) -> Result<(), Error> {
        one_of(&MODELS, model)?;
        self.with(id, |session| session.settings.model = model.to_owned())
    }

    pub(super) fn set_option(
        &self,
        id: &str,
        option: &str,
        value: &str,
    ) -> Result<Vec<SessionConfigOption>, Error> {
        one_of(&[MODEL_OPTION], option)?;
        self.set_model(id, value)?;
        Ok(self.settings(id)?.config_options())
    }
}

pub(super) fn unknown(id: &str) -> Error {
    Error::invalid_params().data(json!(format!("no session {id:?}")))
}

fn one_of(known: &[&str], value: &str) -> Result<(), Error> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(Error::invalid_params().data(json!(format!("{value:?} is none of {known:?}"))))
}
