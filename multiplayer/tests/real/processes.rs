//! Files and processes of the sandbox, for everybody.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sandbox_agent_multiplayer::{
    Call, Command, Content, ErrorKind, Frame, FrameBody, Participant, Person, ProcessState, Rights,
};
use sandbox_agent_sdk::MemorySessionPersistDriver;
use serde_json::json;

use crate::{open, owner, server, until};

fn ended(body: &FrameBody) -> bool {
    matches!(body, FrameBody::ProcessState(ProcessState { running: false, .. }))
}

/// All that a process wrote, by stream.
fn written(frames: &[Arc<Frame>], stream: &str) -> String {
    let mut bytes = Vec::new();
    for frame in frames {
        if let FrameBody::ProcessOutput(output) | FrameBody::ShellData(output) = &frame.body
            && output.stream.as_deref() == Some(stream)
        {
            assert!(!output.lost);
            bytes.extend(BASE64_STANDARD.decode(&output.data).unwrap());
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
#[ignore = "needs the real server"]
async fn everybody_sees_what_a_process_writes_and_how_it_ends() {
    let server = server().await;
    let workspace = open(&server, MemorySessionPersistDriver::new()).await;
    let (ada, bob) = (owner(&workspace, "ada").await, owner(&workspace, "bob").await);
    let mut frames = bob.frames().unwrap();
    let script =
        "for i in $(seq 1 500); do echo line $i; done; echo oops >&2; read word; echo got $word; exit 3";
    let id = ada.start_process(Command::new("sh").args(["-c", script])).await.unwrap();
    let text = |body: &FrameBody| matches!(body, FrameBody::ProcessOutput(output) if output.stream.as_deref() == Some("stderr"));
    let mut seen = until(&mut frames, text).await;
    ada.write_process(&id, b"hello\n").await.unwrap();
    seen.extend(until(&mut frames, ended).await);
    let lines: String = (1..=500).map(|i| format!("line {i}\n")).collect();
    assert_eq!(written(&seen, "stdout"), format!("{lines}got hello\n"));
    assert_eq!(written(&seen, "stderr"), "oops\n");
    let state = &workspace.snapshot().processes[&id];
    assert_eq!((state.running, state.exit_code), (false, Some(3)));
    workspace.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server"]
async fn a_terminal_is_shared() {
    let server = server().await;
    let workspace = open(&server, MemorySessionPersistDriver::new()).await;
    let (ada, bob) = (owner(&workspace, "ada").await, owner(&workspace, "bob").await);
    let mut frames = bob.frames().unwrap();
    let id = ada.start_process(Command::new("sh").args(["-i"]).tty()).await.unwrap();
    ada.resize_process(&id, 100, 30).await.unwrap();
    bob.write_process(&id, b"stty size; exit\n").await.unwrap();
    let seen = until(&mut frames, ended).await;
    assert!(written(&seen, "pty").contains("30 100"), "{}", written(&seen, "pty"));
    workspace.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server"]
async fn a_process_is_followed_on_when_the_workspace_is_opened_again() {
    let server = server().await;
    let driver = MemorySessionPersistDriver::new();
    let workspace = open(&server, driver.clone()).await;
    let ada = owner(&workspace, "ada").await;
    let mut frames = ada.frames().unwrap();
    let script = "echo before; read word; echo after; exit 0";
    let id = ada.start_process(Command::new("sh").args(["-c", script])).await.unwrap();
    until(&mut frames, |body| matches!(body, FrameBody::ProcessOutput(_))).await;
    drop((ada, frames));
    workspace.detach().await.unwrap();
    let workspace = open(&server, driver).await;
    let ada = owner(&workspace, "ada").await;
    let mut frames = ada.frames_after(0).unwrap();
    ada.write_process(&id, b"go\n").await.unwrap();
    let seen = until(&mut frames, ended).await;
    assert_eq!(written(&seen, "stdout"), "before\nafter\n");
    workspace.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server"]
async fn files_and_commands_are_for_who_may_use_the_sandbox() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b.bin").to_string_lossy().into_owned();
    let workspace = open(&server, MemorySessionPersistDriver::new()).await;
    let ada = owner(&workspace, "ada").await;
    for content in [Content::of("text ü"), Content::of(vec![0, 159, 146, 150])] {
        let call = Call::WriteFile { path: path.clone(), content: content.clone() };
        ada.call(call, 1000).await.unwrap();
        let read = ada.call(Call::ReadFile { path: path.clone() }, 1000).await.unwrap();
        assert_eq!(serde_json::from_str::<Content>(read.get()).unwrap(), content);
    }
    let listed = ada.list_files(&folder.path().join("a").to_string_lossy()).await.unwrap();
    assert_eq!(listed[0].name, "b.bin");
    let call =
        Call::read("exec", json!({ "command": "sh", "args": ["-c", "echo out; echo err >&2; exit 2"] }));
    let output: serde_json::Value =
        serde_json::from_str(ada.call(call.unwrap(), 1000).await.unwrap().get()).unwrap();
    assert_eq!(
        output,
        json!({ "exitCode": 2, "stdout": { "text": "out\n" }, "stderr": { "text": "err\n" } })
    );
    ada.delete_file(&path).await.unwrap();
    let large = ada.call(Call::Exec(Command::new("head").args(["-c", "9000", "/dev/zero"])), 1000).await;
    assert_eq!(*large.unwrap_err().kind(), ErrorKind::TooLarge { limit: 1000 });
    let member = workspace.visit(Participant::new(Person::new("eve"), Rights::MEMBER));
    for call in [
        Call::ReadFile { path: path.clone() },
        Call::Exec(Command::new("true")),
        Call::StartProcess(Command::new("true")),
        Call::EndProcess { process_id: "proc_1".into(), kill: true },
    ] {
        assert_eq!(*member.call(call, 1000).await.unwrap_err().kind(), ErrorKind::Refused);
    }
    workspace.close().await.unwrap();
}
