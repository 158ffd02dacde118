//! A JavaScript client of the engine's, on a workspace that a Rust client is in.

use std::process::Stdio;

use sandbox_agent_multiplayer::Phase;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::follower::{Follower, said, times_sent};
use crate::scene::{PATIENCE, play, sandbox, workspaces};

/// The folder that has the client, and the program that uses it.
const FOLDER: &str = "ENGINE_JAVASCRIPT";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN, and its JavaScript client at ENGINE_JAVASCRIPT"]
async fn a_page_takes_part_as_a_rust_client_does() {
    let folder = std::env::var_os(FOLDER).unwrap_or_else(|| panic!("set {FOLDER}; `cargo xtask test` does"));
    let sandbox = sandbox().await;
    play(workspaces(sandbox.url()), |actors| async move {
        let ada = Follower::enter(actors.url(), "page", "ada").await;
        ada.prompt("from-rust", "say from Rust; ").await;
        assert_eq!(ada.over("from-rust").await.phase, Phase::Done);

        let mut node = Command::new("node");
        node.arg("member.mjs")
            .args([actors.url(), "page"])
            .current_dir(&folder)
            // Its package is not installed.
            .env("CBOR_NATIVE_ACCELERATION_DISABLED", "true")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let output = timeout(PATIENCE, node.output()).await.expect("the page comes to its end").unwrap();
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let page: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();

        assert_eq!(page["accepted"]["known"], false);
        assert_eq!(page["prompt"]["phase"], "done");
        let refused = &page["observer"];
        assert_eq!((&refused["group"], &refused["code"]), (&json!("user"), &json!("refused")));
        assert_eq!(refused["metadata"]["code"], "refused");
        assert_eq!(page["stranger"]["message"], "say who you are");

        let line = ada.agrees_with_the_store().await;
        assert!(said(&line).starts_with("from Rustfrom JavaScriptu1 "), "{}", said(&line));
        assert_eq!(times_sent(&line, "from-javascript"), 1);
        let seen = page["frames"].as_array().unwrap();
        assert!(seen.len() > 300, "{}", seen.len());
        for (seen, kept) in seen.iter().zip(&line) {
            let kept: Value = serde_json::from_slice(&kept.json()).unwrap();
            assert_eq!(*seen, kept);
        }
    })
    .await;
}
