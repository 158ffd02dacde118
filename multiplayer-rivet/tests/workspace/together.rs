//! Several people in one workspace.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::room::{Room, client, said, times_sent};
use crate::scene::{PATIENCE, play, sandbox, workspaces};
use rivetkit_client::GetOptions;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn two_see_the_same_line_and_a_prompt_returns_at_once() {
    let sandbox = sandbox().await;
    play(workspaces(sandbox.url()), |actors| async move {
        let ada = Room::enter(actors.url(), "one", "ada").await;
        let bob = Room::enter(actors.url(), "one", "bob").await;
        let at = Instant::now();
        let accepted = ada.prompt("p1", "stream 200; think 1500; say done").await.unwrap();
        assert!(at.elapsed() < Duration::from_secs(1), "{:?}", at.elapsed());
        assert_eq!((&accepted["phase"], &accepted["known"]), (&json!("queued"), &json!(false)));
        assert_eq!(ada.over("p1").await["phase"], "done");
        assert_eq!(bob.over("p1").await["phase"], "done");

        let error = bob.prompt("p2", "say no").await.unwrap_err();
        assert!(error.contains("(user/refused)"), "{error}");
        assert!(error.contains("\"code\": \"refused\""), "{error}");

        let stored = ada.stored().await;
        assert!(said(&stored).ends_with("done"));
        assert_eq!(times_sent(&stored, "p1"), 1);
        for room in [&ada, &bob] {
            let told = room.told().await;
            assert!(told.len() > 200, "{}", told.len());
            for frame in told {
                assert!(stored.contains(&frame), "{frame}");
            }
        }
        let info = bob.call("getSessionInfo", json!({})).await.unwrap();
        assert_eq!(info["workspace"], "team/one");
        assert_eq!(
            info["here"],
            json!([{ "id": "ada", "program": false }, { "id": "bob", "program": false }])
        );
        // A call over HTTP is a connection of its own, and nobody who is here.
        let info = ada.handle.action("getSessionInfo", vec![]).await.unwrap();
        assert_eq!(info["here"].as_array().unwrap().len(), 2);
        bob.connection.dispose().await;
        ada.until(|frame| {
            frame["type"] == "presence"
                && frame["data"]["here"].as_array().unwrap().len() == 1
                && frame["sequence"].as_u64() > info["sequence"].as_u64()
        })
        .await;

        let client = client(actors.url());
        let params = Some(json!({ "token": "bad", "name": "eve" }));
        let eve = client.get("workspace", vec!["team".into(), "one".into()], GetOptions { params }).unwrap();
        let refused = timeout(PATIENCE, eve.action("getSessionInfo", vec![])).await.unwrap().unwrap_err();
        assert!(refused.to_string().contains("(user/refused): say who you are"), "{refused}");
    })
    .await;
}
