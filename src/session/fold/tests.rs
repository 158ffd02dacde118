//! What is folded, and what comes of cutting it.

use proptest::prelude::*;

use super::*;

fn chunk(index: u64, sse: u64, text: &str) -> SessionEvent {
    update(
        index,
        sse,
        json!({ "sessionUpdate": "agent_message_chunk", "content": { "type": "text", "text": text } }),
    )
}

fn update(index: u64, sse: u64, update: Value) -> SessionEvent {
    let params = json!({ "sessionId": "a", "update": update });
    let envelope = json!({ "jsonrpc": "2.0", "method": "session/update", "params": params });
    event(index, &format!("server:{sse}"), &envelope)
}

fn event(index: u64, id: &str, envelope: &Value) -> SessionEvent {
    let payload = RawValue::from_string(envelope.to_string()).unwrap();
    SessionEvent::new(id, index, "s", 5, "server", Sender::Agent, payload)
}

fn fold(events: Vec<SessionEvent>) -> Vec<SessionEvent> {
    let mut folder = Folder::default();
    let mut folded: Vec<_> = events.into_iter().filter_map(|event| folder.add(event)).collect();
    folded.extend(folder.finish());
    folded.into_iter().map(|folded| folded.event).collect()
}

fn text(event: &SessionEvent) -> String {
    let mut envelope: Value = serde_json::from_str(event.payload.get()).unwrap();
    text_mut(&mut envelope).unwrap().clone()
}

#[test]
fn chunks_of_one_message_become_one_event() {
    let folded = fold(vec![chunk(4, 7, "a"), chunk(5, 8, "ü"), chunk(6, 9, "c")]);
    let [run] = &folded[..] else { panic!("{folded:?}") };
    assert_eq!((run.indexes(), run.id.as_str(), text(run).as_str()), (4..=6, "server:folded:7-9", "aüc"));
    assert_eq!(ids::span(run), Some(7..=9));
}

#[test]
fn only_what_differs_in_its_text_alone_is_folded() {
    let other = |index, sse| {
        update(
            index,
            sse,
            json!({ "sessionUpdate": "agent_message_chunk", "messageId": "2", "content": { "type": "text", "text": "x" } }),
        )
    };
    let thought = |index, sse| {
        update(
            index,
            sse,
            json!({ "sessionUpdate": "agent_thought_chunk", "content": { "type": "text", "text": "x" } }),
        )
    };
    let image = |index, sse| {
        update(
            index,
            sse,
            json!({ "sessionUpdate": "agent_message_chunk", "content": { "type": "image", "data": "x" } }),
        )
    };
    let answer = event(2, "server:2", &json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    let mut elsewhere = chunk(2, 2, "b");
    elsewhere.connection_id = "other".to_owned();
    elsewhere.id = "other:2".to_owned();
    let mut ours = chunk(2, 2, "b");
    ours.sender = Sender::Client;
    for between in [other(2, 2), thought(2, 2), image(2, 2), answer, elsewhere, ours] {
        assert_eq!(fold(vec![chunk(1, 1, "a"), between, chunk(3, 3, "c")]), []);
    }
    assert_eq!(fold(vec![chunk(1, 1, "a"), chunk(3, 2, "c")]), [], "an index is missing");
    assert_eq!(fold(vec![chunk(1, 1, "a"), chunk(2, 3, "c")]), [], "an event of the process is missing");
    assert_eq!(fold(vec![chunk(1, 1, "a")]), []);
    let runs = fold(vec![thought(1, 1), thought(2, 2), chunk(3, 3, "a"), chunk(4, 4, "b"), other(5, 5)]);
    assert_eq!(runs.iter().map(SessionEvent::indexes).collect::<Vec<_>>(), [1..=2, 3..=4]);
}

#[test]
fn what_was_folded_is_not_folded_again() {
    let mut folded = fold(vec![chunk(1, 1, "a"), chunk(2, 2, "b")]);
    folded.push(chunk(3, 3, "c"));
    assert_eq!(fold(folded), []);
}

#[test]
fn no_run_has_more_text_than_a_reader_can_hold() {
    let large = "x".repeat(MAX_TEXT / 2);
    let folded = fold((1..=5).map(|index| chunk(index, index, &large)).collect());
    assert_eq!(folded.iter().map(SessionEvent::indexes).collect::<Vec<_>>(), [1..=2, 3..=4]);
}

#[test]
fn no_run_has_chunks_without_end_be_they_empty() {
    let most = MAX_CHUNKS as u64;
    let folded = fold((1..=most + 2).map(|index| chunk(index, index, "")).collect());
    assert_eq!(folded.iter().map(SessionEvent::indexes).collect::<Vec<_>>(), [1..=most, most + 1..=most + 2]);
}

#[test]
fn a_run_knows_what_its_chunks_took() {
    let mut folder = Folder::default();
    let chunks = [chunk(4, 7, "a"), chunk(5, 8, "ü"), chunk(6, 9, "c")];
    let took: usize = chunks.iter().map(|chunk| chunk.payload.get().len()).sum();
    assert!(chunks.into_iter().all(|chunk| folder.add(chunk).is_none()));
    assert_eq!(folder.finish().unwrap().bytes, took);
}

#[test]
fn what_can_t_be_cut_is_given_whole() {
    let mut foreign = chunk(9, 9, "abc").standing_from(5);
    assert_eq!(clip(foreign.clone(), Some(6), None), foreign);
    let lengths = |lengths: Value| {
        let mut envelope: Value = serde_json::from_str(chunk(9, 9, "aüc").payload.get()).unwrap();
        envelope["params"]["_meta"] = json!({ MARK: lengths });
        RawValue::from_string(envelope.to_string()).unwrap()
    };
    for wrong in
        [json!([1]), json!([1, 1, 1, 1, 1]), json!([2, 1, 1, 0, 0]), json!([u64::MAX, 1, 1, 1, 1]), json!(1)]
    {
        foreign.payload = lengths(wrong);
        assert_eq!(clip(foreign.clone(), Some(5), None), foreign);
    }
}

proptest! {
    #[test]
    fn every_cut_has_just_the_chunks_of_its_indexes(
        texts in prop::collection::vec("[aü]{0,3}", 2..9),
        after in 0u64..14,
        before in 0u64..14,
    ) {
        let chunks: Vec<_> = (3..).zip(&texts).map(|(index, text)| chunk(index, index + 1, text)).collect();
        let folded = fold(chunks.clone()).remove(0);
        let bounds = (Some(after), Some(before));
        prop_assume!(folded.is_within(bounds) && after + 1 < before);
        let part = clip(folded, Some(after), Some(before));
        let within: Vec<_> = chunks.iter().filter(|chunk| chunk.is_within(bounds)).collect();
        prop_assume!(!within.is_empty());
        prop_assert_eq!(part.indexes(), within[0].event_index..=within[within.len() - 1].event_index);
        prop_assert_eq!(text(&part), within.iter().map(|chunk| text(chunk)).collect::<String>());
        if let [alone] = within[..] {
            prop_assert_eq!(part.payload.get(), alone.payload.get());
        }
        // And so has a cut of a cut.
        let again = clip(part.clone(), Some(*part.indexes().start()), None);
        if part.indexes().count() > 1 {
            prop_assert_eq!(text(&again), within[1..].iter().map(|chunk| text(chunk)).collect::<String>());
        }
    }
}
