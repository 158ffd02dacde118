//! What is redacted before it is stored, and what stays byte for byte.
#![allow(clippy::unwrap_used)]

mod kit;

use std::sync::Arc;

use kit::{Memory, event, everything, fill, held, insert, raw, record};
use sandbox_agent_persist::{
    Inserted, PersistError, RawValue, SessionEvent, SessionPersistDriver, SessionPersistDriverExt,
    SessionRecord,
};
use sandbox_agent_persist_layers::{EncryptedDriver, Keys, REDACTED, Redact, RedactingDriver, Secrets};
use serde_json::{Value, json};

const PLAIN: &str = "hunter2/é\"x\"";

fn secrets() -> Secrets {
    Secrets::new().value(PLAIN).value("sk-1234").value("sk-1234-long").member("X-Internal_Key")
}

/// The payload as it is stored; `None` where it stays as it is.
fn redacted(redact: &impl Redact, payload: &str) -> Option<String> {
    let mut event = event("s", 1);
    event.payload = raw(payload);
    redact.payload(&event).map(|payload| payload.get().to_owned())
}

fn params(text: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\", \"id\" : 1.0,\n\"method\":\"a\",\"params\":{text} }}")
}

#[test]
fn values_are_replaced_wherever_they_stand_and_all_else_stays() {
    for (text, want) in [
        (r#"{"a": "sk-1234"}"#, r#"{"a": "[redacted]"}"#),
        (
            r#"["x sk-1234, sk-1234-long.", 1.50, {"b" :null}]"#,
            r#"["x [redacted], [redacted].", 1.50, {"b" :null}]"#,
        ),
        (r#"{"deep":[[{"sk-1234 as a name":[true]}]]}"#, r#"{"deep":[[{"[redacted] as a name":[true]}]]}"#),
        (r#"{"a":"sk-12345","a":"sk-1234"}"#, r#"{"a":"[redacted]5","a":"[redacted]"}"#),
        // However it is escaped, and among what can't be read as text.
        (r#""\u0073\u006B-1\u003234""#, r#""[redacted]""#),
        (
            r#""\ud800 \u0073k-1234 \udc00\n\t\" é""#,
            "\"\u{fffd}\u{fffd}\u{fffd} [redacted] \u{fffd}\u{fffd}\u{fffd}\\n\\t\\\" é\"",
        ),
        (r#""hunter2/é\"x\"""#, r#""[redacted]""#),
        (r#""hunter2\/\u00e9\"x\"""#, r#""[redacted]""#),
        (r#""hunter2\/\u00C9\"x\" hunter2/é\u0022x\u0022""#, "\"hunter2/É\\\"x\\\" [redacted]\""),
        // And in JSON that is text.
        (r#""{\"password\":\"hunter2/é\\\"x\\\"\"}""#, r#""{\"password\":\"[redacted]\"}""#),
        (r#""🦀sk-1234🦀""#, r#""🦀[redacted]🦀""#),
    ] {
        let got = redacted(&secrets(), &params(text)).unwrap();
        assert_eq!(got, params(want), "{text}");
        assert_eq!(redacted(&secrets(), &got), None, "it is redacted already: {got}");
    }
}

#[test]
fn members_are_redacted_by_their_names() {
    for (text, want) in [
        (
            r#"{"apiKey":"a","api_key":"b","API-KEY":"c","x-api-key":"d"}"#,
            r#"{"apiKey":"[redacted]","api_key":"[redacted]","API-KEY":"[redacted]","x-api-key":"[redacted]"}"#,
        ),
        (
            r#"{"\u0070assword" : "a", "to\u006ben":"b"}"#,
            r#"{"\u0070assword" : "[redacted]", "to\u006ben":"[redacted]"}"#,
        ),
        (
            r#"{"token":-1.5e+3,"password":true,"secret":null,"cookie":""}"#,
            r#"{"token":"[redacted]","password":true,"secret":null,"cookie":""}"#,
        ),
        (
            r#"{"authorization":{"scheme":"Bearer","n":[1,["x"],{"id":"y"}]},"b":"z"}"#,
            r#"{"authorization":{"scheme":"[redacted]","n":["[redacted]",["[redacted]"],{"id":"[redacted]"}]},"b":"z"}"#,
        ),
        (
            r#"[{"xInternalKey":"a"},{"b":{"x_internal-key":"c"}}]"#,
            r#"[{"xInternalKey":"[redacted]"},{"b":{"x_internal-key":"[redacted]"}}]"#,
        ),
        // Values of environments and headers, as servers of either kind have them.
        (
            r#"{"mcpServers":[{"name":"n","env":[{"name":"A","value":"a"},{"value":"b","name":"B"}],"headers":[{"name":"H","value":"h"}]}]}"#,
            r#"{"mcpServers":[{"name":"n","env":[{"name":"A","value":"[redacted]"},{"value":"[redacted]","name":"B"}],"headers":[{"name":"H","value":"[redacted]"}]}]}"#,
        ),
        (
            r#"{"env":{"A":"a","B":{"c":"d"}},"x":{"env":["A=a",1]},"value":"v"}"#,
            r#"{"env":{"A":"[redacted]","B":{"c":"[redacted]"}},"x":{"env":["[redacted]","[redacted]"]},"value":"v"}"#,
        ),
    ] {
        let got = redacted(&secrets(), &params(text)).unwrap();
        assert_eq!(got, params(want), "{text}");
        assert_eq!(redacted(&secrets(), &got), None, "it is redacted already: {got}");
    }
}

#[test]
fn a_payload_without_a_hit_stays_and_so_does_what_makes_it_a_message() {
    for payload in [
        params(r#"{"a":"sk-123","tokens":5,"maxTokens":"6","env":"production","headers":null,"key":"k"}"#),
        params(r#"{"password":"[redacted]","text":"[redacted] and \u005bredacted]"}"#),
        r#"{"jsonrpc":"sk-1234","id":"sk-1234","method":"sk-1234"}"#.to_owned(),
        r#"{"id":{"token":"a","sk-1234":1,"env":{"b":"sk-1234"}},"method":["sk-1234",1]}"#.to_owned(),
        "null".to_owned(),
        "-1.5e3".to_owned(),
    ] {
        assert_eq!(redacted(&secrets(), &payload), None, "{payload}");
    }
    // Within params the same names mean nothing; and beside them nothing is safe.
    for (payload, want) in [
        (
            r#"{"params":{"id":"sk-1234","method":"sk-1234"}}"#,
            r#"{"params":{"id":"[redacted]","method":"[redacted]"}}"#,
        ),
        (r#"{"id":1,"result":"sk-1234"}"#, r#"{"id":1,"result":"[redacted]"}"#),
        (
            r#"{"id":1,"error":{"code":1,"message":"sk-1234","data":{"token":7}}}"#,
            r#"{"id":1,"error":{"code":1,"message":"[redacted]","data":{"token":"[redacted]"}}}"#,
        ),
        (
            r#"{"\u0069d":"sk-1234","_meta":{"a":"sk-1234"}}"#,
            r#"{"\u0069d":"sk-1234","_meta":{"a":"[redacted]"}}"#,
        ),
        (r#"["sk-1234"]"#, r#"["[redacted]"]"#),
        (r#""sk-1234""#, r#""[redacted]""#),
    ] {
        assert_eq!(redacted(&secrets(), payload).as_deref(), Some(want));
    }
}

#[test]
fn it_does_nothing_twice_whatever_the_secrets_are() {
    let odd = Secrets::only().value("red").value("[re").value("y[re").value("acted]").value("").value("a");
    for text in ["red", "[redacted]", "y[red[red", "yaacted]", "[[redacted]]", "aaa", "x\\u005bre"] {
        let payload = params(&format!("\"{text}\""));
        if let Some(once) = redacted(&odd, &payload) {
            assert_eq!(redacted(&odd, &once), None, "{text}: {once}");
        }
    }
    for seed in 0..2_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let letters = ["a", "b", "[", "]", "red", "\\\"", "\\u0061", "é", "\\\\", REDACTED];
        let mut text =
            || -> String { (0..random.usize(..8)).map(|_| letters[random.usize(..letters.len())]).collect() };
        let secret = |json: String| serde_json::from_str::<String>(&format!("\"{json}\"")).unwrap();
        let secrets = Secrets::only().value(secret(text())).value(secret(text()));
        let payload = params(&format!("[\"{}\",{{\"{}\":\"{}\"}}]", text(), text(), text()));
        let once = redacted(&secrets, &payload).unwrap_or(payload);
        assert_eq!(redacted(&secrets, &once), None, "seed {seed}: {once}");
    }
}

/// What a parser says, in the slow and simple way.
fn hides(value: &Value, secret: &str) -> bool {
    match value {
        Value::String(text) => !text.split(REDACTED).any(|part| part.contains(secret)),
        Value::Array(items) => items.iter().all(|item| hides(item, secret)),
        Value::Object(members) => {
            members.iter().all(|(name, value)| !name.contains(secret) && hides(value, secret))
        }
        _ => true,
    }
}

#[test]
fn random_json_never_keeps_a_secret_and_differs_in_nothing_else() {
    fn value(random: &mut fastrand::Rng, depth: u8) -> String {
        let strings =
            ["\"x\"", "\"the s3cret\"", "\"\\u00733cret\\n\"", "\"\\ud83e\\udd80\"", "\"s3\"", "\"\\\\\""];
        let string = |random: &mut fastrand::Rng| strings[random.usize(..strings.len())];
        match random.u8(..if depth == 0 { 3 } else { 5 }) {
            0 => string(random).to_owned(),
            1 => ["1.0", "-0", "1e5", "12345678901234567890123"][random.usize(..4)].to_owned(),
            2 => ["true", "null", " false "][random.usize(..3)].to_owned(),
            3 => {
                let items: Vec<_> = (0..random.u8(..4)).map(|_| value(random, depth - 1)).collect();
                format!("[ {}]", items.join(" , "))
            }
            _ => {
                let members: Vec<_> = (0..random.u8(..4))
                    .map(|_| format!("{} :\n{}", string(random), value(random, depth - 1)))
                    .collect();
                format!("{{{} }}", members.join(","))
            }
        }
    }
    let secrets = Secrets::only().value("s3cret");
    for seed in 0..3_000 {
        let text = params(&value(&mut fastrand::Rng::with_seed(seed), 5));
        let got = redacted(&secrets, &text);
        let parsed: Value = serde_json::from_str(got.as_deref().unwrap_or(&text)).unwrap();
        assert!(hides(&parsed, "s3cret"), "seed {seed}: {text}");
        let by_hand = text.replace("the s3cret", "the [redacted]").replace("\\u00733cret", "[redacted]");
        assert_eq!(got.unwrap_or(text), by_hand, "seed {seed}");
    }
}

#[test]
fn depth_and_length_do_no_harm() {
    let deep = format!("{}\"sk-1234\"{}", "[".repeat(200_000), "]".repeat(200_000));
    let event = |payload: String| {
        let mut event = event("s", 1);
        event.payload = RawValue::from_string(payload).unwrap();
        event
    };
    let got = secrets().payload(&event(params(&deep))).unwrap();
    assert!(got.get().contains("[[\"[redacted]\"]]"));
    let long = params(&format!("\"{}\"", "sk-1234 ".repeat(20_000)));
    assert!(!secrets().payload(&event(long)).unwrap().get().contains("sk-1234"));
}

#[tokio::test]
async fn the_store_never_has_it_and_readers_get_what_it_has() {
    let store = Memory::new();
    let secrets = Secrets::new().value(kit::SECRET);
    let sessions = RedactingDriver::new(store.clone(), secrets);
    let without_ids = |session_id: &str, index: u64| {
        let mut event = event(session_id, index);
        event.payload = raw(format!(r#"{{"method":"m","params":"{} {index}"}}"#, kit::SECRET));
        event
    };
    sessions.update_session(record("s")).await.unwrap();
    insert(&sessions, without_ids("s", 1)).await;
    let batch = (2..5).map(|index| without_ids("s", index)).collect();
    assert_eq!(sessions.insert_events("s", batch).await.unwrap(), Inserted::Stored);
    let mut folded = without_ids("s", 3).standing_from(2);
    folded.id = "folded".to_owned();
    assert!(sessions.upkeep().unwrap().fold("s", folded).await.unwrap());

    let seen = everything(&store).await;
    assert!(!seen.contains(kit::SECRET), "{seen}");
    assert_eq!(held(&sessions, "s").await, held(&store, "s").await);
    let stored = sessions.get_session("s").await.unwrap().unwrap();
    assert_eq!(
        stored.session_init,
        Some(json!({"cwd": REDACTED, "mcpServers": [{"env": [{"name": "A", "value": REDACTED}]}]}))
    );
    assert_eq!(stored.config_options, Some(json!(null)));
    assert_eq!(stored.modes, Some(json!([REDACTED, 1.5])));
    assert_eq!(stored.title.as_deref(), Some("About [redacted]"));
    assert_eq!(stored.tags, ["[redacted]-tag".to_owned(), "other".to_owned()].into());
    assert_eq!(Value::Object(stored.extra.clone()), json!({"[redacted] member": {"b": 1, "a": [REDACTED]}}));
    assert_eq!((stored.id.as_str(), stored.agent_session_id.as_str()), ("s", "agent's"));
    // Stored again, it stays.
    sessions.update_session(stored.clone()).await.unwrap();
    assert_eq!(sessions.get_session("s").await.unwrap(), Some(stored));
}

#[tokio::test]
async fn what_comes_from_elsewhere_is_redacted_on_its_way_and_goes_on() {
    let (plain, store) = (Memory::new(), Memory::new());
    let sessions = RedactingDriver::new(store.clone(), Secrets::new().value(kit::SECRET));
    fill(&plain, "s", 3).await;
    let copy = || plain.copy_to(&sessions).payloads_may_differ();
    assert_eq!(copy().session("s").await.unwrap().stored, 3);
    insert(&plain, event("s", 4)).await;
    assert_eq!(copy().session("s").await.unwrap().stored, 1);
    let strict = plain.copy_to(&sessions).session("s").await.unwrap_err();
    assert!(strict.to_string().contains("not the same one"), "{strict}");

    let mut lines = Vec::new();
    let mut export = plain.export("s");
    while let Some(line) = export.next_line().await.unwrap() {
        lines.push(line);
    }
    let mut import = sessions.import().payloads_may_differ();
    for line in &lines {
        import.line(line).await.unwrap();
    }
    assert_eq!(import.finish().await.unwrap().known, 4);
    let another = event("another", 1);
    let mut import = sessions.import().payloads_may_differ();
    for line in &lines {
        import.line(&line.replace("s/1", &another.id)).await.unwrap();
    }
    assert!(import.finish().await.unwrap_err().to_string().contains("at index 1"));

    // Only of what a message is made of is nothing taken.
    assert!(!everything(&store).await.replace("\"method\":\"m/xyzzy\"", "").contains(kit::SECRET));
}

#[tokio::test]
async fn what_was_not_secret_is_stored_byte_for_byte() {
    let store = Memory::new();
    let sessions = RedactingDriver::new(store.clone(), secrets());
    fill(&sessions, "s", 3).await;
    assert_eq!(held(&store, "s").await, [event("s", 1), event("s", 2), event("s", 3)]);
}

#[tokio::test]
async fn functions_of_ones_own_redact_and_a_layer_within_encrypts() -> Result<(), PersistError> {
    let store = Memory::new();
    let encrypted = EncryptedDriver::new(store.clone(), Keys::new("k", &[1; 32]));
    let sessions: Arc<dyn SessionPersistDriver> = Arc::new(RedactingDriver::new(
        encrypted.clone(),
        (
            |event: &SessionEvent| (event.event_index == 2).then(|| raw("\"gone\"")),
            |record: &mut SessionRecord| record.title = None,
        ),
    ));
    fill(&sessions, "s", 3).await;
    let events = held(&encrypted, "s").await;
    assert_eq!(events[1].payload.get(), "\"gone\"");
    assert_eq!(events[2], event("s", 3));
    assert_eq!(encrypted.get_session("s").await?.unwrap().title, None);
    assert!(!everything(&store).await.contains(kit::SECRET));
    let shown = format!("{sessions:?} {:?}", secrets());
    assert!(!shown.contains("hunter2") && !shown.contains("sk-1234"), "{shown}");
    Ok(())
}
