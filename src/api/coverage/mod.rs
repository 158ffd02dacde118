//! Holds what this crate has of the server against the server's own document: every operation, every
//! parameter, every field of what goes out and of what comes in.

mod document;
mod samples;

use std::collections::BTreeSet;
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::document::{Document, Parts};
use super::operation::{Channel, Octets, Operation};
use super::{agents, config, desktop, fs, processes, server};

/// Operations that are somewhere else.
const ELSEWHERE: [(&str, &str); 2] = [
    (
        "POST /v1/acp/{server_id}",
        "src/acp/post.rs sends envelopes; their types are those of the protocol's own crate",
    ),
    ("GET /v1/acp/{server_id}", "src/acp/reader.rs and fetch.rs read the events, whose sequence they keep"),
];

/// Parameters that are not used.
const UNUSED: [(&str, &str); 2] = [
    ("GET /v1/processes/{id}/terminal/ws access_token", "the token goes into a header: addresses are logged"),
    ("GET /v1/desktop/stream/signaling access_token", "the server takes the token from the header alone"),
];

/// What an operation takes or gives.
trait Shape {
    const KIND: &'static str;
    /// What becomes of a value that is read and printed again.
    fn again(value: &Value) -> Result<Value, String>;
}

impl<T: Serialize + DeserializeOwned> Shape for T {
    const KIND: &'static str = "JSON";

    fn again(value: &Value) -> Result<Value, String> {
        let read: T = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        serde_json::to_value(&read).map_err(|error| error.to_string())
    }
}

impl Shape for Octets {
    const KIND: &'static str = "octets";

    fn again(_: &Value) -> Result<Value, String> {
        Ok(Value::Null)
    }
}

impl Shape for Channel {
    const KIND: &'static str = "channel";

    fn again(_: &Value) -> Result<Value, String> {
        Ok(Value::Null)
    }
}

struct Coverage {
    document: Document,
    seen: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Coverage {
    fn check<Q: Shape + Debug, B: Shape, R: Shape>(&mut self, operation: &Operation<Q, B, R>) {
        let name = format!("{} {}", operation.method, operation.path);
        let Some(Parts { query, body, answer }) = self.document.operation(&name) else {
            return self.wrong.push(format!("{name} is not in the document"));
        };
        let query = query.map(|mut query| {
            query.retain(|parameter| {
                !UNUSED.iter().any(|(unused, _)| *unused == format!("{name} {}", parameter.name))
            });
            query
        });
        self.shape::<Q>(
            &format!("{name}: query"),
            query.map_or(document::Content::None, document::Content::of),
        );
        self.shape::<B>(&format!("{name}: request"), body);
        self.shape::<R>(&format!("{name}: response"), answer);
        if !self.seen.insert(name.clone()) {
            self.wrong.push(format!("{name} is there twice"));
        }
    }

    fn shape<T: Shape>(&mut self, what: &str, content: document::Content) {
        match content {
            document::Content::None => {
                self.expect(what, "nothing", T::KIND == "JSON" && T::again(&Value::Null).is_ok())
            }
            document::Content::Octets => self.expect(what, "octets", T::KIND == "octets"),
            document::Content::Channel => self.expect(what, "channel", T::KIND == "channel"),
            document::Content::Json(schema) => {
                for sample in samples::of(&self.document, &schema) {
                    match T::again(&sample).map(samples::without_nulls) {
                        Ok(again) if again == sample => {}
                        Ok(again) => {
                            self.wrong.push(format!("{what}: of\n  {sample}\nthere is left\n  {again}"))
                        }
                        Err(error) => self.wrong.push(format!("{what}: {error}, in\n  {sample}")),
                    }
                }
                for sample in samples::tolerated(&self.document, &schema) {
                    if let Err(error) = T::again(&sample) {
                        self.wrong.push(format!("{what}: {error}, in\n  {sample}"));
                    }
                }
            }
        }
    }

    fn expect(&mut self, what: &str, expected: &str, is: bool) {
        if !is {
            self.wrong.push(format!("{what} is {expected} in the document"));
        }
    }
}

macro_rules! check {
    ($coverage:ident, $($area:ident { $($operation:ident)* })*) => {
        $($($coverage.check(&$area::operations::$operation);)*)*
    };
}

#[test]
fn every_operation_and_every_field_of_the_document_is_there() {
    let mut coverage = Coverage { document: Document::read(), seen: BTreeSet::new(), wrong: Vec::new() };
    check! { coverage,
        agents { LIST GET INSTALL }
        config { MCP SET_MCP DELETE_MCP SKILLS SET_SKILLS DELETE_SKILLS }
        desktop {
            STATUS START STOP DISPLAY SCREENSHOT SCREENSHOT_REGION
            MOUSE_POSITION MOUSE_MOVE MOUSE_CLICK MOUSE_DOWN MOUSE_UP MOUSE_DRAG MOUSE_SCROLL
            KEY_DOWN KEY_UP KEY_PRESS KEY_TYPE CLIPBOARD SET_CLIPBOARD LAUNCH OPEN
            WINDOWS WINDOW_FOCUSED WINDOW_FOCUS WINDOW_MOVE WINDOW_RESIZE
            RECORDING_START RECORDING_STOP RECORDINGS RECORDING RECORDING_DELETE RECORDING_DOWNLOAD
            STREAM_STATUS STREAM_START STREAM_STOP STREAM_SIGNALING
        }
        fs { ENTRIES READ WRITE DELETE MKDIR MOVE STAT UPLOAD_BATCH }
        processes { CONFIG SET_CONFIG CREATE RUN LIST GET STOP KILL DELETE LOGS INPUT RESIZE TERMINAL }
        server { HEALTH LIST CLOSE }
    }
    let Coverage { document, mut seen, mut wrong } = coverage;
    for (name, _why) in ELSEWHERE {
        assert!(seen.insert(name.to_owned()), "{name} is here");
    }
    let all = document.operations();
    wrong.extend(all.difference(&seen).map(|name| format!("{name} is missing")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((seen.len(), all.len()), (71, 71));
}

#[test]
fn every_value_of_an_enum_has_a_name() {
    let document = Document::read();
    macro_rules! enums {
        ($($area:ident { $($name:ident)* })*) => {
            [$($((stringify!($name), $area::$name::KNOWN),)*)*]
        };
    }
    let ours = enums! {
        agents { ServerStatus }
        config { McpRemoteTransport }
        desktop { DesktopMouseButton DesktopRecordingStatus DesktopScreenshotFormat DesktopState }
        fs { FsEntryType }
        processes { ProcessLogsStream ProcessOwner ProcessState }
    };
    for (name, known) in ours {
        assert_eq!(document.schema(name)["enum"], serde_json::json!(known), "{name}");
    }
    let all = document.enums();
    let missing = all.iter().filter(|name| !ours.iter().any(|(ours, _)| ours == name));
    // Of a problem's type `Problem::code` gives the text: there is more than one enum for it.
    assert_eq!(missing.collect::<Vec<_>>(), ["ErrorType"]);
}

#[test]
fn a_problem_keeps_every_member_of_the_document() {
    let document = Document::read();
    let schema = document.schema("ProblemDetails");
    for sample in samples::of(&document, &schema) {
        let problem: crate::Problem = serde_json::from_value(sample.clone()).unwrap_or_default();
        let known = ["type", "title", "status", "detail"];
        for (name, value) in sample.as_object().into_iter().flatten() {
            assert!(known.contains(&name.as_str()) || problem.extra.get(name) == Some(value), "{name}");
        }
        assert_eq!(sample["title"], problem.title.as_str());
        assert_eq!(sample["type"], problem.kind.as_str());
        assert_eq!(sample["status"], problem.status);
    }
}
