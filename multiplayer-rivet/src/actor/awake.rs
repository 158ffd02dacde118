//! Keeps the actor awake while something is on its way.

use rivetkit_core::KeepAwakeRegion;
use sandbox_agent_multiplayer::{Activity, Frames, Phase, Result, Snapshot, Workspace};
use tokio_util::sync::CancellationToken;

use super::engine::Engine;

/// How many frames are taken at once.
const FRAMES: usize = 1024;

/// What a workspace does, as its frames tell it.
pub(super) struct Watch {
    now: Snapshot,
    frames: Frames,
}

impl Watch {
    pub(super) fn begin(workspace: &Workspace) -> Result<Self> {
        let (now, frames) = workspace.host().subscribe()?;
        Ok(Self { now, frames })
    }

    /// Until the line ends, or the actor stops.
    pub(super) async fn run(mut self, engine: Engine, stop: CancellationToken) {
        let mut awake: Option<KeepAwakeRegion> = None;
        loop {
            match (is_busy(&self.now), &awake) {
                (true, None) => awake = Some(engine.stay_awake()),
                (false, Some(_)) => awake = None,
                _ => {}
            }
            let frames = tokio::select! {
                frames = self.frames.recv_many(FRAMES) => frames,
                () = stop.cancelled() => return,
            };
            let Some(Ok(frames)) = frames else { return };
            for frame in frames {
                self.now.apply(frame.sequence, &frame.body);
            }
        }
    }
}

/// Whether something is on its way that an actor which sleeps would not see.
fn is_busy(now: &Snapshot) -> bool {
    let prompts = now.prompts.iter().any(|prompt| matches!(prompt.phase, Phase::Queued | Phase::Running));
    let busy = [Activity::Connecting, Activity::Running, Activity::WaitingForPermission];
    prompts || now.sessions.values().any(|session| busy.contains(&session.state))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sandbox_agent_multiplayer::Frame;
    use serde_json::{Value, json};

    use super::*;

    fn apply(now: &mut Snapshot, sequence: u64, kind: &str, data: Value) {
        let frame = json!({ "sequence": sequence, "at": 1, "type": kind, "data": data }).to_string();
        now.apply(sequence, &Frame::from_json(&frame).unwrap().body);
    }

    #[test]
    fn prompts_on_their_way_and_agents_at_work_are_worth_staying_awake_for() {
        let mut now = Snapshot::default();
        let state = |state: &str| json!({ "sessionId": "s", "agent": "a", "state": state });
        for (activity, busy) in [
            ("idle", false),
            ("connecting", true),
            ("running", true),
            ("waiting_for_permission", true),
            ("lost", false),
            ("dormant", false),
        ] {
            apply(&mut now, 1, "state", state(activity));
            assert_eq!(is_busy(&now), busy, "{activity}");
        }
        let chat = |proposed: bool| {
            json!({ "sessionId": "s", "promptId": format!("p{proposed}"), "userId": "ada", "text": "t",
                "proposed": proposed, "createdAt": 1 })
        };
        apply(&mut now, 2, "chat.user", chat(true));
        assert!(!is_busy(&now), "a proposal waits for a person, who comes back to it");
        apply(&mut now, 3, "chat.user", chat(false));
        assert!(is_busy(&now));
    }
}
