//! `POST /v1/messages`, streamed.

use serde_json::{Value, json};

use super::{Answer, Asked, Newest, texts};

pub(super) fn asked(body: &Value) -> Asked {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    // A prompt comes as several messages, where the agent adds something to it.
    let newest = messages.rsplit(|message| message["role"] == "assistant").next().unwrap_or_default();
    let parts = newest.iter().filter_map(|message| message["content"].as_array()).flatten();
    let is_outcome = parts.into_iter().any(|part| part["type"] == "tool_result");
    let texts = newest.iter().flat_map(|message| texts(&message["content"])).collect();
    Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        past: messages.len(),
        newest: if is_outcome { Newest::Outcome } else { Newest::Prompt(texts) },
        tools: body["tools"].as_array().is_some_and(|tools| !tools.is_empty()),
    }
}

pub(super) fn written(asked: &Asked, answer: &Answer) -> String {
    let (block, delta, reason) = match answer {
        Answer::Says(words) => (
            json!({ "type": "text", "text": "" }),
            json!({ "type": "text_delta", "text": words }),
            "end_turn",
        ),
        Answer::Calls(name, input) => (
            json!({ "type": "tool_use", "id": format!("toolu_{}", asked.past), "name": name, "input": {} }),
            json!({ "type": "input_json_delta", "partial_json": input.to_string() }),
            "tool_use",
        ),
    };
    let message = json!({
        "id": format!("msg_{}", asked.past), "type": "message", "role": "assistant", "model": asked.model,
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": { "input_tokens": 11, "output_tokens": 1 },
    });
    let events = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({
            "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null },
            "usage": { "output_tokens": 7 },
        }),
        json!({ "type": "message_stop" }),
    ];
    let named = events.iter().map(|event| {
        let name = event["type"].as_str().unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n")
    });
    named.collect()
}
