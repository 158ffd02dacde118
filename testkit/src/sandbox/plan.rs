//! The faults that are still to happen.

use std::collections::BTreeSet;
use std::time::Duration;

use super::journal::Request;
use super::outlet::Event;

/// Which events of a stream a fault is about.
#[derive(Clone, Debug)]
pub struct Events(Pick);

#[derive(Clone, Debug)]
enum Pick {
    Next(u64),
    Responses(u64),
    Ids(BTreeSet<u64>),
}

impl Events {
    /// The next `count` events, whatever they are.
    pub fn next(count: u64) -> Self {
        Self(Pick::Next(count))
    }

    /// The next `count` JSON-RPC responses; other events pass.
    pub fn responses(count: u64) -> Self {
        Self(Pick::Responses(count))
    }

    /// The events that will have these SSE ids.
    pub fn ids(ids: impl IntoIterator<Item = u64>) -> Self {
        Self(Pick::Ids(ids.into_iter().collect()))
    }

    pub(super) fn take(&mut self, event: &Event) -> bool {
        match &mut self.0 {
            Pick::Responses(_) if !event.is_response => false,
            Pick::Next(left) | Pick::Responses(left) if *left > 0 => {
                *left -= 1;
                true
            }
            Pick::Next(_) | Pick::Responses(_) => false,
            Pick::Ids(ids) => ids.remove(&event.id),
        }
    }

    pub(super) fn is_spent(&self) -> bool {
        match &self.0 {
            Pick::Next(left) | Pick::Responses(left) => *left == 0,
            Pick::Ids(ids) => ids.is_empty(),
        }
    }
}

/// Which requests a fault is about. With nothing set, all are.
#[derive(Clone, Debug, Default)]
pub struct On {
    method: Option<&'static str>,
    path: Option<String>,
    rpc: Option<String>,
}

impl On {
    /// Any request.
    pub fn any() -> Self {
        Self::default()
    }

    /// A GET.
    pub fn get() -> Self {
        Self::method("GET")
    }

    /// A POST.
    pub fn post() -> Self {
        Self::method("POST")
    }

    /// A DELETE.
    pub fn delete() -> Self {
        Self::method("DELETE")
    }

    /// A POST that carries this JSON-RPC method.
    pub fn rpc(method: impl Into<String>) -> Self {
        Self { rpc: Some(method.into()), ..Self::post() }
    }

    /// Only paths that begin like this.
    #[must_use]
    pub fn path(mut self, prefix: impl Into<String>) -> Self {
        self.path = Some(prefix.into());
        self
    }

    fn method(method: &'static str) -> Self {
        Self { method: Some(method), ..Self::default() }
    }

    fn matches(&self, request: &Request) -> bool {
        let rpc = || request.body.as_ref()?.get("method")?.as_str();
        self.method.is_none_or(|method| request.method == method)
            && (self.path.as_ref()).is_none_or(|prefix| request.path.starts_with(prefix))
            && (self.rpc.as_deref()).is_none_or(|method| rpc() == Some(method))
    }
}

/// Where an event is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    Live,
    Everywhere,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    Answer {
        status: u16,
        content_type: String,
        body: Vec<u8>,
    },
    Delay(Duration),
    Hang,
    HangUndelivered,
    CutBeforeDelivery,
    CutAfterDelivery,
    CutAnswer,
    #[cfg(test)]
    Panic,
}

/// The server id that a fault is about, or all.
pub(super) type Scope = Option<String>;

fn covers(scope: &Scope, server: &str) -> bool {
    scope.as_deref().is_none_or(|only| only == server)
}

#[derive(Default)]
pub(super) struct Plan {
    pub(super) losses: Vec<(Scope, Events, Loss)>,
    pub(super) races: Vec<(Scope, Events)>,
    pub(super) repeats: Vec<(Scope, u64)>,
    pub(super) cuts: Vec<(Scope, u64)>,
    pub(super) stalls: Vec<Scope>,
    pub(super) reorders: Vec<Scope>,
    pub(super) requests: Vec<(Scope, On, u64, Fate)>,
}

impl Plan {
    pub(super) fn loss(&mut self, server: &str, event: &Event) -> Option<Loss> {
        let found = self
            .losses
            .iter_mut()
            .find_map(|(scope, events, loss)| (covers(scope, server) && events.take(event)).then_some(*loss));
        self.losses.retain(|(_, events, _)| !events.is_spent());
        found
    }

    pub(super) fn take_race(&mut self, server: &str) -> Option<Events> {
        take(&mut self.races, |(scope, _)| covers(scope, server)).map(|(_, events)| events)
    }

    pub(super) fn take_repeat(&mut self, server: &str) -> Option<u64> {
        take(&mut self.repeats, |(scope, _)| covers(scope, server)).map(|(_, count)| count)
    }

    pub(super) fn take_stall(&mut self, server: &str) -> bool {
        take(&mut self.stalls, |scope| covers(scope, server)).is_some()
    }

    pub(super) fn take_cut(&mut self, server: &str, id: u64) -> bool {
        take(&mut self.cuts, |(scope, at)| covers(scope, server) && id >= *at).is_some()
    }

    pub(super) fn reorders_exit(&self, server: &str) -> bool {
        self.reorders.iter().any(|scope| covers(scope, server))
    }

    pub(super) fn take_request(&mut self, request: &Request) -> Option<Fate> {
        let at = self.requests.iter().position(|(scope, on, _, _)| {
            let here = scope.is_none() || scope.as_deref() == request.server_id();
            here && on.matches(request)
        })?;
        let (_, _, left, fate) = &mut self.requests[at];
        *left -= 1;
        let (spent, fate) = (*left == 0, fate.clone());
        if spent {
            self.requests.remove(at);
        }
        Some(fate)
    }

    pub(super) fn len(&self) -> usize {
        self.losses.len()
            + self.races.len()
            + self.repeats.len()
            + self.cuts.len()
            + self.stalls.len()
            + self.reorders.len()
            + self.requests.len()
    }
}

fn take<T>(rules: &mut Vec<T>, matches: impl FnMut(&T) -> bool) -> Option<T> {
    let at = rules.iter().position(matches)?;
    Some(rules.remove(at))
}
