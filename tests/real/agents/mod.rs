//! Real agents that are not ours, under the real server, each with a model that does what the prompt says.

mod claude;
mod model;
mod opencode;
mod play;
mod qwen;
mod recording;
mod stage;
