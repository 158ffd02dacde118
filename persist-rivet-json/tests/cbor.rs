//! A state that is one CBOR object.
#![cfg(feature = "cbor")]
#![allow(clippy::unwrap_used)]

mod kit;

use std::sync::Arc;

use ciborium::Value;
use kit::{Driver, event, held, limits};
use sandbox_agent_persist::conformance::Harness;
use sandbox_agent_persist::{
    Capabilities, Inserted, PersistErrorKind, SessionPersistDriver, SessionRecord, async_trait,
};
use sandbox_agent_persist_rivet_json::{CborState, RivetJsonOptions};

struct InCbor;

#[async_trait]
impl Harness for InCbor {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().evicts().follows().upkeep()
    }

    async fn fresh(&self) -> Arc<dyn SessionPersistDriver> {
        let options = RivetJsonOptions::unlimited().max_events_per_session(1000);
        Arc::new(Driver::open_with_options(CborState::new(), options).await.unwrap())
    }
}

mod contract {
    use super::InCbor;
    sandbox_agent_persist::conformance_tests!(InCbor);
}

/// What `cbor-x` writes of a state, as the JavaScript side of Rivet does.
const OF_JAVASCRIPT: &str = "b9000465636f756e7403745f73616e64626f784167656e7450657273697374b900026873657373696f6e73b900016173b900076269646173656167656e7465636f6465786e6167656e7453657373696f6e49646161706c617374436f6e6e656374696f6e4964616369637265617465644174fb4278bcfe568000006b64657374726f7965644174f76b73657373696f6e496e6974b9000163637764622f72666576656e7473b90001617381b900076269646265316a6576656e74496e646578016973657373696f6e4964617369637265617465644174fb4278bcfe568010006c636f6e6e656374696f6e496461636673656e646572656167656e74677061796c6f6164b90003676a736f6e72706363322e30666d6574686f64616d66706172616d73b90002616efb3ff800000000000063626967fb41f2a05f2000000064626c6f62d840420102647768656ec11a00000000";

fn of_javascript() -> Vec<u8> {
    let digits = OF_JAVASCRIPT.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn members(state: &[u8]) -> Vec<(Value, Value)> {
    ciborium::from_reader::<Value, _>(state).unwrap().into_map().unwrap()
}

fn without_sessions(state: &[u8]) -> Vec<(Value, Value)> {
    let mut members = members(state);
    members.retain(|(name, _)| name.as_text() != Some("_sandboxAgentPersist"));
    members
}

#[tokio::test]
async fn a_state_of_javascript_opens_grows_and_keeps_what_is_beside() {
    let saved = of_javascript();
    let state = CborState::from_bytes(&saved).unwrap();
    let store = Driver::open(state.clone()).await.unwrap();
    assert_eq!(members(&state.to_bytes()), members(&saved), "nothing is changed by opening");

    let record = store.get_session("s").await.unwrap().unwrap();
    assert_eq!((record.created_at, record.destroyed_at), (1_700_000_000_000, None));
    let events = held(&store, "s").await;
    let payload = r#"{"jsonrpc":"2.0","method":"m","params":{"n":1.5,"big":5000000000}}"#;
    assert_eq!((events[0].payload.get(), events[0].created_at), (payload, 1_700_000_000_001));

    let inserted = store.insert_event("s", event("s", 2, payload)).await.unwrap();
    assert_eq!(inserted, Inserted::Stored);
    let bytes = state.to_bytes();
    assert_eq!(without_sessions(&bytes), without_sessions(&saved));
    let again = Driver::open(CborState::from_bytes(&bytes).unwrap()).await.unwrap();
    let payloads: Vec<_> = held(&again, "s").await.into_iter().map(|event| event.payload).collect();
    assert_eq!(payloads.iter().map(|payload| payload.get()).collect::<Vec<_>>(), [payload, payload]);
}

#[tokio::test]
async fn a_flood_stays_below_the_limit_in_cbor() {
    let state = CborState::new();
    let store = Driver::open(state.clone()).await.unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    let most = RivetJsonOptions::new().max_bytes;
    for index in 1..=3_000 {
        let payload = match random.u8(..5) {
            0 => format!("[{}0.5]", "0.5,".repeat(random.usize(..200))),
            1 => kit::update_of(random.usize(..30_000)),
            _ => kit::update_of(random.usize(..300)),
        };
        let inserted = store.insert_event("s", event("s", index, &payload)).await.unwrap();
        assert_eq!(inserted, Inserted::Stored);
        if index % 10 == 0 {
            let length = state.to_bytes().len() - "_sandboxAgentPersist".len() - 2;
            assert!(length <= store.content().bytes() && store.content().bytes() <= most, "{length}");
        }
    }
}

#[tokio::test]
async fn what_is_no_state_is_refused_and_nothing_is_an_empty_one() {
    for bytes in [&[0xff][..], &[0x01], &[0x80], &of_javascript()[..100]] {
        let error = CborState::from_bytes(bytes).unwrap_err();
        assert_eq!(error.kind(), PersistErrorKind::Corrupt);
    }
    for bytes in [&[][..], &[0xf6], &[0xf7], &[0xa0]] {
        let store = Driver::open(CborState::from_bytes(bytes).unwrap()).await.unwrap();
        assert!(held(&store, "s").await.is_empty());
    }
}

#[tokio::test]
async fn members_beside_the_drivers_can_be_changed_and_its_own_not() {
    let state = CborState::new();
    let store = Driver::open(state.clone()).await.unwrap();
    store.update_session(SessionRecord::new("s", "codex", 1)).await.unwrap();
    state.change(|members| members.push(("mine".into(), Value::Bytes(vec![7; 500])))).unwrap();
    let own = (Value::from("_sandboxAgentPersist"), Value::Null);
    let refused = state.change(|members| {
        members.clear();
        members.push(own);
    });
    assert_eq!(refused.unwrap_err().kind(), PersistErrorKind::Other);
    let names: Vec<_> =
        members(&state.to_bytes()).into_iter().map(|(name, _)| name.into_text().unwrap()).collect();
    assert_eq!(names, ["mine", "_sandboxAgentPersist"]);

    state.retire();
    let fenced = store.update_session(SessionRecord::new("s", "codex", 1)).await.unwrap_err();
    assert_eq!(fenced.kind(), PersistErrorKind::Fenced);
}

#[tokio::test]
async fn a_limit_leaves_room_for_the_drivers_and_for_what_is_beside() {
    let state = CborState::new().with_limit(10_000);
    let large = Driver::open(state.clone()).await.unwrap();
    let refused = large.update_session(SessionRecord::new("s", "codex", 1)).await.unwrap_err();
    assert_eq!(refused.kind(), PersistErrorKind::TooLarge);
    assert!(refused.to_string().contains("RivetJsonOptions::max_bytes"), "{refused}");
    assert_eq!(state.to_bytes(), [0xa0], "it was not taken in");

    let store = Driver::open_with_options(state.clone(), limits().max_bytes(8_000)).await.unwrap();
    store.update_session(SessionRecord::new("s", "codex", 1)).await.unwrap();
    let member = |size| (Value::from("mine"), Value::Bytes(vec![7; size]));
    state.change(|members| members.push(member(1_900))).unwrap();
    let before = state.to_bytes();
    let refused = state.change(|members| members.push(member(100))).unwrap_err();
    assert_eq!(refused.kind(), PersistErrorKind::TooLarge);
    assert_eq!(state.to_bytes(), before);
    for index in 1..=200 {
        let inserted = store.insert_event("s", event("s", index, kit::UPDATE)).await.unwrap();
        assert_eq!(inserted, Inserted::Stored);
    }
    assert!((7_000..=10_000).contains(&state.to_bytes().len()), "{}", state.to_bytes().len());
}
