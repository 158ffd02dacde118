//! What a store can do beyond the contract's core.

/// What a store can promise beyond the contract's core.
///
/// The last three name the parts of the contract that a driver may leave out. Each has a trait, and
/// a method of [`SessionPersistDriver`](crate::SessionPersistDriver) that gives it: the flag is set
/// when that method gives something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// What an insert returned for survives the death of the process and of the machine.
    pub durable: bool,
    /// Several processes may write to one store.
    pub multi_process: bool,
    /// Old events may be dropped to stay within a limit.
    pub evicts: bool,
    /// One writer at a time can be held to: see [`SessionLease`](crate::SessionLease).
    pub leases: bool,
    /// Whoever waits for an event is told when there is one: see [`SessionFollow`](crate::SessionFollow).
    pub follows: bool,
    /// Runs of events can be folded, and room be made: see [`SessionUpkeep`](crate::SessionUpkeep).
    pub upkeep: bool,
}

impl Capabilities {
    /// Promises nothing beyond the contract's core.
    pub const fn new() -> Self {
        Self {
            durable: false,
            multi_process: false,
            evicts: false,
            leases: false,
            follows: false,
            upkeep: false,
        }
    }

    /// Sets [`durable`](Self::durable).
    #[must_use]
    pub const fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Sets [`multi_process`](Self::multi_process).
    #[must_use]
    pub const fn multi_process(mut self) -> Self {
        self.multi_process = true;
        self
    }

    /// Sets [`evicts`](Self::evicts).
    #[must_use]
    pub const fn evicts(mut self) -> Self {
        self.evicts = true;
        self
    }

    /// Sets [`leases`](Self::leases).
    #[must_use]
    pub const fn leases(mut self) -> Self {
        self.leases = true;
        self
    }

    /// Sets [`follows`](Self::follows).
    #[must_use]
    pub const fn follows(mut self) -> Self {
        self.follows = true;
        self
    }

    /// Sets [`upkeep`](Self::upkeep).
    #[must_use]
    pub const fn upkeep(mut self) -> Self {
        self.upkeep = true;
        self
    }
}
