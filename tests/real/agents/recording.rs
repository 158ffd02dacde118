//! A session of OpenCode, recorded: the same one that `tests/transcript/` has, with its transcripts.

use std::path::Path;

use futures::{StreamExt, TryStreamExt};
use sandbox_agent_sdk::persist::{Inserted, RawValue, SessionPersistDriverExt};
use sandbox_agent_sdk::{
    MemorySessionPersistDriver, PermissionReply, PlainText, Session, SessionPersistDriver,
};

use super::opencode;
use super::stage::Stage;
use crate::support::{request, stored};

/// Where to write the recording; `cargo xtask record` sets it.
const VARIABLE: &str = "RECORD_SESSION_TO";
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcript/opencode.txt");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real server and OpenCode: cargo xtask test"]
async fn a_session_reads_as_the_recorded_one_does() {
    let stage = opencode::stage().await;
    let store = anywhere(&stage, &recorded(&stage).await).await;
    if let Some(path) = std::env::var_os(VARIABLE) {
        return write(&store, Path::new(&path)).await;
    }
    let text: String = PlainText::of(&store, "opencode").try_collect().await.unwrap();
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    assert_eq!(text, golden, "when OpenCode has changed, `cargo xtask record` records it anew");
}

/// A session with something of each kind.
async fn recorded(stage: &Stage) -> impl SessionPersistDriver + use<> {
    let (sdk, driver) = stage.sdk().await;
    let session = sdk.create_session(request("opencode").cwd(stage.repo())).await.unwrap();
    session.set_model("stub/other").await.unwrap();
    session.prompt("SAY There is a `plum`.").await.unwrap();
    permitted(&session, PermissionReply::Once).await;
    session.prompt("TODO").await.unwrap();
    permitted(&session, PermissionReply::Reject).await;
    sdk.close().await.unwrap();
    let (sdk, _) = stage.sdk().await;
    let session = sdk.resume_session("opencode").await.unwrap().session;
    session.prompt("WHO").await.unwrap();
    sdk.close().await.unwrap();
    driver
}

async fn permitted(session: &Session, reply: PermissionReply) {
    let turn = session.prompt("RUN");
    let asked = session.permission_requests().next().await.unwrap();
    session.respond(&asked.id, reply).await.unwrap();
    turn.await.unwrap();
}

/// The session without the folders and ports of this machine.
async fn anywhere(stage: &Stage, driver: &impl SessionPersistDriver) -> MemorySessionPersistDriver {
    let folder = stage.folder().display().to_string();
    let clean = |text: &str| text.replace(&folder, "").replace(&stage.model_url(), "http://model");
    let store = MemorySessionPersistDriver::new();
    let record = driver.get_session("opencode").await.unwrap().unwrap();
    let record = clean(&serde_json::to_string(&record).unwrap());
    store.update_session(serde_json::from_str(&record).unwrap()).await.unwrap();
    for mut event in stored(driver, "opencode").await {
        event.payload = RawValue::from_string(clean(event.payload.get())).unwrap();
        assert_eq!(store.insert_event("opencode", event).await.unwrap(), Inserted::Stored);
    }
    store
}

async fn write(store: &MemorySessionPersistDriver, path: &Path) {
    let mut lines = String::new();
    let mut export = store.export("opencode");
    while let Some(line) = export.next_line().await.unwrap() {
        lines.push_str(&line);
        lines.push('\n');
    }
    std::fs::write(path, lines).unwrap();
}
