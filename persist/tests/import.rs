//! Files that are not what was exported, stores that fail meanwhile, and sessions under another id.
#![allow(clippy::unwrap_used)]

mod kit;

use std::collections::HashSet;

use kit::{Fault, Faulty, Memory, event, fill, fold, held, import, insert, lines, raw, record, run, varied};
use sandbox_agent_persist::{PersistErrorKind, SessionEvent, SessionPersistDriver, SessionPersistDriverExt};

/// A file of 20 events, of which one is a run.
async fn file() -> Vec<String> {
    let store = Memory::new();
    store.update_session(record("s", 5)).await.unwrap();
    fill(&store, "s", 1..=24).await;
    fold(&store, run("s", 10, 14)).await;
    lines(&store, "s").await
}

async fn refused<L: AsRef<str>>(lines: &[L]) -> String {
    let store = Memory::new();
    let error = import(&store, lines).await.unwrap_err();
    assert_eq!(error.kind(), PersistErrorKind::Corrupt, "{error}");
    assert_eq!(store.get_session("s").await.unwrap(), None, "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_file_that_was_cut_off_leaves_no_record_and_the_whole_one_goes_on() {
    let lines = file().await;
    for cut in 0..lines.len() {
        let store = Memory::new();
        let error = import(&store, &lines[..cut]).await.unwrap_err();
        assert_eq!(error.kind(), PersistErrorKind::Corrupt);
        assert!(error.to_string().contains(&format!("line {} is missing", cut + 1)), "{error}");
        assert_eq!(store.get_session("s").await.unwrap(), None);
        import(&store, &lines).await.unwrap();
        assert_eq!(held(&store, "s").await.len(), 20);
        assert!(store.get_session("s").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_line_too_many_too_few_or_in_another_place_is_named() {
    let lines = file().await;
    for place in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(place);
        refused(&without).await;

        let mut doubled = lines.clone();
        doubled.insert(place, lines[place].clone());
        let error = refused(&doubled).await;
        assert!(error.starts_with(&format!("line {} ", place + 2)), "{error}");

        let mut swapped = lines.clone();
        swapped.swap(place, (place + 1) % lines.len());
        refused(&swapped).await;
    }
    let mut longer = lines.clone();
    longer.push("{}".to_owned());
    assert!(refused(&longer).await.starts_with("line 23 is neither"));
}

#[tokio::test]
async fn a_line_that_says_something_else_is_named() {
    let lines = file().await;
    let header = lines[0].as_str();
    let with = |from: &str, to: &str| header.replacen(from, to, 1);
    let first = |line: String| [vec![line], lines[1..].to_vec()].concat();
    for (line, wrong) in [
        (with("version\":1", "version\":2"), "line 1 is of version 2"),
        (with("sandbox-agent-session", "other"), "line 1 is no header"),
        (with("\"version\":1,", ""), "line 1 is no header"),
        (with("\"sessionId\":\"s\"", "\"sessionId\":\"t\""), "line 1 has the record of \"s\""),
        (with("\"format\"", "\"more\":1,\"format\""), "unknown field `more`"),
        ("[]".to_owned(), "line 1 is no JSON object"),
        ("\u{feff}\u{feff}{}".to_owned(), "line 1 is no JSON object"),
        (lines[1].clone(), "line 1 comes before the header"),
        (header.replace("\"agent\":\"codex\",", ""), "line 1 can't be read: missing field `agent`"),
    ] {
        let error = refused(&first(line)).await;
        assert!(error.contains(wrong), "{error}");
    }

    let second = |line: String| [vec![lines[0].clone(), line], lines[2..].to_vec()].concat();
    let line = lines[1].as_str();
    for (line, wrong) in [
        (line.replace("\"sessionId\":\"s\"", "\"sessionId\":\"t\""), "line 2 has an event of session \"t\""),
        (line.replace("\"eventIndex\":1", "\"eventIndex\":2"), "line 2 has indexes 2 to 2 after index 0"),
        (line.replace("\"eventIndex\":1", "\"eventIndex\":0"), "line 2 has indexes 0 to 0"),
        (line.replace("\"eventIndex\":1", "\"eventIndex\":-1"), "line 2 can't be read"),
        (line.replace("\"eventIndex\":1", "\"eventIndex\":1,\"foldedFrom\":1"), "line 2 has a foldedFrom"),
        (line.replace("\"eventIndex\":1", "\"eventIndex\":1,\"foldedFrom\":0"), "line 2 has a foldedFrom"),
        (line.replace("\"sender\":\"client\"", "\"sender\":\"nobody\""), "line 2 can't be read"),
        (line.replace("\"payload\":", "\"payloadText\":"), "line 2 can't be read"),
        (line.replace("\"payload\":", "\"payload\":1,\"payload\":"), "duplicate field"),
        (line.replace("\"payload\":", "\"payloadText\":\"1\",\"payload\":"), "line 2 needs either"),
        (line.replace("\"id\":", "\"more\":1,\"id\":"), "unknown field `more`"),
        (line[..line.len() - 1].to_owned(), "line 2 can't be read"),
        (r#"{"evicted":{"from":1,"to":0}}"#.to_owned(), "line 2 has indexes 1 to 0"),
        (r#"{"evicted":{"from":1,"to":1,"more":1}}"#.to_owned(), "line 2 can't be read"),
        (r#"{"evicted":{"from":1,"to":18446744073709551615}}"#.to_owned(), "line 3 has indexes"),
    ] {
        let error = refused(&second(line)).await;
        assert!(error.contains(wrong), "{error} is not {wrong}");
    }
    let text = |text: &str| {
        let (head, _) = line.split_once(",\"payload\"").unwrap();
        format!("{head},\"payloadText\":{text}}}")
    };
    for no_json in ["\"\"", "\" 1\"", "\"1\\n\"", "\"{\"", "\"1 2\""] {
        let error = refused(&second(text(no_json))).await;
        assert!(error.contains("line 2 has a payloadText that is no JSON"), "{error}");
    }

    let last = lines.last().unwrap();
    for (from, to) in [("\"events\":20", "\"events\":21"), ("\"lastIndex\":24", "\"lastIndex\":25")] {
        let mut other = lines.clone();
        *other.last_mut().unwrap() = last.replace(from, to);
        assert!(refused(&other).await.starts_with("line 22 says End"));
    }
}

#[tokio::test]
async fn empty_lines_and_line_breaks_are_no_harm() {
    let lines = file().await;
    let spaced: Vec<_> = lines.iter().flat_map(|line| [format!("  {line} \r\n"), "\n".to_owned()]).collect();
    let store = Memory::new();
    assert_eq!(import(&store, &spaced).await.unwrap().events, 20);
}

/// Whatever is done to a file: it is refused with a line's number, or what it says is stored.
#[tokio::test]
async fn garbled_files_are_refused_or_read_as_they_are() {
    let text = lines(&varied().await, "s").await[..40].join("\n");
    for seed in 0..3_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = text.clone().into_bytes();
        for _ in 0..random.usize(1..4) {
            let place = random.usize(..bytes.len());
            let other = random.usize(..bytes.len());
            match random.u8(..5) {
                0 => bytes[place] = random.u8(..),
                1 => bytes.truncate(place.max(1)),
                2 => drop(bytes.drain(place.min(other)..place.max(other))),
                3 => bytes.insert(place, b"{}[]\",:\n0\\"[random.usize(..10)]),
                _ => bytes.swap(place, other),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let garbled = String::from_utf8_lossy(&bytes);
        let store = Memory::new();
        let lines: Vec<_> = garbled.lines().collect();
        match import(&store, &lines).await {
            Ok(imported) => {
                assert_eq!(held(&store, &imported.session_id).await.len() as u64, imported.stored)
            }
            Err(error) => {
                assert_eq!(error.kind(), PersistErrorKind::Corrupt, "seed {seed}: {error}");
                assert!(error.to_string().starts_with("line "), "seed {seed}: {error}");
                assert!(kit::ids(&store).await.is_empty(), "seed {seed}");
            }
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_at_any_call_has_it_all_after_the_next_import() {
    let source = varied().await;
    let lines = lines(&source, "s").await;
    for done in [false, true] {
        for call in 1.. {
            // Broken off, and begun again.
            let store = Memory::new();
            let failing = Faulty::new(&store, Fault::FailsFrom { call, done });
            let failed = import(&failing, &lines).await;
            assert_eq!(held(&store, "s").await, held(&source, "s").await[..held(&store, "s").await.len()]);
            let is_whole = held(&store, "s").await.len() == held(&source, "s").await.len();
            assert!(is_whole || store.get_session("s").await.unwrap().is_none(), "the record came first");
            import(&store, &lines).await.unwrap();
            assert_eq!(held(&store, "s").await, held(&source, "s").await, "failed at call {call}");
            assert_eq!(store.get_session("s").await.unwrap(), source.get_session("s").await.unwrap());

            // The same line given again.
            let store = Memory::new();
            let failing = Faulty::new(&store, Fault::FailsOnce { call, done });
            let mut import = failing.import();
            for line in &lines {
                if let Err(error) = import.line(line).await {
                    assert!(error.is_unavailable(), "{error}");
                    import.line(line).await.unwrap();
                }
            }
            let imported = match import.finish().await {
                Ok(imported) => imported,
                Err(error) if error.is_unavailable() => import.finish().await.unwrap(),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(imported.stored + imported.known, imported.events);
            assert_eq!(held(&store, "s").await, held(&source, "s").await, "failed once at call {call}");
            if failed.is_ok() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn an_import_under_another_id_stands_beside_the_session_in_one_store() {
    let store = varied().await;
    let file = lines(&store, "s").await;
    for name in ["other", "third", "other"] {
        let mut import = store.import().as_session(name);
        for line in &file {
            import.line(line).await.unwrap();
        }
        let imported = import.finish().await.unwrap();
        assert_eq!(imported.session_id, name);
    }
    let ids = |events: Vec<SessionEvent>| events.into_iter().map(|event| event.id).collect::<HashSet<_>>();
    let all = [held(&store, "s").await, held(&store, "other").await, held(&store, "third").await];
    let count = all[0].len();
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [count; 3]);
    assert_eq!(all.clone().into_iter().map(ids).reduce(|a, b| &a | &b).unwrap().len(), 3 * count);
    for (ours, theirs) in all[0].iter().zip(&all[1]) {
        assert_eq!(theirs.session_id, "other");
        assert_eq!(ours.payload.get(), theirs.payload.get());
        assert_eq!(
            (ours.indexes(), ours.created_at, ours.sender),
            (theirs.indexes(), theirs.created_at, theirs.sender)
        );
    }
    let mut want = store.get_session("s").await.unwrap().unwrap();
    want.id = "other".to_owned();
    want.last_connection_id.clear();
    assert_eq!(store.get_session("other").await.unwrap(), Some(want));

    // Under its own id it is itself.
    let mut import = store.import().as_session("s");
    for line in &file {
        import.line(line).await.unwrap();
    }
    assert_eq!(import.finish().await.unwrap().known, count as u64);
}

#[tokio::test]
async fn the_first_event_that_differs_is_named_and_nothing_is_changed() {
    let lines = file().await;
    for place in [1, 5, 20] {
        let store = Memory::new();
        store.update_session(record("s", 5)).await.unwrap();
        fill(&store, "s", 1..place).await;
        let mut other = event("s", place);
        other.payload = raw("{}");
        insert(&store, [other]).await;
        let before = held(&store, "s").await;
        let error = import(&store, &lines).await.unwrap_err();
        assert_eq!(error.kind(), PersistErrorKind::Other);
        assert!(error.to_string().contains(&format!("at index {place}")), "{error}");
        assert_eq!(held(&store, "s").await, before);
    }

    // Its record says so, or its event is in another session.
    let store = Memory::new();
    store.update_session(record("s", 6)).await.unwrap();
    let error = import(&store, &lines).await.unwrap_err();
    assert!(error.to_string().contains("nothing shows that it is the same"), "{error}");
    let store = Memory::new();
    let mut elsewhere = event("s", 3);
    elsewhere.session_id = "t".to_owned();
    elsewhere.event_index = 1;
    insert(&store, [elsewhere]).await;
    let error = import(&store, &lines).await.unwrap_err();
    assert!(error.to_string().contains("\"s/3\" is in the store already"), "{error}");
    assert_eq!(held(&store, "s").await.len(), 2, "those before it");
}

#[tokio::test]
async fn a_copy_that_went_on_keeps_its_record_and_what_was_folded_there_stays() {
    let lines = file().await;
    let store = Memory::new();
    import(&store, &lines).await.unwrap();
    fill(&store, "s", 25..=30).await;
    let mut newer = record("s", 5);
    newer.title = Some("Another".to_owned());
    store.update_session(newer.clone()).await.unwrap();
    fold(&store, run("s", 2, 20)).await;
    let imported = import(&store, &lines).await.unwrap();
    assert_eq!((imported.stored, imported.known, imported.record_stored), (0, 20, false));
    assert_eq!(store.get_session("s").await.unwrap(), Some(newer));
}

#[tokio::test]
async fn what_another_writer_stores_meanwhile_is_compared() {
    let source = varied().await;
    let lines = lines(&source, "s").await;
    let all = held(&source, "s").await;
    for call in 1..8 {
        let store = Memory::new();
        let theirs = all.clone();
        let racing = Faulty::meanwhile(&store, call, move |store| {
            let theirs = theirs.clone();
            async move { assert!(store.insert_events("s", theirs).await.is_ok()) }
        });
        let imported = import(&racing, &lines).await.unwrap();
        assert_eq!(imported.stored + imported.known, all.len() as u64);
        assert_eq!(held(&store, "s").await, all);
    }
    // Deleted meanwhile, it is no session whose beginning is missing.
    let store = Memory::new();
    let deleted = Faulty::meanwhile(&store, 5, |store| async move {
        store.delete_session("s").await.unwrap();
    });
    let error = import(&deleted, &lines).await.unwrap_err();
    assert!(error.to_string().contains("deleted meanwhile"), "{error}");
    assert!(held(&store, "s").await.is_empty());
}

#[tokio::test]
async fn a_byte_order_mark_before_the_first_line_is_passed_over_and_nowhere_else() {
    let mut lines = file().await;
    lines[0].insert(0, '\u{feff}');
    let store = Memory::new();
    import(&store, &lines).await.unwrap();
    assert_eq!(held(&store, "s").await.len(), 20);
    lines[1].insert(0, '\u{feff}');
    assert!(refused(&lines).await.starts_with("line 2 is no JSON object"));
}

#[tokio::test]
async fn an_error_names_the_session_once_it_is_known_and_the_way_out() {
    let lines = file().await;
    let cut = refused(&lines[..5]).await;
    assert!(cut.contains("session \"s\"") && cut.contains("export it anew"), "{cut}");
    let headless = refused(&lines[1..]).await;
    assert!(headless.contains("from the first one"), "{headless}");
}
