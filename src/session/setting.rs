//! What a session's mode, model and options look like to whoever shows or chooses them.

use serde_json::Value;

/// A setting of a session's as its agent has it: the mode, the model, or any other option.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Setting {
    /// What it is set by: `mode`, `model`, or the agent's id of the option.
    pub id: String,
    /// What kind of option it is (`mode`, `model`, `thought_level`, …), where the agent says so.
    pub category: Option<String>,
    /// Its name, for people.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What is chosen; `None` when nobody has said so since the agent took the session up. Mostly a text; `true` or `false` of a switch.
    pub current: Option<Value>,
    /// What can be chosen; empty for a switch, and for a kind that this version doesn't know.
    pub choices: Vec<Choice>,
}

impl Setting {
    /// The id of what is chosen, where that is a text.
    pub fn current_id(&self) -> Option<&str> {
        self.current.as_ref().and_then(Value::as_str)
    }

    /// The ids of what can be chosen.
    pub fn ids(&self) -> Vec<&str> {
        self.choices.iter().map(|choice| choice.id.as_str()).collect()
    }
}

/// One of the values of a [`Setting`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// What to set it by.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// What it means.
    pub description: Option<String>,
    /// The group that it is shown in, where the agent has groups.
    pub group: Option<String>,
}

fn text(value: &Value, member: &str) -> Option<String> {
    value[member].as_str().map(str::to_owned)
}

/// The items of a list whose ids are in this member; what has none can't be chosen.
fn choices<'a>(
    items: &'a Value,
    id: &'a str,
    group: Option<&'a str>,
) -> impl Iterator<Item = Choice> + use<'a> {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(move |item| {
        let id = text(item, id)?;
        Some(Choice {
            name: text(item, "name").unwrap_or_else(|| id.clone()),
            description: text(item, "description"),
            group: group.map(str::to_owned),
            id,
        })
    })
}

/// A setting that the agent has in a way of its own: `name` is `mode` or `model`.
pub(super) fn of_state(state: &Value, name: &str, available: &str, id: &str, current: &str) -> Setting {
    Setting {
        id: name.to_owned(),
        category: Some(name.to_owned()),
        name: name.to_owned(),
        description: None,
        current: state.get(current).filter(|current| current.is_string()).cloned(),
        choices: choices(&state[available], id, None).collect(),
    }
}

/// An option; `None` for one without an id.
pub(super) fn of_option(option: &Value) -> Option<Setting> {
    let id = text(option, "id")?;
    let options = &option["options"];
    let groups = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let grouped = groups.iter().flat_map(|group| {
        let name = group["name"].as_str().or(group["group"].as_str());
        choices(&group["options"], "value", name)
    });
    Some(Setting {
        category: text(option, "category"),
        name: text(option, "name").unwrap_or_else(|| id.clone()),
        description: text(option, "description"),
        current: option.get("currentValue").filter(|current| !current.is_null()).cloned(),
        choices: choices(options, "value", None).chain(grouped).collect(),
        id,
    })
}
