//! Binaries that are no server: each error says what is wrong, and what to do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sandbox_agent_sdk::{
    ErrorKind, LocalProvider, LocalSandbox, SandboxAgent, SandboxError, SandboxErrorKind,
};
use tempfile::TempDir;

use crate::{child, processes};

const NOTHING: &str = "TEST_NO_BINARY";

/// A shell script. Another process writes it: one that this one had open could not be run while it forks.
fn script(folder: &TempDir, body: &str, mode: &str) -> PathBuf {
    let path = folder.path().join("server");
    let mut write = Command::new("sh");
    write.args(["-c", r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod "$3" "$2""#, "sh", body]);
    assert!(write.arg(&path).arg(mode).stdin(Stdio::null()).status().unwrap().success());
    path
}

async fn refused(binary: &Path) -> SandboxError {
    LocalSandbox::builder().binary(binary).start().await.unwrap_err()
}

#[track_caller]
fn assert_says(error: &SandboxError, kind: SandboxErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    let shown = error.to_string();
    assert!(words.iter().all(|word| shown.contains(word)), "{shown}");
}

#[tokio::test]
async fn one_that_is_missing() {
    let error = refused(Path::new("/nowhere/server")).await;
    assert_says(&error, SandboxErrorKind::NoBinary, &["/nowhere/server", "npm install @sandbox-agent/cli@"]);
}

#[tokio::test]
async fn one_that_is_not_executable() {
    let folder = tempfile::tempdir().unwrap();
    let binary = script(&folder, "echo sandbox-agent 0.4.2", "644");
    let error = refused(&binary).await;
    let advice = format!("chmod +x {}", binary.display());
    assert_says(&error, SandboxErrorKind::NotExecutable, &["not executable", &advice]);
}

#[tokio::test]
async fn one_that_is_no_program_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("server");
    let mut write = Command::new("sh");
    write.args(["-c", r#"printf '\177ELF broken' > "$1"; chmod 755 "$1""#, "sh"]).arg(&binary);
    assert!(write.status().unwrap().success());
    assert_says(&refused(&binary).await, SandboxErrorKind::NotExecutable, &["can't be run here"]);
}

#[tokio::test]
async fn one_of_another_version() {
    let folder = tempfile::tempdir().unwrap();
    let binary = script(&folder, "echo sandbox-agent 0.1.7", "755");
    let error = refused(&binary).await;
    let words = ["0.1.7", "0.4.2 to 0.5", "install `@sandbox-agent/cli@0.4.2`"];
    assert_says(&error, SandboxErrorKind::WrongVersion, &words);
}

#[tokio::test]
async fn one_that_is_another_program() {
    let error = refused(Path::new("/bin/echo")).await;
    assert_says(&error, SandboxErrorKind::WrongVersion, &["/bin/echo", "asked for its version"]);
}

#[tokio::test]
async fn one_that_dies_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let body = r#"[ "$1" = --version ] && { echo sandbox-agent 0.4.2; exit; }
        echo "no space left, says $*" >&2
        exit 7"#;
    let binary = script(&folder, body, "755");
    let error = refused(&binary).await;
    assert_says(
        &error,
        SandboxErrorKind::ServerFailed,
        &["exited with 7", "no space left, says server --host", "--token …"],
    );
    processes::wait_until_gone(binary.to_str().unwrap(), &[]);
}

#[tokio::test]
async fn one_that_never_answers() {
    let folder = tempfile::tempdir().unwrap();
    let body = r#"[ "$1" = --version ] && { echo sandbox-agent 0.4.2; exit; }
        trap '' TERM
        echo "still thinking"
        sleep 3000"#;
    let binary = script(&folder, body, "755");
    let start = LocalSandbox::builder().binary(&binary).start_limit(std::time::Duration::from_millis(300));
    let error = start.start().await.unwrap_err();
    assert_says(&error, SandboxErrorKind::ServerFailed, &["did not become healthy", "still thinking"]);
    processes::wait_until_gone(binary.to_str().unwrap(), &[]);
}

#[tokio::test]
async fn an_sdk_tells_the_same() {
    let provider = LocalSandbox::builder().binary("/nowhere/server").provider();
    let error = SandboxAgent::start(provider).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Sandbox(SandboxErrorKind::NoBinary));
    assert!(error.to_string().contains("npm install"), "{error}");
}

/// In a process whose environment has none.
#[tokio::test]
async fn none_at_all() {
    if child::variable(NOTHING).is_some() {
        let error = SandboxAgent::start(LocalProvider::new()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Sandbox(SandboxErrorKind::NoBinary));
        let shown = error.to_string();
        assert!(shown.contains("`npm install @sandbox-agent/cli@0.4.2`"), "{shown}");
        assert!(shown.contains("SANDBOX_AGENT_BIN"), "{shown}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut alone = child::command("binaries::none_at_all", &[(NOTHING, "1"), ("PATH", "/nowhere")]);
    let output = alone.env_remove("SANDBOX_AGENT_BIN").current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
}
