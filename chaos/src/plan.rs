//! What a seed stands for: what a client does, and what goes wrong meanwhile. Nothing but the
//! seed and the kind of server decides it.

use std::time::Duration;

use clap::ValueEnum;
use fastrand::Rng;
use sandbox_agent_testkit::proxy::Way;

use crate::script;

/// What the sessions run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Server {
    /// The real server and the client in processes of their own
    Real,
    /// All in one process, with time that is paused
    Testkit,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) server: Server,
    /// By what a new agent process takes a session up.
    pub(crate) offer: Offer,
    pub(crate) sessions: Vec<SessionPlan>,
    /// One after the other.
    pub(crate) network: Vec<Planned<Fault>>,
    /// One after the other, beside those of the network.
    pub(crate) kills: Vec<Planned<()>>,
    pub(crate) store: Vec<StoreFault>,
}

/// What the agent offers beside a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Nothing,
    Resume,
    Load,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Planned<T> {
    /// Between the end of the one before and this.
    pub(crate) pause: Duration,
    pub(crate) lasts: Duration,
    pub(crate) what: T,
}

/// What happens between client and server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Every connection is reset, so many times.
    Cut(u32),
    Stall,
    /// Bytes vanish both ways, and new connections get no answer.
    HalfOpen,
    OneWayLoss(Way),
    /// Bytes a second.
    SlowLink(u64),
    Outage,
    /// Whether connections are refused meanwhile, or accepted and reset.
    ServerKill {
        refuse: bool,
    },
    /// So many POSTs reach the agent and are never answered.
    LostAnswer(u32),
}

/// The store misbehaves for a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StoreFault {
    /// Since the start of the seed.
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    pub(crate) what: StoreTrouble,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum StoreTrouble {
    /// Every call fails, and works when it is tried again later.
    Unavailable,
    /// Every call takes that much longer.
    Slow(Duration),
    /// One call fails for good, which ends its session.
    Broken,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SessionPlan {
    pub(crate) id: String,
    pub(crate) prompts: Vec<PromptPlan>,
    pub(crate) permissions: Permissions,
    /// Has a callback beside its streams.
    pub(crate) callback: bool,
    /// Before which prompt somebody begins to read from the start.
    pub(crate) late_reader: usize,
    /// Before which prompt the client lets go of the session, to open it again.
    pub(crate) detach: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permissions {
    /// A policy allows them.
    Policy,
    /// The client answers each.
    Answered,
    /// Nobody answers, until their time is up.
    Ignored,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PromptPlan {
    pub(crate) pause: Duration,
    /// The script; no other prompt has the same.
    pub(crate) text: String,
    pub(crate) key: Option<String>,
    pub(crate) cancel_after: Option<Duration>,
    pub(crate) wait: Wait,
}

/// What the client does with a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Await,
    Read,
    /// Drops it, and goes on at once.
    Drop,
}

impl Plan {
    pub(crate) fn new(seed: u64, server: Server) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let sessions = 1 + rng.usize(..100) / 45;
        Self {
            seed,
            server,
            offer: [Offer::Nothing, Offer::Nothing, Offer::Resume, Offer::Load][rng.usize(..4)],
            sessions: (0..sessions).map(|number| session(rng, seed, server, number)).collect(),
            network: (0..rng.usize(2..=5)).map(|_| network_fault(rng)).collect(),
            kills: (0..[0, 0, 1, 1, 1, 2][rng.usize(..6)])
                .map(|_| Planned { pause: millis(rng, 200, 6000), lasts: millis(rng, 0, 2000), what: () })
                .collect(),
            store: (0..rng.usize(..3)).map(|_| store_fault(rng)).collect(),
        }
    }
}

fn session(rng: &mut Rng, seed: u64, server: Server, number: usize) -> SessionPlan {
    let count = rng.usize(3..=7);
    let prompts = (1..=count).map(|prompt| {
        let name = format!("p-{seed}-{number}-{prompt}");
        PromptPlan {
            pause: millis(rng, 0, 800),
            text: script::prompt(rng, &name, server),
            key: (rng.u8(..3) == 0).then_some(name),
            cancel_after: (rng.u8(..6) == 0).then(|| millis(rng, 0, 1500)),
            wait: [Wait::Await, Wait::Await, Wait::Read, Wait::Drop][rng.usize(..4)],
        }
    });
    SessionPlan {
        id: format!("session-{number}"),
        prompts: prompts.collect(),
        permissions: match rng.u8(..8) {
            0..3 => Permissions::Policy,
            3..7 => Permissions::Answered,
            _ => Permissions::Ignored,
        },
        callback: rng.u8(..3) == 0,
        late_reader: rng.usize(..count),
        detach: (rng.u8(..4) == 0).then(|| rng.usize(..count)),
    }
}

fn network_fault(rng: &mut Rng) -> Planned<Fault> {
    let (what, lasts) = match rng.u8(..24) {
        0..5 => (Fault::Cut(rng.u32(1..=3)), Duration::from_millis(100)),
        5..8 => (Fault::Stall, millis(rng, 50, 5000)),
        8..10 => (Fault::HalfOpen, millis(rng, 0, 1500)),
        10..12 => {
            let way = if rng.bool() { Way::Up } else { Way::Down };
            (Fault::OneWayLoss(way), Duration::ZERO)
        }
        12..15 => (Fault::SlowLink(rng.u64(2_000..40_000)), millis(rng, 200, 4000)),
        15..18 => (Fault::Outage, outage(rng)),
        18..21 => (Fault::ServerKill { refuse: rng.bool() }, millis(rng, 0, 2000)),
        _ => (Fault::LostAnswer(rng.u32(1..=4)), millis(rng, 200, 3000)),
    };
    Planned { pause: millis(rng, 50, 2500), lasts, what }
}

/// From 0.1 to 20 s, the short ones more often.
fn outage(rng: &mut Rng) -> Duration {
    Duration::from_secs_f64(0.1 * 200_f64.powf(rng.f64()))
}

fn store_fault(rng: &mut Rng) -> StoreFault {
    let from = millis(rng, 0, 10_000);
    let what = match rng.u8(..8) {
        0..4 => StoreTrouble::Unavailable,
        4..7 => StoreTrouble::Slow(millis(rng, 5, 400)),
        _ => StoreTrouble::Broken,
    };
    StoreFault { from, until: from + millis(rng, 100, 3000), what }
}

pub(crate) fn millis(rng: &mut Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.u64(from..=to))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_seed_gives_one_plan() {
        for server in [Server::Real, Server::Testkit] {
            for seed in 0..200 {
                assert_eq!(Plan::new(seed, server), Plan::new(seed, server));
            }
            assert_ne!(Plan::new(1, server).sessions, Plan::new(2, server).sessions);
        }
    }

    #[test]
    fn no_prompt_is_like_another_one() {
        let plans = (0..200).map(|seed| Plan::new(seed, Server::Real));
        let sessions = plans.flat_map(|plan| plan.sessions);
        let texts: Vec<_> = sessions.flat_map(|session| session.prompts).map(|prompt| prompt.text).collect();
        let unique: HashSet<_> = texts.iter().collect();
        assert_eq!(unique.len(), texts.len());
    }

    #[test]
    fn outages_last_from_a_tenth_of_a_second_to_twenty() {
        let mut rng = Rng::with_seed(1);
        let mut outages: Vec<_> = (0..10_000).map(|_| outage(&mut rng)).collect();
        outages.sort_unstable();
        let (first, last) = (outages[0], outages[outages.len() - 1]);
        assert!(first >= Duration::from_millis(99) && first < Duration::from_millis(110), "{first:?}");
        assert!(last > Duration::from_secs(19) && last <= Duration::from_secs(20), "{last:?}");
    }

    #[test]
    fn twenty_seeds_have_every_kind_of_fault() {
        let plans: Vec<_> = (1..=20).map(|seed| Plan::new(seed, Server::Real)).collect();
        let network = plans.iter().flat_map(|plan| &plan.network);
        let kinds: HashSet<_> = network.map(|fault| std::mem::discriminant(&fault.what)).collect();
        assert_eq!(kinds.len(), 8);
        assert!(plans.iter().any(|plan| !plan.kills.is_empty()));
        let troubles = plans.iter().flat_map(|plan| &plan.store);
        let kinds: HashSet<_> = troubles.map(|fault| std::mem::discriminant(&fault.what)).collect();
        assert_eq!(kinds.len(), 3);
        assert!(plans.iter().flat_map(|plan| &plan.sessions).any(|session| session.detach.is_some()));
    }
}
