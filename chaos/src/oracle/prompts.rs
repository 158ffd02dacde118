//! A prompt reaches an agent once, whatever becomes of it.

use std::collections::HashMap;

use serde_json::Value;

use super::agents::is_prompt;
use super::record::rpc_id;
use super::verdict::{Kind, Verdict};
use crate::history::Process;

/// Returns the texts of the prompts that agents received.
pub(super) fn judge(processes: &[Process], verdict: &mut Verdict) -> Vec<String> {
    let mut seen: HashMap<(&str, String), &str> = HashMap::new();
    let mut texts = Vec::new();
    for process in processes {
        for line in process.received.iter().filter(|line| is_prompt(line)) {
            let prompt: Value = serde_json::from_str(line).unwrap_or_default();
            // What comes before the last block is history.
            let blocks = prompt["params"]["prompt"].as_array().map(Vec::as_slice).unwrap_or_default();
            let text = blocks.last().and_then(|block| block["text"].as_str()).unwrap_or_default().to_owned();
            let key = prompt["params"]["_meta"]["sandboxAgent/idempotencyKey"].as_str().map(str::to_owned);
            let marks = [("id", rpc_id(line)), ("key", key), ("text", Some(text.clone()))];
            let mut twice = None;
            for (what, mark) in marks.into_iter().filter_map(|(what, mark)| Some((what, mark?))) {
                let before = seen.insert((what, mark.clone()), &process.name);
                twice = twice.or(before.map(|before| (before, what, mark)));
            }
            if let Some((before, what, mark)) = twice {
                let name = &process.name;
                let text =
                    format!("the prompt with the {what} {mark:?} was received by {before} and by {name}");
                verdict.find(Kind::PromptTwice, 1, text);
            }
            texts.push(text);
        }
    }
    texts
}
