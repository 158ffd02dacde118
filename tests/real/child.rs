//! Runs a test of this binary in a process of its own.

use std::process::{Command, Output};

/// Runs the test with this name as a child, with these variables.
pub fn run(test: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// The variable, when this is the child.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
