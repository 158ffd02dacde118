//! Sentences 4 to 9: events.

use super::Harness;
use super::kit::{Outcome, Subject, event, events, handles, named, raw};
use crate::{Inserted, ListEventsRequest, SessionRecord};

/// Sentence 4: an event is stored only if it begins at the session's next index; the first is 1. Any other is a `Conflict` that names the next.
pub async fn only_the_next_index_is_stored(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(4, harness).await?;
    for next_index in 1..=12 {
        let refused = Inserted::Conflict { next_index };
        for (number, index) in [0, 1, next_index - 1, next_index + 1, next_index + 9, u64::MAX]
            .into_iter()
            .enumerate()
            .filter(|(_, index)| *index != next_index)
        {
            let other = named("session", index, &format!("refused {next_index} {number}"));
            subject.insert(other, refused, "which is not the next").await?;
        }
        let next = event("session", next_index);
        subject.insert(next, Inserted::Stored, "the next").await?;
    }
    subject.holds("session", &events("session", 1..=12), "after refusals").await
}

/// Sentence 5: an event whose id is known to the store is a `Duplicate`, whatever its index, and changes nothing. This is checked before the index.
pub async fn a_known_id_is_a_duplicate(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(5, harness).await?;
    subject.insert_all(events("session", 1..=3), Inserted::Stored, "new").await?;
    subject.insert(event("other", 1), Inserted::Stored, "new").await?;

    let known = event("session", 2).id;
    for (session_id, index, what) in [
        ("session", 2, "the same event again"),
        ("session", 4, "a known id at the next index"),
        ("session", 1, "a known id at another's index"),
        ("session", 9, "a known id beyond the next index"),
        ("other", 2, "an id that another session has, at the next index"),
    ] {
        let again = named(session_id, index, &known);
        subject.insert(again.clone(), Inserted::Duplicate, what).await?;
        subject.insert_all(vec![again], Inserted::Duplicate, what).await?;
    }
    subject.holds("session", &events("session", 1..=3), "after duplicates").await?;
    subject.holds("other", &events("other", 1..=1), "after duplicates").await?;
    subject.insert(event("session", 4), Inserted::Stored, "after duplicates").await
}

/// Sentence 6: `list_events` gives an event byte for byte as it came, ordered by index, either way.
pub async fn events_come_back_byte_for_byte_and_in_order(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(6, harness).await?;
    let odd_texts = [
        r#"{"z":1,"a":2,"z":3}"#,
        "{ \"spaced\" :\t[ 1 ,\r\n 2 ] }",
        r#"{"n":[1e2,1.50,-0,12345678901234567890123,0.1e-7]}"#,
        r#"{"text":"\u00e9é\/\u0000\ud83d\ude00😀\n'%;--"}"#,
        r#""not an object""#,
        "null",
        "[]",
    ];
    let mut stored = events("session", 1..=120);
    for (odd, event) in odd_texts.iter().zip(&mut stored) {
        event.payload = raw((*odd).to_owned());
    }
    stored[10].payload = raw(format!("{{\"large\":\"{}\"}}", "é".repeat(600_000)));
    stored[11].id = "a.b/ü'%_\"\\".to_owned();
    stored[11].connection_id = String::new();
    stored[11].created_at = -1;
    for event in &stored[..20] {
        subject.insert(event.clone(), Inserted::Stored, "the next").await?;
    }
    subject.insert_all(stored[20..].to_vec(), Inserted::Stored, "the next ones").await?;

    subject.holds("session", &stored, "oldest first").await?;
    let request = ListEventsRequest::new("session").descending();
    let mut listed = subject.events(request).await?;
    listed.reverse();
    subject.equal(&listed, &stored, "list_events, newest first, turned round")
}

/// Sentence 7: each session counts for itself, and events may come before the record. An event that names another session than the call is an error.
pub async fn each_session_counts_for_itself(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(7, harness).await?;
    subject.holds("a", &[], "of which nothing was stored").await?;
    for index in 1..=5 {
        for session_id in ["a", "A", "a.1"] {
            let next = event(session_id, index);
            subject.insert(next, Inserted::Stored, "beside other sessions").await?;
        }
    }
    subject.update(SessionRecord::new("a", "codex", 1)).await?;
    subject.insert(event("a", 6), Inserted::Stored, "after the record").await?;
    subject.record("A", None).await?;
    subject.holds("a", &events("a", 1..=6), "beside others").await?;
    subject.holds("A", &events("A", 1..=5), "beside others").await?;
    subject.holds("a.1", &events("a.1", 1..=5), "beside others").await?;

    let stray = subject.store.insert_event("a", event("b", 7)).await;
    if let Ok(inserted) = stray {
        return subject.broken(format!("insert_event of another session's event: {inserted:?}"));
    }
    subject.holds("a", &events("a", 1..=6), "after another session's event").await?;
    subject.holds("b", &[], "after it was refused elsewhere").await
}

/// Sentence 8: an insert that returned is seen by every later read, through any clone of the driver.
pub async fn an_insert_that_returned_is_seen(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(8, harness).await?;
    let handles = handles(&subject, harness).await?;
    for index in 1..=40 {
        subject.insert(event("session", index), Inserted::Stored, "the next").await?;
        for handle in &handles {
            let newest = ListEventsRequest::new("session").descending().limit(1);
            let page = handle.page(newest).await?;
            let want = vec![event("session", index)];
            subject.equal(&page.items, &want, "the newest event, right after its insert")?;
        }
        let record = SessionRecord::new("session", "codex", index.cast_signed());
        subject.update(record.clone()).await?;
        for handle in &handles {
            handle.record("session", Some(record.clone())).await?;
        }
    }
    for handle in &handles {
        handle.holds("session", &events("session", 1..=40), "after all inserts").await?;
    }
    Ok(())
}

/// Sentence 9: `insert_events` stores the whole batch or a prefix of it. It stops at the first event that is a `Duplicate` or a `Conflict` and returns that; those before it were stored, and nothing else.
pub async fn a_batch_stops_at_the_first_refusal(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(9, harness).await?;
    let batch = |indexes: &[u64]| events("session", indexes.iter().copied());
    let conflict = |next_index| Inserted::Conflict { next_index };
    let twice = |index| named("session", index, &event("session", index - 1).id);

    for (what, events_in, want, last) in [
        ("in order", batch(&[1, 2, 3]), Inserted::Stored, 3),
        ("of none", Vec::new(), Inserted::Stored, 3),
        ("with a known event in it", batch(&[4, 5, 2, 6]), Inserted::Duplicate, 5),
        ("with a hole in it", batch(&[6, 8, 9]), conflict(7), 6),
        ("that goes on after a stray", batch(&[9, 7, 8]), conflict(7), 6),
        ("that begins with a known event", batch(&[6, 7]), Inserted::Duplicate, 6),
        (
            "with the same id twice",
            vec![event("session", 7), twice(8), event("session", 8)],
            Inserted::Duplicate,
            7,
        ),
        ("after all that", batch(&[8, 9, 10]), Inserted::Stored, 10),
    ] {
        let got = subject.store.insert_events("session", events_in).await;
        let got = subject.ok(got, &format!("insert_events, a batch {what}"))?;
        subject.equal(&got, &want, &format!("insert_events, a batch {what}"))?;
        let held = events("session", 1..=last);
        subject.holds("session", &held, &format!("after a batch {what}")).await?;
    }
    Ok(())
}
