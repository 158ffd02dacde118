//! The sessions of one agent process: their mode, their options, their prompts, their cancels.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_client_protocol::Error;
use agent_client_protocol_schema::v1::{
    NewSessionResponse, SessionConfigOption, SessionConfigOptionCategory, SessionConfigOptionValue,
    SessionConfigSelectOption, SessionMode, SessionModeState,
};
use serde_json::json;
use tokio::sync::watch;

const MODES: [&str; 2] = ["default", "plan"];
const MODEL_OPTION: &str = "model";
const MODELS: [&str; 2] = ["small", "large"];
const EFFORT_OPTION: &str = "effort";
const EFFORTS: [&str; 2] = ["low", "high"];
const FAST_OPTION: &str = "fast";

/// What `session/set_*` changes.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) mode: String,
    pub(super) model: String,
    /// Of an agent that has such options.
    pub(super) thought: Option<Thought>,
}

#[derive(Clone)]
pub(super) struct Thought {
    pub(super) effort: String,
    pub(super) fast: bool,
}

impl Settings {
    fn new(thought: bool) -> Self {
        let thought = thought.then(|| Thought { effort: EFFORTS[0].to_owned(), fast: false });
        Self { mode: MODES[0].to_owned(), model: MODELS[0].to_owned(), thought }
    }

    pub(super) fn modes(&self) -> SessionModeState {
        let modes = MODES.map(|mode| SessionMode::new(mode, mode));
        SessionModeState::new(self.mode.clone(), modes.to_vec())
    }

    pub(super) fn config_options(&self) -> Vec<SessionConfigOption> {
        let models = MODELS.map(|model| SessionConfigSelectOption::new(model, model));
        let model = SessionConfigOption::select(MODEL_OPTION, "Model", self.model.clone(), models.to_vec());
        let mut options = vec![model.category(SessionConfigOptionCategory::Model)];
        if let Some(Thought { effort, fast }) = &self.thought {
            let efforts = EFFORTS.map(|effort| SessionConfigSelectOption::new(effort, effort));
            let effort =
                SessionConfigOption::select(EFFORT_OPTION, "Effort", effort.clone(), efforts.to_vec());
            options.push(effort.category(SessionConfigOptionCategory::ThoughtLevel));
            options.push(SessionConfigOption::boolean(FAST_OPTION, "Fast", *fast));
        }
        options
    }
}

struct Session {
    settings: Settings,
    prompts: usize,
    cancels: watch::Sender<u64>,
}

impl Session {
    fn new(thought: bool) -> Self {
        Self { settings: Settings::new(thought), prompts: 0, cancels: watch::Sender::default() }
    }
}

/// All sessions of one process.
pub(super) struct Sessions {
    seed: u64,
    thought: bool,
    open: Mutex<HashMap<String, Session>>,
}

impl Sessions {
    pub(super) fn new(thought: bool) -> Self {
        Self { seed: RandomState::new().hash_one(std::process::id()), thought, open: Mutex::default() }
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
        let session = Session::new(self.thought);
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
        let session = open.entry(id.to_owned()).or_insert_with(|| Session::new(self.thought));
        session.settings = Settings::new(self.thought);
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
        value: &SessionConfigOptionValue,
    ) -> Result<Vec<SessionConfigOption>, Error> {
        let text = value.as_value_id().map_or("", |value| &value.0);
        match (option, value) {
            (MODEL_OPTION, _) => self.set_model(id, text)?,
            (EFFORT_OPTION, _) if self.thought => {
                one_of(&EFFORTS, text)?;
                self.think(id, |thought| thought.effort = text.to_owned())?;
            }
            (FAST_OPTION, SessionConfigOptionValue::Boolean { value }) if self.thought => {
                self.think(id, |thought| thought.fast = *value)?;
            }
            _ => one_of(&[MODEL_OPTION, EFFORT_OPTION, FAST_OPTION], option)?,
        }
        Ok(self.settings(id)?.config_options())
    }

    fn think(&self, id: &str, act: impl FnOnce(&mut Thought)) -> Result<(), Error> {
        self.with(id, |session| session.settings.thought.as_mut().map(act)).map(drop)
    }

    /// A new session with the settings and prompts of another one.
    pub(super) fn fork(&self, id: &str) -> Result<(String, Settings), Error> {
        let (settings, prompts) = self.with(id, |session| (session.settings.clone(), session.prompts))?;
        let mut open = self.open();
        let fork = format!("scripted-{:016x}-{}", self.seed, open.len() + 1);
        open.insert(
            fork.clone(),
            Session { settings: settings.clone(), prompts, cancels: watch::Sender::default() },
        );
        Ok((fork, settings))
    }

    /// Closes a session; its id is not used again as long as the process lives.
    pub(super) fn close(&self, id: &str) -> Result<(), Error> {
        self.with(id, |session| session.cancels.send_modify(|cancels| *cancels += 1))
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
