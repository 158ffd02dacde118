//! Sentences 12 to 14: lists.

use std::collections::BTreeSet;

use super::Harness;
use super::kit::{Outcome, Subject, event, events, foreign, indexes};
use crate::{
    Cursor, DEFAULT_PAGE, Inserted, ListEventsRequest, ListSessionsRequest, Order, PersistErrorKind,
    SessionRecord,
};

/// Sentence 12: following `next_cursor` gives every item once, also while others insert; `None` ends it.
pub async fn cursors_give_every_item_once(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(12, harness).await?;
    subject.insert_all(events("session", 1..=60), Inserted::Stored, "new").await?;

    let middle = ListEventsRequest::new("session").after_index(10).before_index(50).limit(7);
    let listed = subject.events(middle.clone()).await?;
    subject.equal(&indexes(&listed), &(11..50).collect(), "pages between bounds")?;
    let listed = subject.events(middle.descending()).await?;
    let want = (11..50).rev().collect();
    subject.equal(&indexes(&listed), &want, "pages between bounds, newest first")?;

    let mut last = 60;
    for request in
        [ListEventsRequest::new("session").descending().limit(7), ListEventsRequest::new("session").limit(7)]
    {
        let mut got: Vec<u64> = Vec::new();
        let at_first = last;
        let mut next = Some(request.clone());
        while let Some(page) = next.take() {
            let page = subject.page(page).await?;
            got.extend(indexes(&page.items));
            next = page.next_cursor.map(|cursor| request.clone().cursor(cursor));
            if last < at_first + 30 {
                last += 1;
                subject.insert(event("session", last), Inserted::Stored, "between pages").await?;
            }
            if got.len() > 500 {
                return subject.broken("list_events: pages without an end");
            }
        }
        let want = match request.order {
            // It may end before or after the last insert, and nowhere else.
            Order::Ascending => (1..=at_first.max(got.len() as u64)).collect(),
            Order::Descending => (1..=at_first).rev().collect(),
        };
        subject.equal(&got, &want, "indexes of all pages, with inserts between them")?;
    }
    sessions_come_once(&subject).await
}

async fn sessions_come_once(subject: &Subject) -> Outcome {
    let at_first: BTreeSet<String> = (0..40).map(|number| format!("first {number}")).collect();
    for (created_at, id) in (0..).step_by(10).zip(&at_first) {
        subject.update(SessionRecord::new(id, "codex", created_at)).await?;
    }
    let requests = [ListSessionsRequest::new().limit(7), ListSessionsRequest::new().limit(7).descending()];
    for (round, request) in requests.into_iter().enumerate() {
        let mut seen = BTreeSet::new();
        let mut next = Some(request.clone());
        let mut pages = 0;
        while let Some(page) = next.take() {
            let page = subject.session_page(page).await?;
            for record in page.items {
                if !seen.insert(record.id.clone()) {
                    return subject.broken(format!("list_sessions: {:?} came twice", record.id));
                }
            }
            pages += 1;
            next = page.next_cursor.map(|cursor| request.clone().cursor(cursor));
            // One before all, one in the middle, one after all.
            if pages <= 6 {
                for created_at in [-1, 200 + pages, 1_000] {
                    let id = format!("later {round} {pages} {created_at}");
                    subject.update(SessionRecord::new(id, "codex", created_at)).await?;
                }
            }
            if pages > 50 {
                return subject.broken("list_sessions: pages without an end");
            }
        }
        let missed: Vec<_> = at_first.difference(&seen).collect();
        subject.equal(&missed, &Vec::new(), "sessions that no page had")?;
    }
    Ok(())
}

/// Sentence 13: `after_index` and `before_index` are exclusive, and a page has at most `limit` items.
pub async fn bounds_are_exclusive_and_pages_limited(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(13, harness).await?;
    let last = DEFAULT_PAGE as u64 + 30;
    subject.insert_all(events("session", 1..=last), Inserted::Stored, "new").await?;

    let all = || ListEventsRequest::new("session");
    let default = DEFAULT_PAGE as u64;
    for (request, want) in [
        (all(), 1..default + 1),
        (all().limit(3), 1..4),
        (all().limit(usize::MAX), 1..last + 1),
        (all().after_index(0).limit(2), 1..3),
        (all().after_index(10).limit(3), 11..14),
        (all().after_index(last - 1), last..last + 1),
        (all().after_index(last), 0..0),
        (all().after_index(u64::MAX), 0..0),
        (all().before_index(4), 1..4),
        (all().before_index(1), 0..0),
        (all().before_index(0), 0..0),
        (all().before_index(u64::MAX).limit(1), 1..2),
        (all().after_index(10).before_index(14), 11..14),
        (all().after_index(10).before_index(11), 0..0),
        (all().after_index(14).before_index(10), 0..0),
    ] {
        let what = format!("indexes of {request:?}");
        let page = subject.page(request).await?;
        subject.equal(&indexes(&page.items), &want.collect(), &what)?;
    }
    for (request, want) in [
        (all(), last - default + 1..last + 1),
        (all().limit(3), last - 2..last + 1),
        (all().before_index(10).limit(3), 7..10),
        (all().before_index(2), 1..2),
        (all().before_index(1), 0..0),
        (all().before_index(u64::MAX).limit(1), last..last + 1),
        (all().after_index(last - 2), last - 1..last + 1),
        (all().after_index(10).before_index(14).limit(2), 12..14),
    ] {
        let request = request.descending();
        let what = format!("indexes of {request:?}");
        let page = subject.page(request).await?;
        subject.equal(&indexes(&page.items), &want.rev().collect(), &what)?;
    }

    for number in 0..DEFAULT_PAGE as i64 + 5 {
        subject.update(SessionRecord::new(format!("{number}"), "codex", number)).await?;
    }
    for (limit, want) in [(0, DEFAULT_PAGE), (3, 3)] {
        let page = subject.session_page(ListSessionsRequest::new().limit(limit)).await?;
        subject.equal(&page.items.len(), &want, &format!("sessions in a page of {limit}"))?;
    }
    Ok(())
}

/// Sentence 14: a cursor that the store did not give out is an `InvalidCursor` error.
pub async fn a_foreign_cursor_is_refused(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(14, harness).await?;
    subject.insert_all(events("session", 1..=3), Inserted::Stored, "new").await?;
    for number in 0..3 {
        subject.update(SessionRecord::new(format!("{number}"), "codex", number)).await?;
    }
    let page = subject.page(ListEventsRequest::new("session").limit(1)).await?;
    let of_events = page.next_cursor;
    let page = subject.session_page(ListSessionsRequest::new().limit(1)).await?;
    let of_sessions = page.next_cursor;
    let (Some(of_events), Some(of_sessions)) = (of_events, of_sessions) else {
        return subject.broken("a page of 1 in a list of 3 has no next_cursor");
    };

    let refused = PersistErrorKind::InvalidCursor;
    for cursor in [of_sessions, foreign(), Cursor::from_text("")] {
        let what = format!("list_events with the cursor {:?}", cursor.as_str());
        let request = ListEventsRequest::new("session").cursor(cursor);
        subject.error(subject.store.list_events(request).await, refused, &what)?;
    }
    for cursor in [of_events, foreign(), Cursor::from_text("")] {
        let what = format!("list_sessions with the cursor {:?}", cursor.as_str());
        let request = ListSessionsRequest::new().cursor(cursor);
        subject.error(subject.store.list_sessions(request).await, refused, &what)?;
    }
    Ok(())
}
