//! Local sandboxes have nothing in common.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sandbox_agent_sdk::{ErrorKind, LocalSandbox, SandboxAgent};

use crate::support::{recorded, request, said};
use crate::{processes, sandbox};

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn two_at_once_do_not_meet() {
    let (one, two) = tokio::join!(sandbox(), sandbox());
    assert_ne!(one.url(), two.url());
    assert_ne!(one.token(), two.token());
    assert_ne!(one.data_dir(), two.data_dir());
    for data in [one.data_dir(), two.data_dir()] {
        let mode = fs::metadata(data).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "nobody else may read {}", data.display());
    }

    for (sandbox, other) in [(&one, &two), (&two, &one)] {
        let wrong = SandboxAgent::builder(sandbox.url()).token(other.token()).connect().await.unwrap_err();
        assert_eq!(*wrong.kind(), ErrorKind::Unauthorized);
        let none = SandboxAgent::connect(sandbox.url()).await.unwrap_err();
        assert_eq!(*none.kind(), ErrorKind::Unauthorized);
        let shown = format!("{sandbox:?} {wrong:?} {none:?} {}", sandbox.log_tail());
        assert!(!shown.contains(one.token()) && !shown.contains(two.token()), "{shown}");
    }

    // The end of one is nothing to the other.
    let second = two.sdk().connect().await.unwrap();
    let session = second.create_session(request("one")).await.unwrap();
    let data = one.data_dir().to_owned();
    one.destroy().await.unwrap();
    assert!(!data.exists());
    session.prompt("say still here").await.unwrap();
    assert_eq!(said(&recorded(&session).await), "still here");
    two.destroy().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_drop_ends_it_and_a_folder_of_the_callers_stays() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kept"), "").unwrap();
    let sandbox =
        LocalSandbox::builder().data_dir(folder.path()).env("TEST_MARK", "seen").start().await.unwrap();
    let data = sandbox.data_dir().to_str().unwrap().to_owned();
    let running = processes::with(&data);
    let server = running.iter().find(|(_, name)| processes::is_server(name)).expect("it runs").0;
    let environment = fs::read(format!("/proc/{server}/environ")).unwrap();
    assert!(String::from_utf8_lossy(&environment).contains("TEST_MARK=seen"));
    assert!(sandbox.is_running());
    drop(sandbox);
    processes::wait_until_gone(&data, &[server]);
    assert!(folder.path().join("kept").exists());
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn what_its_desktop_keeps_is_in_its_folder() {
    let sandbox = LocalSandbox::builder().start().await.unwrap();
    let sdk = sandbox.sdk().connect().await.unwrap();
    let log = sdk.desktop().status().await.unwrap().runtime_log_path.unwrap();
    assert!(std::path::Path::new(&log).starts_with(sandbox.data_dir()), "{log}");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_start_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = LocalSandbox::builder().data_dir(&data).start();
    tokio::select! {
        biased;
        started = start => panic!("{started:?}"),
        () = async { while !data.exists() || processes::with(data.to_str().unwrap()).is_empty() { tokio::task::yield_now().await } } => {}
    }
    processes::wait_until_gone(data.to_str().unwrap(), &[]);
}
