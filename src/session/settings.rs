//! Mode, model and options: what the agent offers, what was chosen, and putting it back.

use sandbox_agent_persist::{RawValue, SessionRecord};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::core::SessionCore;
use super::memo::Memo;
use crate::error::Result as SdkResult;

/// A choice of the session's that the agent could not be brought back to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotRestored {
    /// `mode`, `model`, or the id of an option.
    pub setting: String,
    /// What it was.
    pub wanted: String,
    /// What the agent offers instead; empty when it has no such setting, or refused to say why.
    pub offered: Vec<String>,
}

/// What an agent says of a session's settings, as the protocol has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings {
    pub(super) modes: Option<Value>,
    pub(super) models: Option<Value>,
    pub(super) options: Option<Value>,
}

/// How one setting is changed.
pub(super) struct Change {
    pub(super) method: &'static str,
    pub(super) params: Map<String, Value>,
}

impl Settings {
    /// As the answer to opening a session tells them.
    pub(super) fn opened(answer: &Value) -> Self {
        let member = |name: &str| answer.get(name).filter(|value| !value.is_null()).cloned();
        Self { modes: member("modes"), models: member("models"), options: member("configOptions") }
    }

    /// What this does not say, as it was; what is chosen there is not known then.
    pub(super) fn or(self, recorded: &Self) -> Self {
        let unknown = |state: &Option<Value>, current: &str| {
            let mut state = state.clone()?;
            state.as_object_mut()?.remove(current);
            Some(state)
        };
        let options = || {
            let mut options = recorded.options.clone()?;
            for option in options.as_array_mut()? {
                option.as_object_mut()?.remove("currentValue");
            }
            Some(options)
        };
        Self {
            modes: self.modes.or_else(|| unknown(&recorded.modes, MODE.current)),
            models: self.models.or_else(|| unknown(&recorded.models, MODEL.current)),
            options: self.options.or_else(options),
        }
    }

    /// As the record remembers them.
    pub(super) fn recorded(record: &SessionRecord) -> Self {
        Self {
            modes: record.modes.clone(),
            models: Memo::read(record).models,
            options: record.config_options.clone(),
        }
    }

    pub(super) fn record(&self, record: &mut SessionRecord) {
        record.modes.clone_from(&self.modes);
        record.config_options.clone_from(&self.options);
        Memo::change(record, |memo| memo.models.clone_from(&self.models));
    }

    /// What is chosen: `mode` and `model` by whichever way the agent has them, then its options by id.
    pub(super) fn chosen(&self) -> Vec<(String, Value)> {
        let of = |state: &Option<Value>, current: &str| {
            state.as_ref().and_then(|state| state.get(current)).filter(|value| value.is_string()).cloned()
        };
        let mut chosen = Vec::new();
        for what in [&MODE, &MODEL] {
            let category = self.by_category(what.name).and_then(|option| option.get("currentValue").cloned());
            let found = of(self.state(what), what.current).or(category);
            chosen.extend(found.map(|value| (what.name.to_owned(), value)));
        }
        let others = self
            .options()
            .iter()
            .filter(|option| ![MODE.name, MODEL.name].iter().any(|name| option["category"] == **name));
        chosen.extend(others.filter_map(|option| {
            Some((option["id"].as_str()?.to_owned(), option.get("currentValue")?.clone()))
        }));
        chosen
    }

    /// How a setting is brought to a value, or what the agent offers instead.
    pub(super) fn change(&self, setting: &str, wanted: &Value) -> Result<Change, Vec<String>> {
        let mut offered = Vec::new();
        if let Some(what) = [&MODE, &MODEL].into_iter().find(|what| what.name == setting) {
            let listed = self.state(what).as_ref().map(|state| ids(&state[what.available], what.id));
            let listed = listed.unwrap_or_default();
            if listed.iter().any(|id| wanted == id.as_str()) {
                let params = Map::from_iter([(what.param.to_owned(), wanted.clone())]);
                return Ok(Change { method: what.method, params });
            }
            offered.extend(listed);
        }
        let option = self.by_category(setting).or_else(|| self.by_id(setting));
        if let Some(option) = option {
            let values = values(&option["options"]);
            // An option without a list, such as a switch, takes what it had.
            if values.is_empty() || values.iter().any(|value| wanted == value.as_str()) {
                let mut params = Map::new();
                params.insert("configId".to_owned(), option["id"].clone());
                params.insert("value".to_owned(), wanted.clone());
                if wanted.is_boolean() {
                    params.insert("type".to_owned(), json!("boolean"));
                }
                return Ok(Change { method: SET_OPTION, params });
            }
            offered.extend(values);
        }
        Err(offered)
    }

    /// Takes over that a setting was changed: by a call that the agent took, with its answer.
    pub(super) fn apply(&mut self, method: &str, params: &Value, answer: &Value) {
        for what in [&MODE, &MODEL] {
            if method == what.method {
                self.choose(what, &params[what.param]);
            }
        }
        if method == SET_OPTION {
            if answer["configOptions"].is_array() {
                self.options = answer.get("configOptions").cloned();
            } else if let Some(option) = self.option_mut(&params["configId"]) {
                option.insert("currentValue".to_owned(), params["value"].clone());
            }
        }
    }

    /// Takes over what an update of the agent says; whether it said anything.
    pub(super) fn update(&mut self, payload: &RawValue) -> bool {
        #[derive(Deserialize)]
        struct Message {
            params: Params,
        }
        #[derive(Deserialize)]
        struct Params {
            update: Value,
        }
        let Ok(message) = serde_json::from_str::<Message>(payload.get()) else { return false };
        let update = message.params.update;
        match update["sessionUpdate"].as_str() {
            Some("current_mode_update") => self.choose(&MODE, &update["currentModeId"]),
            Some("config_option_update") if update["configOptions"].is_array() => {
                self.options = update.get("configOptions").cloned();
            }
            _ => return false,
        }
        true
    }

    /// Takes for chosen what could not be brought about, where nothing else is known to be.
    pub(super) fn assume(&mut self, setting: &str, wanted: &Value) {
        if self.chosen().iter().any(|(name, _)| name == setting) {
            return;
        }
        if let Some(what) = [&MODE, &MODEL].into_iter().find(|what| what.name == setting) {
            self.choose(what, wanted);
        } else if let Some(option) = self.option_mut(&json!(setting)) {
            option.insert("currentValue".to_owned(), wanted.clone());
        }
    }

    fn choose(&mut self, what: &Way, value: &Value) {
        let state = if what.name == MODE.name { &mut self.modes } else { &mut self.models };
        if let Some(Value::Object(state)) = state {
            state.insert(what.current.to_owned(), value.clone());
        }
    }

    fn state(&self, what: &Way) -> &Option<Value> {
        if what.name == MODE.name { &self.modes } else { &self.models }
    }

    fn options(&self) -> &[Value] {
        self.options.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    fn by_category(&self, category: &str) -> Option<&Value> {
        self.options().iter().find(|option| option["category"] == category)
    }

    fn by_id(&self, id: &str) -> Option<&Value> {
        self.options().iter().find(|option| option["id"] == id)
    }

    fn option_mut(&mut self, id: &Value) -> Option<&mut Map<String, Value>> {
        let options = self.options.as_mut()?.as_array_mut()?;
        options.iter_mut().find(|option| option["id"] == *id)?.as_object_mut()
    }
}

const SET_OPTION: &str = "session/set_config_option";

/// One of the two settings that agents have in a way of their own, or as an option of that category.
struct Way {
    name: &'static str,
    available: &'static str,
    id: &'static str,
    current: &'static str,
    method: &'static str,
    param: &'static str,
}

const MODE: Way = Way {
    name: "mode",
    available: "availableModes",
    id: "id",
    current: "currentModeId",
    method: "session/set_mode",
    param: "modeId",
};

const MODEL: Way = Way {
    name: "model",
    available: "availableModels",
    id: "modelId",
    current: "currentModelId",
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

/// A setting's value as a person writes it.
pub(super) fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The parameters of a change, for a session of the agent's.
pub(super) fn for_session(change: &Change, agent_session_id: &str) -> Value {
    let mut params = change.params.clone();
    params.insert("sessionId".to_owned(), json!(agent_session_id));
    Value::Object(params)
}

impl SessionCore {
    /// Keeps a setting that a call of the user's changed.
    pub(super) async fn remember_change(
        &self,
        method: &str,
        params: &Value,
        result: &RawValue,
    ) -> SdkResult<()> {
        if ![MODE.method, MODEL.method, SET_OPTION].contains(&method) {
            return Ok(());
        }
        let answer: Value = serde_json::from_str(result.get()).unwrap_or_default();
        self.change_record(|record| {
            let mut settings = Settings::recorded(record);
            settings.apply(method, params, &answer);
            settings.record(record);
        })
        .await
    }
}
