//! The moves of a random history that list, in one go or page by page between other moves.

use std::ops::RangeInclusive;

use super::dice;
use super::kit::{Outcome, Subject};
use super::model::bounds_behind;
use super::player::Player;
use crate::{
    Cursor, ListEventsRequest, ListSessionsRequest, Order, PersistErrorKind, SessionEvent, SessionRecord,
};

/// The pages of a list of which all are looked at, at the most.
const PAGES: usize = 12;

/// The indexes of a page's last event.
type Indexes = RangeInclusive<u64>;

/// The time and the id of a page's last session.
type Key = (i64, String);

/// A list that was begun, and goes on when it is its turn.
pub(super) enum Walk {
    Events { request: ListEventsRequest, cursor: Option<Cursor>, last: Option<Indexes> },
    Sessions { request: ListSessionsRequest, cursor: Option<Cursor>, last: Option<Key> },
}

impl Player {
    pub(super) async fn lists_events(&mut self, s: &str) -> Outcome {
        let walk = self.events_walk(s);
        self.walks_through(walk).await
    }

    pub(super) async fn lists_sessions(&mut self) -> Outcome {
        for _ in 0..3 {
            let walk = self.sessions_walk();
            self.walks_through(walk).await?;
        }
        Ok(())
    }

    pub(super) async fn begins_a_walk(&mut self, s: &str) -> Outcome {
        let walk = if self.rng.u8(..4) == 0 { self.sessions_walk() } else { self.events_walk(s) };
        if let Some(walk) = self.next_page(walk).await? {
            self.walks.push(walk);
        }
        Ok(())
    }

    pub(super) async fn goes_on_walking(&mut self) -> Outcome {
        if self.walks.is_empty() {
            return Ok(());
        }
        let walk = self.walks.swap_remove(self.rng.usize(..self.walks.len()));
        if let Some(walk) = self.next_page(walk).await? {
            self.walks.push(walk);
        }
        Ok(())
    }

    /// All of each session and of the catalogue, either way.
    pub(super) async fn compares_all(&mut self) -> Outcome {
        for s in self.names.clone() {
            self.follow_evictions(&s).await?;
            for request in [ListEventsRequest::new(&s), ListEventsRequest::new(&s).descending()] {
                let request = request.limit(usize::MAX);
                self.walks_through(Walk::Events { request, cursor: None, last: None }).await?;
            }
            let record = self.kept(&s).record.clone();
            self.handle(2).record(&s, record).await?;
        }
        Ok(())
    }

    fn events_walk(&mut self, s: &str) -> Walk {
        let request = dice::events_request(&mut self.rng, s, self.model.of(s));
        Walk::Events { request, cursor: None, last: None }
    }

    fn sessions_walk(&mut self) -> Walk {
        let mut filter = dice::filter(&mut self.rng, &self.agents);
        // Others have agents of their own.
        if let [agent] = self.agents.as_slice() {
            filter.agent = Some((*agent).to_owned());
        }
        let mut request = ListSessionsRequest::new().filter(filter).limit(dice::one_limit(&mut self.rng));
        if self.rng.bool() {
            request = request.descending();
        }
        Walk::Sessions { request, cursor: None, last: None }
    }

    async fn walks_through(&mut self, walk: Walk) -> Outcome {
        let mut next = Some(walk);
        for _ in 0..PAGES {
            match next.take() {
                Some(walk) => next = self.next_page(walk).await?,
                None => break,
            }
        }
        Ok(())
    }

    /// The next page, and the walk if it goes on.
    async fn next_page(&mut self, walk: Walk) -> Outcome<Option<Walk>> {
        match walk {
            Walk::Events { request, cursor, last } => self.next_events(request, cursor, last).await,
            Walk::Sessions { request, cursor, last } => self.next_sessions(request, cursor, last).await,
        }
    }

    async fn next_events(
        &mut self,
        request: ListEventsRequest,
        cursor: Option<Cursor>,
        last: Option<Indexes>,
    ) -> Outcome<Option<Walk>> {
        let s = request.session_id.clone();
        self.follow_evictions(&s).await?;
        let mut asked = request.clone();
        asked.cursor = cursor;
        let call = said(&asked);
        self.note(&s, call.clone());

        let bounds = bounds_behind(&request, last.as_ref());
        let want = self.kept(&s).within(request.order, bounds);
        let gone_to = self.kept(&s).gone_to;
        let begins_at = match request.order {
            Order::Ascending => bounds.0.map(|after| after.saturating_add(1)),
            Order::Descending => bounds.1.map(|before| before.saturating_sub(1)),
        };
        let begins_at = begins_at.filter(|index| (1..=gone_to).contains(index));
        let of_nothing = matches!(bounds, (Some(after), Some(before)) if after.saturating_add(1) >= before);

        let subject = self.handle(17);
        let page = match (subject.store.list_events(asked).await, begins_at) {
            (Ok(page), Some(_)) if of_nothing && page.items.is_empty() => return Ok(None),
            (got, Some(begins_at)) => {
                match got.as_ref().map_err(|error| error.kind()) {
                    Err(PersistErrorKind::Evicted { from, to })
                        if to == gone_to && (from == begins_at || request.order == Order::Descending) => {}
                    _ => {
                        return subject
                            .broken(format!("{call}: got {got:?}, and what was evicted ends at {gone_to}"));
                    }
                }
                return Ok(None);
            }
            (got, None) => self.handle(6).ok(got, &call)?,
        };
        // Which sentence it is that a wrong page breaks, shows in how it is wrong.
        let full = &want[..want.len().min(request.page_size())];
        let got: Vec<_> = page.items.iter().map(SessionEvent::indexes).collect();
        let runs: Vec<_> = full.iter().map(SessionEvent::indexes).collect();
        let sentence = match page.items.len() {
            len if len > request.page_size() => 13,
            _ if got.iter().chain(&runs).any(|run| run.start() != run.end()) => 21,
            _ if last.is_some() => 12,
            _ if bounds != (None, None) => 13,
            _ => 8,
        };
        self.handle(sentence).equal(&got, &runs, &format!("the indexes of {call}"))?;
        self.handle(6).equal(&page.items.as_slice(), &full, &call)?;
        let subject = self.handle(12);
        goes_on(&subject, page.next_cursor.is_some(), full.len(), want.len(), &call)?;
        let last = page.items.last().map(SessionEvent::indexes).or(last);
        Ok(page.next_cursor.map(|cursor| Walk::Events { request, cursor: Some(cursor), last }))
    }

    async fn next_sessions(
        &mut self,
        request: ListSessionsRequest,
        cursor: Option<Cursor>,
        last: Option<Key>,
    ) -> Outcome<Option<Walk>> {
        for s in self.names.clone() {
            self.follow_evictions(&s).await?;
        }
        let call = format!("list_sessions of {request:?}, behind {:?}", last);
        self.note_of_all(call.clone());
        let mut want = self.model.listed(&request.filter, request.order);
        if let Some(last) = &last {
            want.retain(|record| match request.order {
                Order::Ascending => key(record) > *last,
                Order::Descending => key(record) < *last,
            });
        }
        let mut asked = request.clone();
        asked.cursor = cursor;
        let filtered = request.filter != Default::default();
        let subject = self.handle(if filtered { 19 } else { 3 });
        let page = subject.session_page(asked).await?;
        let full = &want[..want.len().min(request.page_size())];
        let (got, keys): (Vec<_>, Vec<_>) =
            (page.items.iter().map(key).collect(), full.iter().map(key).collect());
        subject.equal(&got, &keys, &format!("the times and ids of {call}"))?;
        subject.equal(&page.items.as_slice(), &full, &call)?;
        goes_on(&subject, page.next_cursor.is_some(), full.len(), want.len(), &call)?;
        let last = page.items.last().map(key).or(last);
        Ok(page.next_cursor.map(|cursor| Walk::Sessions { request, cursor: Some(cursor), last }))
    }
}

fn key(record: &SessionRecord) -> Key {
    (record.created_at, record.id.clone())
}

/// There is a cursor if there is more, and none behind an empty page.
fn goes_on(subject: &Subject, has_cursor: bool, in_page: usize, in_all: usize, call: &str) -> Outcome {
    match has_cursor {
        true if in_page == 0 => subject.broken(format!("{call}: an empty page has a next_cursor")),
        false if in_page < in_all => subject.broken(format!("{call}: no next_cursor, and there is more")),
        _ => Ok(()),
    }
}

fn said(request: &ListEventsRequest) -> String {
    let ListEventsRequest { order, cursor, after_index, before_index, limit, .. } = request;
    let bounds = format!("after {after_index:?}, before {before_index:?}, limit {limit:?}");
    format!("list_events, {order:?}, {bounds}, cursor {:?}", cursor.as_ref().map(Cursor::as_str))
}
