//! A conforming ACP agent on stdin and stdout whose model is a script in the prompt.
//!
//! The commands are in the documentation of `sandbox_agent_testkit::script`. The environment
//! sets how it starts: `SCRIPTED_AGENT_INIT_DELAY_MS`, `SCRIPTED_AGENT_FAIL_INIT=exit|error`,
//! and `SCRIPTED_AGENT_LOG`, a file that gets one JSON line for each message.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox_agent_testkit::run_agent_on_stdio()
}
