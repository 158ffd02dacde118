//! Each example that runs on the engine, as a reader would run it: with the real engine, found by
//! `RIVET_ENGINE_BIN`, and the real server, whose agent does what the prompt says.
#![allow(clippy::unwrap_used)]

mod scene;

use scene::{Scene, printed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN, the server at SANDBOX_AGENT_BIN, and the examples built"]
async fn one_asks_and_another_sees_the_same() {
    let scene = Scene::set().await;
    let server = scene.start("multiplayer_server", &[]);
    let mut bob = scene.start("multiplayer_client", &["bob"]);
    bob.prints("are here").await;
    let ada = scene.start("multiplayer_client", &["ada", "say plum"]).ends().await;
    let bob = bob.ends().await;
    for seen in [&ada, &bob] {
        printed(seen, &["ada: say plum", "agent: plum", "ada's prompt is over: Done"]);
    }
    let eve = scene.start("multiplayer_client", &["eve"]).fails().await;
    printed(&eve, &["log in first"]);
    printed(&server.ends_when_asked().await, &["ada says: say plum"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN, the server at SANDBOX_AGENT_BIN, and the examples built"]
async fn what_one_agent_writes_another_reads() {
    let scene = Scene::set().await;
    let folder = std::env::temp_dir().join("agent_to_agent");
    let write = format!("write {} fn login() {{}}", folder.join("coder/login.rs").display());
    let read = format!("read {}", folder.join("reviewer/login.rs").display());
    let seen = scene.start("agent_to_agent", &[&format!("{write}; say written"), &read]).ends().await;
    printed(&seen, &["coder: written", "13 bytes go to the reviewer", "reviewer: fn login() {}"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN, the server at SANDBOX_AGENT_BIN, and the examples built"]
async fn a_crash_repeats_no_step() {
    let mut scene = Scene::set().await;
    let turn = "say begun; think 3000; say fixed";
    scene.variable("CRASH", "1");
    let seen = scene.start("durable_workflow", &[turn]).fails().await;
    printed(&seen, &["workflow: clone-repo", "workflow: fix-bug", "the host crashes while the agent works"]);
    scene.no_variable("CRASH");
    let seen = scene.start("durable_workflow", &[turn]).ends().await;
    printed(
        &seen,
        &[
            "workflow: clone-repo is done already",
            "workflow: fix-bug\n",
            "workflow: asked the agent, who knows it",
            "workflow: run-tests\n",
            "result: \"the repository of 42; the agent ended with end_turn; the tests of 42 pass\"",
            "the agent was asked 1 times",
        ],
    );
    let seen = scene.start("durable_workflow", &[turn]).ends().await;
    printed(&seen, &["result: \"the repository of 42", "the agent was asked 1 times"]);
    assert!(!seen.contains("workflow: run-tests"), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN, the server at SANDBOX_AGENT_BIN, and the examples built"]
async fn what_is_planned_comes_by_itself() {
    let scene = Scene::set().await;
    let seen = scene.start("scheduled_agent", &["say audited"]).ends().await;
    printed(
        &seen,
        &[
            "calendar: begins",
            "calendar: ran a command, exit code Some(0)",
            "calendar: sleeps",
            "calendar: wakes",
            "calendar: ran a command, exit code Some(0)",
            "calendar: say audited",
            "agent: audited",
        ],
    );
    printed(&seen, &["calendar: asked the agent"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN, the server at SANDBOX_AGENT_BIN, and the examples built"]
async fn memory_outlives_sleep() {
    let scene = Scene::set().await;
    let seen = scene.start("long_term_memory", &[]).ends().await;
    printed(
        &seen,
        &[
            "memory: begins",
            "memory: sleeps",
            "memory: wakes",
            "remembered: [\"The API is served on port 8080\"]",
            "agent: You said: On which port is the API?",
            "2 memories",
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN, the server at SANDBOX_AGENT_BIN, and the examples built"]
async fn permissions_are_answered_by_the_server() {
    let scene = Scene::set().await;
    let seen = scene.start("auto_approval", &["ask Delete build/"]).ends().await;
    printed(
        &seen,
        &[
            "server: allowed \"Delete build/\"",
            "answered by \"host\"",
            "agent: permission: allow-once",
            "it is over: Done",
        ],
    );
}
