//! Limits of one part of the server's calls.

use std::time::Duration;

use super::Limits;

/// A part of the server's calls that can have a limit in time of its own: see [`Limits::area`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Area {
    /// [`fs`](crate::SandboxAgent::fs). As [`Limits::call`] unless set: the server answers from its disk. What
    /// carries a file keeps to [`Limits::transfer`].
    Fs,
    /// [`processes`](crate::SandboxAgent::processes) and [`ports`](crate::SandboxAgent::ports). As [`Limits::call`]
    /// unless set: a process is started at once. What waits for one adds the time that it waits.
    Processes,
    /// [`agents`](crate::SandboxAgent::agents). As [`Limits::call`] unless set; with what an agent has to be asked
    /// for, [`Limits::request`] holds.
    Agents,
    /// Installing an agent. As [`Limits::transfer`] unless set, which is 10 minutes: it is fetched with its runtime.
    Install,
    /// [`acp_servers`](crate::SandboxAgent::acp_servers). As [`Limits::call`] unless set: it is a list in memory.
    AcpServers,
    /// [`config`](crate::SandboxAgent::config). As [`Limits::call`] unless set: these are small files.
    Config,
    /// [`desktop`](crate::SandboxAgent::desktop). As [`Limits::call`] unless set; what starts programs or waits for
    /// them keeps to [`Limits::request`].
    Desktop,
    /// [`health`](crate::SandboxAgent::health). 5 s unless set: a server that is well answers at once, and one that
    /// takes longer is to be known as such.
    Health,
}

/// How long one health check may take.
pub(crate) const HEALTH: Duration = Duration::from_secs(5);

/// What is set for each area.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Areas {
    set: [Option<Duration>; 8],
}

impl Areas {
    fn get(&self, area: Area) -> Option<Duration> {
        let default = (area == Area::Health).then_some(HEALTH);
        self.set[area as usize].or(default)
    }
}

impl Limits {
    /// How long one try of a call of this area may take, in place of [`call`](Self::call). One handle can have
    /// another limit by its method `within`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sandbox_agent_sdk::{Area, Limits};
    ///
    /// let limits = Limits::default()
    ///     .area(Area::Fs, Duration::from_secs(5))
    ///     .area(Area::Install, Duration::from_secs(30 * 60));
    /// # let _ = limits;
    /// ```
    #[must_use]
    pub fn area(mut self, area: Area, limit: Duration) -> Self {
        self.areas.set[area as usize] = Some(limit);
        self
    }

    /// The limits as the calls of an area have them.
    pub(crate) fn of(mut self, area: Area) -> Self {
        self.call = self.areas.get(area).unwrap_or(self.call);
        self
    }

    pub(crate) fn install(&self) -> Duration {
        self.areas.get(Area::Install).unwrap_or(self.transfer)
    }

    /// The limits where every single call has this one.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.areas.set[Area::Install as usize] = Some(limit);
        Self { call: limit, transfer: limit, request: limit, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(1);

    #[test]
    fn an_area_has_the_limit_of_all_calls_unless_it_has_its_own() {
        let limits = Limits::default().area(Area::Fs, SHORT);
        assert_eq!(limits.clone().of(Area::Fs).call, SHORT);
        assert_eq!(limits.clone().of(Area::Fs).transfer, Limits::default().transfer, "files take their time");
        for area in [Area::Processes, Area::Agents, Area::AcpServers, Area::Config, Area::Desktop] {
            assert_eq!(limits.clone().of(area).call, Limits::default().call, "{area:?}");
        }
        assert_eq!(limits.clone().of(Area::Health).call, HEALTH);
        assert_eq!(limits.area(Area::Health, SHORT).of(Area::Health).call, SHORT);
    }

    #[test]
    fn installing_takes_as_long_as_carrying_unless_told() {
        assert_eq!(Limits::default().install(), Limits::default().transfer);
        assert_eq!(Limits::default().area(Area::Install, SHORT).of(Area::Agents).install(), SHORT);
        assert_eq!(
            Limits::default().area(Area::Install, SHORT).of(Area::Agents).call,
            Limits::default().call
        );
    }

    #[test]
    fn one_handle_can_have_its_own_for_all_that_it_calls() {
        let limits = Limits::default().area(Area::Install, 9 * SHORT).within(SHORT);
        assert_eq!([limits.call, limits.transfer, limits.request, limits.install()], [SHORT; 4]);
    }
}
