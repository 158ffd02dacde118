//! A model that does what the newest prompt says, over HTTP, as agents ask models.

mod chat;
mod http;
mod messages;

use serde_json::Value;
use tokio::net::TcpListener;

/// The tools by which an agent's model runs a command and makes a plan, with what it gives them.
#[derive(Clone, Debug)]
pub struct Tools {
    pub run: (&'static str, Value),
    pub plan: (&'static str, Value),
}

/// Starts a model for an agent with these tools; gives its port.
pub async fn start(tools: Tools) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(http::serve(listener, tools));
    port
}

/// What an agent asks its model, whichever way.
struct Asked {
    /// The model that is asked.
    model: String,
    /// How many messages came before.
    past: usize,
    newest: Newest,
    /// Whether there are tools to call: agents ask for a title without any.
    tools: bool,
}

enum Newest {
    /// The texts of a prompt, and of what the agent adds to it.
    Prompt(Vec<String>),
    /// What became of a call.
    Outcome,
}

/// What the model does about it.
enum Answer {
    Says(String),
    Calls(&'static str, Value),
}

/// `SAY words`, `WHO` it is, `RUN` a command, `TODO` a plan: the line of the prompt that begins so.
fn answer(asked: &Asked, tools: &Tools) -> Answer {
    let says = |words: &str| Answer::Says(words.to_owned());
    let texts = match &asked.newest {
        _ if !asked.tools => return says("A title"),
        Newest::Outcome => return says("done"),
        Newest::Prompt(texts) => texts,
    };
    let mut orders = texts.iter().flat_map(|text| text.lines()).filter_map(|line| {
        let (order, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        Some(match order {
            "SAY" => Answer::Says(rest.to_owned()),
            "WHO" => Answer::Says(format!("I am {}, {}", asked.model, mode(texts))),
            "RUN" => Answer::Calls(tools.run.0, tools.run.1.clone()),
            "TODO" => Answer::Calls(tools.plan.0, tools.plan.1.clone()),
            _ => return None,
        })
    });
    orders.next_back().unwrap_or_else(|| says("nothing"))
}

/// Agents remind their model that it may only plan.
fn mode(texts: &[String]) -> &'static str {
    let reminded = texts.iter().any(|text| text.to_lowercase().contains("plan mode"));
    if reminded { "planning" } else { "working" }
}

/// A message is a text, or parts of which some are.
fn texts(content: &Value) -> Vec<String> {
    let parts = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let of_parts = parts.iter().filter_map(|part| part["text"].as_str());
    content.as_str().into_iter().chain(of_parts).map(str::to_owned).collect()
}
