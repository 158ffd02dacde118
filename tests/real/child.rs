//! Runs a test of this binary in a process of its own.

use std::process::{Command, Output};

/// Runs the test with this name as a child, with these variables.
#[allow(dead_code, reason = "each test binary uses a part")]
pub fn run(test: &str, variables: &[(&str, &str)]) -> Output {
    command(test, variables).output().unwrap()
}

/// The same, to be started by the caller.
pub fn command(test: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .envs(variables.iter().copied());
    command
}

/// The variable, when this is the child.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
