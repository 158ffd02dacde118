//! What the TypeScript SDK wrote: as it was committed, and made anew.

use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use serde_json::json;

use crate::peer;
use crate::seen::seen;
use crate::store::Kind;
use crate::support::{AGENT, assert_sound, said, stored};

const UNICODE: &str = "ünï/会話 🚀";

async fn fixture_opens(kind: Kind) {
    let (_folder, file) = kind.copy();
    let store = kind.open(&file).await;
    let sessions = store.sessions().await;
    let ids: Vec<_> = sessions.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(ids, ["turns", UNICODE, "chosen", "ended"]);
    let destroyed: Vec<_> = sessions.iter().map(|record| record.destroyed_at.is_some()).collect();
    assert_eq!(destroyed, [false, false, false, true]);
    let server =
        json!({"name": "none", "command": "/bin/false", "args": [], "env": [{"name": "A", "value": "b"}]});
    assert_eq!(sessions[2].session_init, Some(json!({"cwd": "/", "mcpServers": [server]})));
    for (id, text) in [
        ("turns", "remember the word plumoveru1 u2 u3 u4 u5 overtwicetwiceover"),
        (UNICODE, "Grüße, 世界! 👩‍👩‍👧 \u{2028} \"quoted\" \\ e\u{301}over"),
        ("chosen", "mode: plan model: large config: {\"model\":\"large\"}over"),
        ("ended", "so longover"),
    ] {
        let events = stored(&*store.driver, id).await;
        assert_sound(&events);
        assert_eq!(said(&events), text);
        assert!(events.iter().all(|event| event.session_id == id));
    }
    store.close().await;
}

#[tokio::test]
async fn a_database_of_the_typescript_sdk_opens() {
    fixture_opens(Kind::Sqlite).await;
}

#[tokio::test]
async fn a_state_of_the_typescript_sdk_opens() {
    fixture_opens(Kind::State).await;
    let (_folder, file) = Kind::State.copy();
    let store = Kind::State.open(&file).await;
    let chosen = store.driver.get_session("chosen").await.unwrap().unwrap();
    assert_eq!(chosen.modes.unwrap()["currentModeId"], "plan");
    assert_eq!(chosen.config_options.unwrap()[0]["currentValue"], "large");
}

async fn fixture_is_what_comes_again(kind: Kind) {
    let server = RealServer::start(RealServerOptions::new()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let anew = folder.path().join(kind.file());
    peer::run("make", &json!({"url": server.url(), "agent": AGENT, "file": anew})).await;
    let (_copied, copy) = kind.copy();
    let made = folder.path().join("made");
    std::fs::copy(&anew, &made).unwrap();
    let (anew, committed) = (kind.open(&anew).await, kind.open(&copy).await);
    if seen(&anew).await != seen(&committed).await {
        let kept = std::env::temp_dir().join(kind.file());
        std::fs::copy(&made, &kept).unwrap();
        panic!("{} is another than {}", kept.display(), kind.fixture().display());
    }
    anew.close().await;
    committed.close().await;
}

#[tokio::test]
#[ignore = "needs the real server and the TypeScript SDK: cargo xtask test"]
async fn the_database_made_anew_is_the_one_that_was_committed() {
    fixture_is_what_comes_again(Kind::Sqlite).await;
}

#[tokio::test]
#[ignore = "needs the real server and the TypeScript SDK: cargo xtask test"]
async fn the_state_made_anew_is_the_one_that_was_committed() {
    fixture_is_what_comes_again(Kind::State).await;
}
