//! How the agent's environment sets it up.

use std::env;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{AgentOptions, Archive, FailInit};

/// What the environment says about how to start.
pub(super) fn options() -> Result<AgentOptions, String> {
    let mut options = AgentOptions::new();
    if let Ok(delay) = env::var("SCRIPTED_AGENT_INIT_DELAY_MS") {
        let millis = delay.parse();
        let millis =
            millis.map_err(|_| wrong("SCRIPTED_AGENT_INIT_DELAY_MS", &delay, "must be a whole number"))?;
        options.init_delay = Duration::from_millis(millis);
    }
    options.fail_init = match env::var("SCRIPTED_AGENT_FAIL_INIT").as_deref() {
        Ok("exit") => Some(FailInit::Exit),
        Ok("error") => Some(FailInit::Error),
        Ok(other) => return Err(wrong("SCRIPTED_AGENT_FAIL_INIT", other, "must be exit or error")),
        Err(_) => None,
    };
    let offers = env::var("SCRIPTED_AGENT_OFFERS").unwrap_or_default();
    for offer in offers.split(',').filter(|offer| !offer.is_empty()) {
        match offer {
            "load" => options.load = true,
            "resume" => options.resume = true,
            "manage" => options.manage = true,
            "thought" => options.thought = true,
            "login" => options.login = true,
            _ => {
                let known = "must list load, resume, manage, thought or login";
                return Err(wrong("SCRIPTED_AGENT_OFFERS", &offers, known));
            }
        }
    }
    options.merge_replay = match env::var("SCRIPTED_AGENT_REPLAY").as_deref() {
        Ok("merged") => true,
        Ok(other) => return Err(wrong("SCRIPTED_AGENT_REPLAY", other, "must be merged")),
        Err(_) => false,
    };
    Ok(options)
}

/// Where sessions are kept.
pub(super) fn archive() -> Result<Arc<Archive>, String> {
    const FOLDER: &str = "SCRIPTED_AGENT_SESSIONS";
    let Some(folder) = env::var_os(FOLDER) else {
        return Ok(Arc::new(Archive::in_memory()));
    };
    let folder = Path::new(&folder);
    let archive = Archive::in_folder(folder).map_err(|error| wrong(FOLDER, folder.display(), error))?;
    Ok(Arc::new(archive))
}

fn wrong(name: &str, value: impl Display, why: impl Display) -> String {
    format!("{name}={value}: {why}")
}
