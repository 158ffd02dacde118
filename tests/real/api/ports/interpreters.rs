//! Whatever runs the relay: each carries the same, and one that does not work is passed over.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use sandbox_agent_sdk::{ErrorKind, SandboxAgent};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};

use super::services::{echo, patient};
use super::{LARGE, is_same_there_and_back, nothing_is_left};
use crate::api::seeded::Seeded;
use crate::builder;

/// Where a program really is: what is found first may be a script of a version manager's, that needs a shell.
fn path_of(program: &str) -> PathBuf {
    let (script, args): (_, &[_]) = match program {
        "python3" => ("exec python3 -c 'import sys; print(sys.executable)'", &[]),
        _ => ("command -v \"$1\"", &["sh", program]),
    };
    let found = std::process::Command::new("sh").args(["-c", script]).args(args).output().unwrap();
    assert!(found.status.success(), "no {program} here");
    String::from_utf8(found.stdout).unwrap().trim().into()
}

/// A server whose sandbox has these programs alone.
pub(super) async fn having(programs: &[&str]) -> (RealServer, SandboxAgent, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for program in programs {
        symlink(path_of(program), folder.path().join(program)).unwrap();
    }
    let options = RealServerOptions::new().env("PATH", folder.path().to_str().unwrap());
    let server = RealServer::start(options).await.unwrap();
    let sdk = builder(&server).connect().await.unwrap();
    (server, sdk, folder)
}

async fn carries_whole(program: &str) {
    let (_server, sdk, _path) = having(&["sh", program]).await;
    let ports = sdk.ports();
    let (echo, patient) = (echo().await, patient().await);
    for length in [0, 1, 70_000, LARGE] {
        is_same_there_and_back(ports.connect(echo).await.unwrap(), &Seeded(7).bytes(length)).await;
    }
    // The end of what is written arrives, and does not end what is read.
    is_same_there_and_back(ports.connect(patient).await.unwrap(), &Seeded(9).bytes(LARGE)).await;
    let refused = ports.connect(1).await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::PortRefused { port: 1 }, "{refused}");
    nothing_is_left(&sdk.processes()).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn perl_carries_every_byte() {
    carries_whole("perl").await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn python_carries_every_byte() {
    carries_whole("python3").await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn node_carries_every_byte() {
    carries_whole("node").await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_sandbox_without_any_of_them_is_told_what_to_install() {
    let (_server, sdk, _path) = having(&["sh"]).await;
    let error = sdk.ports().connect(80).await.unwrap_err();
    let ErrorKind::ProgramMissing { any_of } = error.kind() else { panic!("{error:?}") };
    assert_eq!(*any_of, ["perl", "python3", "node"]);
    nothing_is_left(&sdk.processes()).await;
    let (_server, sdk, _path) = having(&[]).await;
    let error = sdk.ports().connect(80).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::ProgramMissing { any_of: vec!["sh".to_owned()] }, "{error:?}");
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn an_interpreter_that_does_not_work_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    for program in ["sh", "python3"] {
        symlink(path_of(program), folder.path().join(program)).unwrap();
    }
    let perl = folder.path().join("perl");
    std::fs::write(&perl, "#!/bin/sh\nexit 2\n").unwrap();
    std::fs::set_permissions(&perl, std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = RealServer::start(RealServerOptions::new().env("PATH", folder.path().to_str().unwrap()))
        .await
        .unwrap();
    let sdk = builder(&server).connect().await.unwrap();
    is_same_there_and_back(sdk.ports().connect(echo().await).await.unwrap(), b"hello").await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn the_sandboxs_settings_of_an_interpreter_are_not_its_relays() {
    for (program, name, setting) in [
        ("perl", "PERL5OPT", "-MNo::Such"),
        ("perl", "PERL_UNICODE", "SDA"),
        ("node", "NODE_OPTIONS", "--no-such"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for program in ["sh", program] {
            symlink(path_of(program), folder.path().join(program)).unwrap();
        }
        let options =
            RealServerOptions::new().env("PATH", folder.path().to_str().unwrap()).env(name, setting);
        let server = RealServer::start(options).await.unwrap();
        let sdk = builder(&server).connect().await.unwrap();
        is_same_there_and_back(sdk.ports().connect(echo().await).await.unwrap(), &Seeded(19).bytes(70_000))
            .await;
    }
}
