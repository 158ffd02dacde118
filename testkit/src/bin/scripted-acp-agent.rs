//! A conforming ACP agent on stdin and stdout whose model is a script in the prompt.
//!
//! The commands are in the documentation of `sandbox_agent_testkit::script`. The environment
//! sets how it starts:
//!
//! | variable | what it sets |
//! | --- | --- |
//! | `SCRIPTED_AGENT_INIT_DELAY_MS` | how long the answer to `initialize` takes |
//! | `SCRIPTED_AGENT_FAIL_INIT` | how `initialize` goes wrong: `exit` or `error` |
//! | `SCRIPTED_AGENT_OFFERS` | which of `load`, `resume`, `manage` (fork, list, close, delete), `thought` and `login` it offers, separated by a comma; none when unset |
//! | `SCRIPTED_AGENT_SESSIONS` | the folder in which sessions outlive the process, one file each; in its memory when unset |
//! | `SCRIPTED_AGENT_REPLAY` | `merged`: `session/load` replays text said in a row as one chunk |
//! | `SCRIPTED_AGENT_LOG` | a file that gets one JSON line for each message |
//!
//! It exits with 2 when a value can't be read.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox_agent_testkit::run_agent_on_stdio()
}
