//! Many who look on.

use futures::future::join_all;
use serde_json::Value;

use crate::room::{Room, said};
use crate::scene::{play, sandbox, workspaces};

const CROWD: usize = 30;

/// The engine drops messages above what it carries, and says so to nobody: that many must not come to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_crowd_is_told_all_of_a_fast_turn_without_asking_for_any_of_it() {
    let sandbox = sandbox().await;
    play(workspaces(sandbox.url()), |actors| async move {
        let names: Vec<String> = (0..CROWD).map(|number| format!("p{number}")).collect();
        let crowd = join_all(names.iter().map(|name| Room::enter(actors.url(), "crowd", name))).await;
        crowd[0].prompt("fast", "stream 2000 rate=500; say done").await.unwrap();
        for room in &crowd {
            assert_eq!(room.over("fast").await["phase"], "done");
        }
        let stored = crowd[0].stored().await;
        assert!(said(&stored).ends_with("done"));
        let first = stored.iter().position(|frame| frame["type"] == "chat.user").unwrap();
        let of_turn = |frame: &&Value| frame["sequence"].as_u64() >= stored[first]["sequence"].as_u64();
        let last = stored.iter().rposition(|frame| frame["data"]["prompt"]["phase"] == "done").unwrap();
        for room in &crowd {
            let told = room.told().await;
            let told: Vec<&Value> = told.iter().filter(of_turn).take(last - first + 1).collect();
            let kept: Vec<&Value> = stored[first..=last].iter().collect();
            assert_eq!(told.len(), kept.len());
            assert_eq!(told, kept);
        }
    })
    .await;
}
