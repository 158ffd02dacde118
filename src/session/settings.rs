//! Mode, model and options: what the agent offers, what was chosen, and putting it back.

use sandbox_agent_persist::{RawValue, SessionRecord};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::memo::Memo;
use super::setting::{self, Setting};
use crate::error::Error;

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
pub(crate) struct Settings {
    pub(super) modes: Option<Value>,
    pub(super) models: Option<Value>,
    pub(super) options: Option<Value>,
}

/// How one setting is changed.
pub(crate) struct Change {
    pub(super) method: &'static str,
    pub(super) params: Map<String, Value>,
}

impl Settings {
    /// As the answer to opening a session tells them.
    pub(crate) fn opened(answer: &Value) -> Self {
        let member = |name: &str| answer.get(name).filter(|value| !value.is_null()).cloned();
        let mut opened =
            Self { modes: member("modes"), models: member("models"), options: member("configOptions") };
        opened.agree();
        opened
    }

    /// What this does not say, as it was; what is chosen there is not known then.
    pub(crate) fn or(self, recorded: &Self) -> Self {
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
    pub(crate) fn recorded(record: &SessionRecord) -> Self {
        Self {
            modes: record.modes.clone(),
            models: Memo::read(record).models,
            options: record.config_options.clone(),
        }
    }

    pub(crate) fn record(&self, record: &mut SessionRecord) {
        record.modes.clone_from(&self.modes);
        record.config_options.clone_from(&self.options);
        Memo::change(record, |memo| memo.models.clone_from(&self.models));
    }

    /// What is chosen: `mode` and `model` by whichever way the agent has them, then its options by id.
    pub(crate) fn chosen(&self) -> Vec<(String, Value)> {
        let of = |state: &Option<Value>, current: &str| {
            state.as_ref().and_then(|state| state.get(current)).filter(|value| value.is_string()).cloned()
        };
        let mut chosen = Vec::new();
        for what in [&MODE, &MODEL] {
            let category = self.by_category(what.name).and_then(|option| option.get("currentValue").cloned());
            // What the state doesn't list was chosen by the option, which the state could not follow.
            let beyond = category.clone().filter(|told| told.is_string() && !self.lists(what, told));
            let found = beyond.or_else(|| of(self.state(what), what.current)).or(category);
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

    /// How a setting is brought to a value, or what the agent offers instead. It is named by `mode` or
    /// `model`, whichever way the agent has them, by an option's id, or by a category.
    pub(crate) fn change(&self, setting: &str, wanted: &Value) -> Result<Change, Vec<String>> {
        let mut offered = Vec::new();
        let way = [&MODE, &MODEL].into_iter().find(|what| what.name == setting);
        if let Some(what) = way {
            let listed = self.state(what).as_ref().map(|state| ids(&state[what.available], what.id));
            let listed = listed.unwrap_or_default();
            if listed.iter().any(|id| wanted == id.as_str()) {
                let params = Map::from_iter([(what.param.to_owned(), wanted.clone())]);
                return Ok(Change { method: what.method, params });
            }
            offered.extend(listed);
        }
        for option in self.named(setting) {
            match change_option(option, wanted) {
                Ok(change) => return Ok(change),
                Err(values) => offered.extend(values),
            }
        }
        Err(offered)
    }

    /// The error of a setting that can't be brought to a value: it names what can be chosen instead.
    pub(crate) fn not_offered(&self, setting: &str, wanted: &Value, offered: Vec<String>) -> Error {
        let wanted = shown(wanted);
        if !offered.is_empty() {
            let message = format!("the agent offers no {setting} {wanted:?}; it offers {offered:?}");
            return Error::invalid(message).with_offered(offered);
        }
        let has = self.names();
        Error::invalid(format!("the agent has no setting {setting:?}; it has {has:?}")).with_offered(has)
    }

    /// The name under which [`chosen`](Self::chosen) lists what this id or category stands for.
    pub(crate) fn key(&self, setting: &str) -> String {
        if [MODE.name, MODEL.name].contains(&setting) {
            return setting.to_owned();
        }
        let option = self.named(setting).next();
        let category = option.and_then(|option| option["category"].as_str());
        match category.filter(|category| [MODE.name, MODEL.name].contains(category)) {
            Some(category) => category.to_owned(),
            None => option.and_then(|option| option["id"].as_str()).unwrap_or(setting).to_owned(),
        }
    }

    /// Mode or model, by whichever way the agent has it.
    pub(crate) fn mode(&self) -> Option<Setting> {
        self.way(&MODE)
    }

    pub(crate) fn model(&self) -> Option<Setting> {
        self.way(&MODEL)
    }

    fn way(&self, what: &Way) -> Option<Setting> {
        match self.state(what) {
            Some(state) => Some(setting::of_state(state, what.name, what.available, what.id, what.current)),
            None => self.by_category(what.name).and_then(setting::of_option),
        }
    }

    /// All options as the agent lists them.
    pub(crate) fn all(&self) -> Vec<Setting> {
        self.options().iter().filter_map(setting::of_option).collect()
    }

    fn names(&self) -> Vec<String> {
        let ways = [&MODE, &MODEL].into_iter().filter(|what| self.state(what).is_some());
        let ids = self.options().iter().filter_map(|option| option["id"].as_str());
        ways.map(|what| what.name).chain(ids).map(str::to_owned).collect()
    }

    /// Takes over that a setting was changed: by a call that the agent took, with its answer.
    pub(crate) fn apply(&mut self, method: &str, params: &Value, answer: &Value) {
        for what in [&MODE, &MODEL] {
            if method == what.method {
                self.choose(what, &params[what.param]);
            }
        }
        if method == SET_OPTION {
            if answer["configOptions"].is_array() {
                self.options = answer.get("configOptions").cloned();
                self.agree();
            } else if let Some(option) = self.option_mut(&params["configId"]) {
                option.insert("currentValue".to_owned(), params["value"].clone());
                self.agree();
            }
        }
    }

    /// Takes over what an update of the agent says; whether it said anything.
    pub(crate) fn update(&mut self, payload: &RawValue) -> bool {
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
                self.agree();
            }
            _ => return false,
        }
        true
    }

    /// Takes for chosen what could not be brought about, where nothing else is known to be.
    pub(crate) fn assume(&mut self, setting: &str, wanted: &Value) {
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
        let mut taken = false;
        if let Some(Value::Object(state)) = self.state_mut(what) {
            state.insert(what.current.to_owned(), value.clone());
            taken = value.is_string();
        }
        let options = self.options.as_mut().and_then(Value::as_array_mut);
        let option = options.and_then(|all| all.iter_mut().find(|option| option["category"] == what.name));
        let Some(option) = option else { return };
        let listed = values(&option["options"]).iter().any(|listed| value == listed.as_str());
        if let Value::Object(option) = option {
            if listed {
                option.insert("currentValue".to_owned(), value.clone());
            } else if taken {
                // What it had is chosen no more, and would be taken for what it tells.
                option.remove("currentValue");
            }
        }
    }

    /// Some agents have mode or model both ways, and tell of a change by their options alone.
    fn agree(&mut self) {
        for what in [&MODE, &MODEL] {
            let told = self.by_category(what.name).and_then(|option| option.get("currentValue")).cloned();
            if let (Some(told), Some(state)) = (told, self.state_mut(what))
                && lists(state, what, &told)
                && let Value::Object(state) = state
            {
                state.insert(what.current.to_owned(), told);
            }
        }
    }

    fn state_mut(&mut self, what: &Way) -> &mut Option<Value> {
        if what.name == MODE.name { &mut self.modes } else { &mut self.models }
    }

    fn state(&self, what: &Way) -> &Option<Value> {
        if what.name == MODE.name { &self.modes } else { &self.models }
    }

    /// Whether the agent has it in its own way, where it has one.
    fn lists(&self, what: &Way, value: &Value) -> bool {
        self.state(what).as_ref().is_some_and(|state| lists(state, what, value))
    }

    fn options(&self) -> &[Value] {
        self.options.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    fn by_category(&self, category: &str) -> Option<&Value> {
        self.options().iter().find(|option| option["category"] == category)
    }

    /// The options that this stands for, best first. An id is nobody else's, but for those that mean
    /// mode or model: agents name options of other categories so.
    fn named<'a>(&'a self, setting: &'a str) -> impl Iterator<Item = &'a Value> {
        let way = [MODE.name, MODEL.name].contains(&setting);
        let (first, second) = if way { ("category", "id") } else { ("id", "category") };
        let by =
            move |member: &'static str| self.options().iter().filter(move |option| option[member] == setting);
        let second = by(second).filter(move |option| option[first] != setting);
        by(first).chain(second)
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

fn change_option(option: &Value, wanted: &Value) -> Result<Change, Vec<String>> {
    let values = values(&option["options"]);
    let switch = option["type"] == "boolean";
    // One without a list, of a kind that is not known here, takes what it is given.
    let takes = match switch {
        true => wanted.is_boolean(),
        false => values.is_empty() || values.iter().any(|value| wanted == value.as_str()),
    };
    if !takes {
        return Err(if switch { vec!["true".to_owned(), "false".to_owned()] } else { values });
    }
    let mut params = Map::new();
    params.insert("configId".to_owned(), option["id"].clone());
    params.insert("value".to_owned(), wanted.clone());
    if wanted.is_boolean() {
        params.insert("type".to_owned(), json!("boolean"));
    }
    Ok(Change { method: SET_OPTION, params })
}

/// Whether this call changes a setting.
pub(crate) fn is_change(method: &str) -> bool {
    [MODE.method, MODEL.method, SET_OPTION].contains(&method)
}

fn ids(list: &Value, key: &str) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item[key].as_str().map(str::to_owned)).collect()
}

fn lists(state: &Value, what: &Way, value: &Value) -> bool {
    ids(&state[what.available], what.id).iter().any(|listed| value == listed.as_str())
}

/// The values of a select option, which may stand in groups.
fn values(options: &Value) -> Vec<String> {
    let items = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let nested = items.iter().flat_map(|item| ids(&item["options"], "value"));
    ids(options, "value").into_iter().chain(nested).collect()
}

/// A setting's value as a person writes it.
pub(crate) fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The parameters of a change, for a session of the agent's.
pub(crate) fn for_session(change: &Change, agent_session_id: &str) -> Value {
    let mut params = change.params.clone();
    params.insert("sessionId".to_owned(), json!(agent_session_id));
    Value::Object(params)
}

#[cfg(test)]
mod tests;
