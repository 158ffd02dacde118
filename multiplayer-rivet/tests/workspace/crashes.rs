//! What breaks during a turn, and what it comes to.

use std::sync::Arc;
use std::time::Duration;

use sandbox_agent_engine_harness::Engine;
use sandbox_agent_multiplayer::{ErrorKind, NewPrompt, Phase, PromptState};
use sandbox_agent_multiplayer_rivet::RivetWorkspaces;
use sandbox_agent_testkit::Sandbox;
use sandbox_agent_testkit::proxy::{Policy, Proxy, Way};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::follower::{Follower, said, times_sent};
use crate::process::HostProcess;
use crate::scene::{PATIENCE, TURN, named, play, sandbox, workspaces};

const TURN_OF_4_S: &str = "say begun; think 4000; say ended";

/// Two clients, with a turn under way, of a host in a process of its own.
struct Scene {
    sandbox: Sandbox,
    engine: Engine,
    host: HostProcess,
    ada: Follower,
    bob: Follower,
}

impl Scene {
    async fn begin() -> Self {
        let sandbox = sandbox().await;
        let url = sandbox.url().to_owned();
        let scene = Self::enter(sandbox, &url).await;
        scene.ada.prompt("turn", TURN_OF_4_S).await;
        scene.bob.hears("begun").await;
        scene
    }

    /// Both clients are here, and the host reaches the sandbox at this address.
    async fn enter(sandbox: Sandbox, url: &str) -> Self {
        let engine = Engine::start().await;
        let host = HostProcess::start(&engine.url(), url);
        let workspaces = RivetWorkspaces::new(engine.url());
        // The host may not have come to the engine yet.
        let made = async {
            loop {
                match workspaces.create(["team", "crash"], named("ada"), None).await {
                    Err(error) if *error.kind() == ErrorKind::Disconnected => {}
                    made => return made.unwrap(),
                }
            }
        };
        let ada = Follower::of(timeout(PATIENCE, made).await.expect("it is made"));
        let bob = Follower::enter(&engine.url(), "crash", "bob").await;
        Self { sandbox, engine, host, ada, bob }
    }

    fn another_host(&self) -> HostProcess {
        HostProcess::start(&self.engine.url(), self.sandbox.url())
    }

    /// The turn ended well, ran once, and both clients have all of it.
    async fn ends_well(&self) {
        for follower in [&self.ada, &self.bob] {
            let prompt = follower.over("turn").await;
            assert_eq!(prompt.phase, Phase::Done, "{prompt:?}");
            let line = follower.agrees_with_the_store().await;
            assert_eq!(said(&line), "begunended");
            assert_eq!(times_sent(&line, "turn"), 1);
        }
        assert_eq!(self.sandbox.prompts_received().len(), 1);
    }

    /// What comes next is as if nothing had been.
    async fn goes_on(&self) {
        self.ada.prompt("next", "say next").await;
        assert_eq!(self.ada.over("next").await.phase, Phase::Done);
        assert_eq!(said(&self.bob.agrees_with_the_store().await), "begunendednext");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_host_that_is_asked_to_end_leaves_the_turn_to_the_next() {
    let _turn = TURN.lock().await;
    let mut scene = Scene::begin().await;
    let next = scene.another_host();
    std::mem::replace(&mut scene.host, next).ends().await;
    scene.ends_well().await;
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_host_that_is_killed_loses_nothing() {
    let _turn = TURN.lock().await;
    let mut scene = Scene::begin().await;
    let next = scene.another_host();
    std::mem::replace(&mut scene.host, next).dies();
    let since = Instant::now();
    let asked = timeout(PATIENCE, scene.ada.client.prompt(NewPrompt::with_id("asked", "say asked"))).await;
    let asked = asked.expect("whoever calls is answered in time");
    println!("a call during the silence: {asked:?} after {:?}", since.elapsed());
    for follower in [&scene.ada, &scene.bob] {
        assert_eq!(follower.over("turn").await.phase, Phase::Done);
    }
    if let Err(error) = &asked {
        assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Disconnected), "{error}");
        // What became of it is for the caller to find out: the same id again is safe.
        scene.ada.prompt("asked", "say asked").await;
    }
    assert_eq!(scene.ada.over("asked").await.phase, Phase::Done);
    println!("all was done after {:?}", since.elapsed());
    let line = scene.bob.agrees_with_the_store().await;
    assert_eq!(said(&line), "begunendedasked");
    assert_eq!((times_sent(&line, "turn"), times_sent(&line, "asked")), (1, 1));
    assert_eq!(scene.sandbox.prompts_received().len(), 2);
    scene.ada.agrees_with_the_store().await;
}

/// Nobody can know whether the agent has such a prompt, so it is not sent again; and nobody waits for it for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_host_that_dies_before_its_prompt_arrives_leaves_an_answer_within_a_minute() {
    let _turn = TURN.lock().await;
    let sandbox = sandbox().await;
    let address = sandbox.url().trim_start_matches("http://").parse().unwrap();
    let proxy = Proxy::start(address).await.unwrap();
    let mut scene = Scene::enter(sandbox, proxy.url()).await;
    scene.ada.prompt("first", "say first").await;
    assert_eq!(scene.bob.over("first").await.phase, Phase::Done);

    let posted = Arc::new(Notify::new());
    let seen = posted.clone();
    proxy.policy(move |line| {
        if !line.starts_with("POST") {
            return Policy::pass();
        }
        seen.notify_one();
        Policy::pass().lose(Way::Up)
    });
    proxy.cut_all();
    scene.ada.prompt("lost", "say lost").await;
    timeout(PATIENCE, posted.notified()).await.expect("the prompt is on its way");
    let next = scene.another_host();
    std::mem::replace(&mut scene.host, next).dies();

    let since = Instant::now();
    for follower in [&scene.ada, &scene.bob] {
        let prompt = follower.over("lost").await;
        assert_eq!(prompt.phase, Phase::Failed);
        let error = prompt.error.expect("it says why");
        assert_eq!(
            (error.code.as_str(), error.delivery.as_deref()),
            ("timed_out", Some("unknown")),
            "{error:?}"
        );
    }
    println!("a prompt that never arrived was given up after {:?}", since.elapsed());
    assert!(since.elapsed() < PATIENCE);
    scene.ada.prompt("next", "say next").await;
    assert_eq!(scene.ada.over("next").await.phase, Phase::Done);
    let line = scene.bob.agrees_with_the_store().await;
    assert_eq!((said(&line), times_sent(&line, "lost")), ("firstnext".to_owned(), 1));
    assert_eq!(scene.sandbox.prompts_received().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn an_engine_that_is_killed_and_comes_back_has_it_all() {
    let _turn = TURN.lock().await;
    let mut scene = Scene::begin().await;
    scene.engine.crash().await;
    let since = Instant::now();
    scene.ends_well().await;
    println!("after the engine's crash it took {:?}", since.elapsed());
    scene.goes_on().await;
}

/// The prompt that was under way when its sandbox or agent died.
async fn failed(ada: &Follower) -> PromptState {
    let since = Instant::now();
    let prompt = ada.over("turn").await;
    assert!(since.elapsed() < PATIENCE);
    assert_eq!(prompt.phase, Phase::Failed);
    assert!(prompt.error.as_ref().is_some_and(|error| error.code == "sandbox"), "{prompt:?}");
    prompt
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_sandbox_that_dies_fails_the_turn_and_the_next_one_runs() {
    let sandbox = Arc::new(sandbox().await);
    play(workspaces(sandbox.url()), |actors| async move {
        let ada = Follower::enter(actors.url(), "dies", "ada").await;
        ada.prompt("turn", "say begun; think 60000; say ended").await;
        ada.hears("begun").await;
        sandbox.restart().await.unwrap();
        failed(&ada).await;
        ada.prompt("next", "say next").await;
        assert_eq!(ada.over("next").await.phase, Phase::Done);
        let line = ada.agrees_with_the_store().await;
        assert_eq!((said(&line), times_sent(&line, "turn")), ("begunnext".to_owned(), 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn an_agent_that_exits_fails_the_turn_and_the_next_one_runs() {
    let sandbox = sandbox().await;
    play(workspaces(sandbox.url()), |actors| async move {
        let ada = Follower::enter(actors.url(), "exits", "ada").await;
        ada.prompt("turn", "say begun; think 300; exit 7").await;
        failed(&ada).await;
        ada.prompt("next", "say next").await;
        assert_eq!(ada.over("next").await.phase, Phase::Done);
        let line = ada.agrees_with_the_store().await;
        assert_eq!((said(&line), times_sent(&line, "turn")), ("begunnext".to_owned(), 1));
    })
    .await;
}

/// A sandbox that is away when the actor starts: whoever calls is told so, and the workspace opens when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_sandbox_that_is_away_is_named_to_whoever_calls_and_waited_for() {
    let sandbox = Arc::new(sandbox().await);
    let limits = sandbox_agent_multiplayer_rivet::ActorLimits::default().open(Duration::from_secs(2));
    play(workspaces(sandbox.url()).actor_limits(limits), |actors| async move {
        sandbox.stop_listening().await;
        let client = crate::room::client(actors.url());
        let handle = crate::room::handle(&client, "away", "ada");
        let refusal = async {
            loop {
                let error = handle.action("getSessionInfo", Vec::new()).await.unwrap_err().to_string();
                // Until the host has come to the engine, that is who answers.
                if error.contains("(user/") {
                    return error;
                }
            }
        };
        let error = timeout(PATIENCE, refusal).await.expect("the host says why");
        assert!(error.contains("(user/timed_out)") || error.contains("(user/sandbox)"), "{error}");
        sandbox.listen_again().await.unwrap();
        let ada = Follower::enter(actors.url(), "away", "ada").await;
        ada.prompt("p", "say here").await;
        assert_eq!(ada.over("p").await.phase, Phase::Done);
        ada.agrees_with_the_store().await;
    })
    .await;
}

/// The engine gives the workspace of a host that is silent to another one, and then there are two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the engine at RIVET_ENGINE_BIN"]
async fn a_host_that_was_frozen_and_wakes_beside_its_successor_spoils_nothing() {
    let _turn = TURN.lock().await;
    let scene = Scene::begin().await;
    scene.host.freezes();
    let next = scene.another_host();
    for follower in [&scene.ada, &scene.bob] {
        assert_eq!(follower.over("turn").await.phase, Phase::Done);
    }
    scene.host.thaws();
    // Whatever the old one still has to write, it tries now.
    for turn in 0..20 {
        let id = format!("turn {turn}");
        scene.ada.prompt(&id, "stream 20 rate=100").await;
        assert_eq!(scene.bob.over(&id).await.phase, Phase::Done);
    }
    let line = scene.ada.agrees_with_the_store().await;
    assert_eq!(times_sent(&line, "turn"), 1);
    assert!(said(&line).starts_with("begunendedu1 "), "{}", said(&line));
    assert_eq!(scene.sandbox.prompts_received().len(), 21);
    assert_eq!(scene.bob.agrees_with_the_store().await.len(), line.len());
    drop(next);
}
