//! `POST /v1/chat/completions`, streamed.

use serde_json::{Value, json};

use super::{Answer, Asked, Newest, texts};

pub(super) fn asked(body: &Value) -> Asked {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let newest = messages.last().cloned().unwrap_or_default();
    let newest = match newest["role"].as_str() {
        Some("tool") => Newest::Outcome,
        _ => Newest::Prompt(texts(&newest["content"])),
    };
    Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        past: messages.len(),
        newest,
        tools: body["tools"].as_array().is_some_and(|tools| !tools.is_empty()),
    }
}

pub(super) fn written(asked: &Asked, answer: &Answer) -> String {
    let (delta, end) = match answer {
        Answer::Says(words) => (json!({ "role": "assistant", "content": words }), "stop"),
        Answer::Calls(name, arguments) => {
            let function = json!({ "name": name, "arguments": arguments.to_string() });
            let call = json!({ "index": 0, "id": format!("call-{}", asked.past), "type": "function", "function": function });
            (json!({ "role": "assistant", "tool_calls": [call] }), "tool_calls")
        }
    };
    let usage = json!({ "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 });
    let chunks = [chunk(delta, None, None), chunk(json!({}), Some(end), Some(usage))];
    let lines = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    lines.chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn chunk(delta: Value, end: Option<&str>, usage: Option<Value>) -> Value {
    json!({
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "stub",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": end }],
        "usage": usage,
    })
}
