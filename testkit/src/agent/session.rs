//! The sessions of one agent process: their mode, their options, their cancels.

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

struct Session {
    settings: Settings,
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
        self.open()
            .get_mut(id)
            .map(act)
            .ok_or_else(|| Error::invalid_params().data(json!(format!("no session {id:?}"))))
    }

    pub(super) fn create(&self) -> NewSessionResponse {
        let mut open = self.open();
        let id = format!("scripted-{:016x}-{}", self.seed, open.len() + 1);
        let settings = Settings { mode: MODES[0].to_owned(), model: MODELS[0].to_owned() };
        let response = NewSessionResponse::new(id.clone())
            .modes(SessionModeState::new(
                settings.mode.clone(),
                MODES.map(|mode| SessionMode::new(mode, mode)).to_vec(),
            ))
            .config_options(config_options(&settings));
        let cancels = watch::Sender::new(0);
        open.insert(id, Session { settings, cancels });
        response
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
        Ok(config_options(&self.settings(id)?))
    }
}

fn one_of(known: &[&str], value: &str) -> Result<(), Error> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(Error::invalid_params().data(json!(format!("{value:?} is none of {known:?}"))))
}

fn config_options(settings: &Settings) -> Vec<SessionConfigOption> {
    let models = MODELS.map(|model| SessionConfigSelectOption::new(model, model));
    let model = SessionConfigOption::select(MODEL_OPTION, "Model", settings.model.clone(), models.to_vec());
    vec![model.category(SessionConfigOptionCategory::Model)]
}
