//! Modes and models that an agent has both ways, with lists that differ.
#![allow(clippy::unwrap_used)]

use super::*;

/// An agent that has its modes as a state and as an option, and one option more.
fn opened(state: &[&str], option: &[&str], current: &str) -> Settings {
    let modes: Vec<_> = state.iter().map(|id| json!({ "id": id })).collect();
    let values: Vec<_> = option.iter().map(|value| json!({ "value": value })).collect();
    let levels = json!([{ "value": "low" }, { "value": "high" }]);
    Settings::opened(&json!({
        "modes": { "currentModeId": current, "availableModes": modes },
        "configOptions": [
            { "id": "m", "category": "mode", "type": "select", "currentValue": current, "options": values },
            { "id": "level", "type": "select", "currentValue": "low", "options": levels },
        ],
    }))
}

/// What is chosen as `mode`, and how a new process would be brought there.
fn mode(settings: &Settings, anew: &Settings) -> (Value, Option<&'static str>) {
    let chosen = settings.chosen();
    let modes: Vec<_> = chosen.iter().filter(|(name, _)| name == "mode").collect();
    let [(_, wanted)] = modes[..] else { panic!("{chosen:?}") };
    (wanted.clone(), anew.change("mode", wanted).ok().map(|change| change.method))
}

#[test]
fn a_mode_that_only_the_option_lists_is_put_back() {
    let anew = opened(&["a", "b"], &["a", "b", "more"], "a");
    let mut settings = anew.clone();
    settings.apply(SET_OPTION, &json!({ "configId": "m", "value": "more" }), &json!({}));
    assert_eq!(mode(&settings, &anew), (json!("more"), Some(SET_OPTION)));
    // Until it is left again, whichever way.
    let mut by_state = settings.clone();
    by_state.apply(MODE.method, &json!({ "modeId": "b" }), &json!({}));
    assert_eq!(mode(&by_state, &anew), (json!("b"), Some(MODE.method)));
    settings.apply(SET_OPTION, &json!({ "configId": "m", "value": "b" }), &json!({}));
    assert_eq!(mode(&settings, &anew), (json!("b"), Some(MODE.method)));
}

#[test]
fn a_mode_that_only_the_state_lists_is_not_taken_back_by_another_setting() {
    let anew = opened(&["a", "plan"], &["a"], "a");
    let mut settings = anew.clone();
    settings.apply(MODE.method, &json!({ "modeId": "plan" }), &json!({}));
    settings.apply(SET_OPTION, &json!({ "configId": "level", "value": "high" }), &json!({}));
    assert_eq!(mode(&settings, &anew), (json!("plan"), Some(MODE.method)));
    assert!(settings.chosen().contains(&("level".to_owned(), json!("high"))));
    assert_eq!(settings.mode().unwrap().current_id(), Some("plan"));
    // Until it is left by the option.
    settings.apply(SET_OPTION, &json!({ "configId": "m", "value": "a" }), &json!({}));
    assert_eq!(mode(&settings, &anew), (json!("a"), Some(MODE.method)));
}

#[test]
fn a_mode_of_an_option_alone_is_what_it_lists() {
    let mut settings = opened(&[], &["a", "b"], "a");
    settings.modes = None;
    settings.choose(&MODE, &json!("unheard of"));
    assert_eq!(mode(&settings, &settings), (json!("a"), Some(SET_OPTION)));
    settings.choose(&MODE, &json!("b"));
    assert_eq!(mode(&settings, &settings), (json!("b"), Some(SET_OPTION)));
}
