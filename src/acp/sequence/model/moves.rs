//! What the agent, the network and the server do.

use proptest::prelude::*;

/// What happens next. Where a number is larger than what is there, it means all of it.
#[derive(Clone, Debug)]
pub(super) enum Move {
    /// The agent writes, and the live channel loses the first few.
    Write {
        count: u64,
        lost: u64,
    },
    /// The socket gives events of the running stream.
    Read(usize),
    /// The running stream breaks, with what was on its way.
    Cut,
    /// A new stream. Some events come again; some come between its look at the ring and its subscription.
    Connect {
        doubled: u64,
        missed: u64,
    },
    Refill(FetchMove),
    Probe(FetchMove),
    Stall,
    KeepUp,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum FetchMove {
    Give(usize),
    /// The connection breaks.
    Break,
    /// There is no room for the next event.
    NoRoom,
    /// Nothing more came for a while, be it that there is no more or that the server is slow.
    Quiet,
    /// The server refuses for good.
    Refuse,
}

/// On a slow server, fetches often end before anything came.
pub(super) fn any_move(slow: bool) -> impl Strategy<Value = Move> {
    let quiet = if slow { 20 } else { 3 };
    let fetch = move || {
        prop_oneof![
            6 => (1..8_usize).prop_map(FetchMove::Give),
            1 => Just(FetchMove::Break),
            1 => Just(FetchMove::NoRoom),
            quiet => Just(FetchMove::Quiet),
            1 => Just(FetchMove::Refuse),
        ]
    };
    prop_oneof![
        4 => (1..8_u64, 0..4_u64).prop_map(|(count, lost)| Move::Write { count, lost }),
        5 => (1..8_usize).prop_map(Move::Read),
        1 => Just(Move::Cut),
        2 => (0..4_u64, 0..4_u64).prop_map(|(doubled, missed)| Move::Connect { doubled, missed }),
        6 => fetch().prop_map(Move::Refill),
        4 => fetch().prop_map(Move::Probe),
        1 => Just(Move::Stall),
        1 => Just(Move::KeepUp),
    ]
}
