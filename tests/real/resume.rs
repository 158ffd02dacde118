//! A second process resumes the session of the first.

use sandbox_agent_persist_sqlite::SqliteSessionPersistDriver;
use sandbox_agent_sdk::{ResumeOutcome, SandboxAgent};

use crate::support::{assert_sound, recorded, request, said, stored, updates};
use crate::{builder, child, server};

const URL: &str = "RESUME_URL";
const FILE: &str = "RESUME_FILE";

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn a_second_process_resumes_with_a_transcript() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db");
    let output =
        child::run("resume::the_first_process", &[(URL, server.url()), (FILE, file.to_str().unwrap())]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let driver = SqliteSessionPersistDriver::open(&file).await.unwrap();
    let before = stored(&driver, "one").await;
    assert_eq!(updates(&before), (1..=500).collect::<Vec<_>>());
    let sdk = builder(&server).persist(driver.clone()).connect().await.unwrap();
    let opened = sdk.resume_or_create(request("one")).await.unwrap();
    assert_eq!(opened.outcome, ResumeOutcome::Transcript);
    let session = opened.session;
    session.prompt("recall").await.unwrap();
    let events = stored(&driver, "one").await;
    assert_sound(&events);
    assert!(events[..before.len()] == before, "the record only grows");
    assert!(said(&events[before.len()..]).contains("remember the word plum"));
    assert!(recorded(&session).await == events, "stream and store say the same");
    sdk.close().await.unwrap();
}

/// The child of the test above; alone it has nothing to do.
#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn the_first_process() {
    let (Some(url), Some(file)) = (child::variable(URL), child::variable(FILE)) else { return };
    let driver = SqliteSessionPersistDriver::open(file).await.unwrap();
    let sdk = SandboxAgent::builder(url).persist(driver).connect().await.unwrap();
    let session = sdk.create_session(request("one")).await.unwrap();
    session.prompt("stream 500; say remember the word plum").await.unwrap();
    // Killed as it stands: what was stored is stored.
    std::process::exit(0);
}
