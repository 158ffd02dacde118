//! Whatever the transport does, each subscriber has just the line's frames, and the agent each prompt once.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use sandbox_agent_multiplayer::{
    Call, ClientFrames, ClientLimits, ErrorKind, FrameBody, InProcess, NewPrompt, Phase, Workspace,
    WorkspaceClient,
};
use sandbox_agent_sdk::Delivery;
use tokio::time::{sleep, timeout};

use crate::shaky::{Dice, Shaky};
use crate::{PATIENCE, member, sandbox, workspace};

const CLIENTS: u64 = 3;
const PROMPTS: u64 = 3;

fn limits(window_bytes: usize) -> ClientLimits {
    ClientLimits::default()
        .check(Duration::from_millis(300))
        .answer(Duration::from_millis(500))
        .connect(Duration::from_secs(1))
        .reconnect(Duration::from_millis(300))
        .window_bytes(window_bytes)
        .ahead_bytes(32 * 1024)
}

/// Frames of a subscriber up to `last`, with pauses where it is slow.
async fn read(mut frames: ClientFrames, last: u64, slow: bool) -> Vec<(u64, String)> {
    let mut read = Vec::new();
    while frames.position() < Some(last) {
        let frame = frames.recv().await.unwrap().unwrap();
        read.push((frame.from, String::from_utf8(frame.json().to_vec()).unwrap()));
        if slow && frame.sequence.is_multiple_of(20) {
            sleep(Duration::from_millis(2)).await;
        }
    }
    read
}

async fn prompts(client: &WorkspaceClient, name: &str) {
    for at in 0..PROMPTS {
        let prompt = NewPrompt::with_id(format!("{name}-{at}"), format!("say {name}-{at}; stream 60"));
        let id = prompt.prompt_id.clone();
        // Its id makes it safe to send again.
        while let Err(error) = client.prompt(prompt.clone()).await {
            assert_eq!(*error.kind(), ErrorKind::TimedOut);
        }
        let state = client.wait_for_prompt(&id).await.unwrap();
        assert_eq!(state.phase, Phase::Done, "{:?}", state.error);
    }
}

async fn line(workspace: &Workspace) -> Vec<(u64, String)> {
    let last = workspace.snapshot().sequence;
    let host = workspace.host();
    let mut frames = host.frames_after(0).unwrap();
    let mut line = Vec::new();
    while frames.position() < last {
        let frame = frames.recv().await.unwrap().unwrap();
        line.push((frame.from, String::from_utf8(frame.json().to_vec()).unwrap()));
    }
    line
}

async fn run(seed: u64) {
    let sandbox = sandbox().await;
    let workspace = workspace(&sandbox).await;
    let mut clients = Vec::new();
    let mut reading = Vec::new();
    let mut dice = Vec::new();
    let mut connections = Vec::new();
    for at in 0..CLIENTS {
        let name = format!("c{at}");
        let plan = Dice::new(seed * CLIENTS + at);
        let shaky = Shaky::new(InProcess::new(member(&workspace, &name).await), plan.clone());
        connections.push(shaky.connections.clone());
        let window = [16 * 1024, 1024 * 1024, 0][at as usize];
        let client = WorkspaceClient::builder(shaky).limits(limits(window)).connect().await.unwrap();
        for slow in [true, false] {
            reading.push((client.frames_after(0), 0, slow));
            let now = client.frames();
            let position = now.position().unwrap();
            reading.push((now, position, slow));
        }
        dice.push(plan);
        clients.push((name, client));
    }
    let observer = clients[0].1.clone();
    let working = join_all(clients.iter().map(|(name, client)| prompts(client, name)));
    timeout(6 * PATIENCE, working).await.expect("each prompt comes to its end");

    dice.iter().for_each(Dice::calm);
    // Who drives and who is here does not change any more, so that the line stands still.
    let line = line(&workspace).await;
    let last = workspace.snapshot().sequence;
    let read = join_all(reading.into_iter().map(|(frames, from, slow)| async move {
        (from, timeout(PATIENCE, read(frames, last, slow)).await.expect("all that there is comes"))
    }));
    for (from, read) in read.await {
        let wanted: Vec<_> = line.iter().filter(|(first, _)| *first > from).cloned().collect();
        assert!(read == wanted, "seed {seed}: {} frames of {}", read.len(), wanted.len());
    }
    for (_, client) in &clients {
        let same = async {
            while client.snapshot() != workspace.snapshot() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, same).await.expect("the snapshot is the workspace's");
    }
    let mut said: HashMap<String, u32> = HashMap::new();
    let mut frames = observer.frames_after(0);
    while frames.position() < Some(last) {
        if let FrameBody::ChatUser(chat) = &frames.recv().await.unwrap().unwrap().body {
            *said.entry(chat.prompt_id.clone()).or_default() += 1;
        }
    }
    assert_eq!(said.len() as u64, CLIENTS * PROMPTS);
    assert!(said.values().all(|times| *times == 1), "{said:?}");
    assert_eq!(sandbox.prompts_received().len() as u64, CLIENTS * PROMPTS);
    let tries: u32 = connections.iter().map(|tries| tries.load(Ordering::Relaxed)).sum();
    assert!(u64::from(tries) > CLIENTS, "the plan broke nothing");
    workspace.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_subscriber_has_just_the_lines_frames_and_the_agent_each_prompt_once() {
    for seed in 0..4 {
        run(seed).await;
    }
}

/// `NotSent` means not at all, an answer means once, and whatever else at most once.
#[tokio::test]
async fn what_is_not_safe_to_repeat_is_made_at_most_once() {
    let sandbox = sandbox().await;
    let workspace = workspace(&sandbox).await;
    let plan = Dice::new(7);
    let shaky = Shaky::new(InProcess::new(member(&workspace, "ada").await), plan.clone());
    let arrived = shaky.arrived.clone();
    let client = WorkspaceClient::builder(shaky).limits(limits(1024 * 1024)).connect().await.unwrap();
    let (mut answered, mut unknown) = (0, 0);
    for round in 0..150 {
        // There is no such prompt, which is an answer as good as any.
        let prompt_id = round.to_string();
        let error = client.withdraw(&prompt_id).await.unwrap_err();
        let call = Call::WithdrawPrompt { prompt_id };
        let times = arrived.lock().unwrap().iter().filter(|arrived| **arrived == call).count();
        match error.delivery() {
            None => {
                assert_eq!((error.kind(), times), (&ErrorKind::NotFound, 1));
                answered += 1;
            }
            Some(Delivery::NotSent) => assert_eq!(times, 0),
            _ => {
                assert!(times <= 1, "{times} times: {error}");
                unknown += 1;
            }
        }
    }
    assert!(answered > 0 && unknown > 0, "{answered} answered, {unknown} unknown");
    workspace.close().await.unwrap();
}
