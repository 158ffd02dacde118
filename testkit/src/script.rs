//! The little language in which a prompt tells the scripted agent what to do.
//!
//! The text of the **last** text block of a prompt is the script, when its first word is a
//! command. Otherwise the agent is a friendly echo: it thinks, plans, and streams
//! `You said: …`. Commands are separated by newlines or `;` (a `;` between double quotes
//! separates nothing).
//!
//! | command | what the agent does |
//! | --- | --- |
//! | `stream N [size=BYTES] [rate=PER_SECOND]` | N updates with the text `u1 `, `u2 `, …, padded with `.` to `size` bytes, paced evenly at `rate` a second; without a rate as fast as it can |
//! | `say TEXT` | says TEXT in one update |
//! | `thought TEXT` | thinks TEXT aloud in one update |
//! | `think MS` | is silent for that long |
//! | `tool TITLE` | a tool call that starts and completes |
//! | `write PATH TEXT` | writes TEXT into a file, with its folders |
//! | `read PATH` | says what is in a file |
//! | `ask TITLE` | asks for permission (`allow-once`, `allow-always`, `reject-once`), waits, says `permission: <option>` or `permission: cancelled` |
//! | `request METHOD [JSON]` | sends the client a request, waits, says `answer: <result>` or `error: <code>` |
//! | `notify METHOD [JSON]` | sends the client a notification |
//! | `fail CODE MESSAGE` | answers the prompt with a JSON-RPC error |
//! | `stop REASON` | ends the turn with this stop reason (`end_turn`, `max_tokens`, `max_turn_requests`, `refusal`, `cancelled`) |
//! | `exit CODE` | ends the process at once, with everything before it written |
//! | `raw JSON` | writes this line as it stands |
//! | `noise TEXT` | writes a line that is not JSON |
//! | `big BYTES` | says that many bytes in one update |
//! | `after MS TEXT` | says TEXT that much later, be the turn over or not |
//! | `stderr TEXT` | writes a line to stderr |
//! | `recall` | says each block of this prompt, one update a block |
//! | `whoami` | says `pid: <pid> session: <session id>` |
//! | `mode` | says `mode: <mode> model: <model> config: <JSON>` |
//! | `history` | says `history: N`: how many prompts it knows of in this session, this one included, and those of earlier processes when it was loaded or resumed |
//!
//! A script that runs to its end ends the turn with `end_turn`. `session/cancel` ends it at
//! the next step, or within `stream`, `think`, `ask` and `request`, with `cancelled`.
//!
//! ```
//! use sandbox_agent_testkit::script::{Script, Step};
//!
//! let Script::Steps(steps) = Script::parse("say hello; stream 200 rate=1000")? else {
//!     unreachable!("`say` is a command")
//! };
//! assert_eq!(steps[0], Step::Say("hello".into()));
//! assert!(matches!(Script::parse("hello; there")?, Script::Echo(_)));
//! assert_eq!(
//!     Script::parse("stream many").unwrap_err().to_string(),
//!     "stream: `many` is not a whole number",
//! );
//! # Ok::<(), sandbox_agent_testkit::script::ScriptError>(())
//! ```

use std::fmt;
use std::time::Duration;

use agent_client_protocol_schema::v1::StopReason;
use serde_json::Value;

mod words;

use words::Args;

/// What a prompt asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Script {
    /// No script: the text to echo.
    Echo(String),
    /// The steps, in order.
    Steps(Vec<Step>),
}

/// One command; see the [module](self) for what each does.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the module's table documents each command")]
pub enum Step {
    Stream { count: u64, size: usize, rate: Option<u64> },
    Say(String),
    Thought(String),
    Think(Duration),
    Tool(String),
    Write { path: String, text: String },
    Read(String),
    Ask(String),
    Request { method: String, params: Value },
    Notify { method: String, params: Value },
    Fail { code: i32, message: String },
    Stop(StopReason),
    Exit(i32),
    Raw(String),
    Noise(String),
    Big(usize),
    After { delay: Duration, text: String },
    Stderr(String),
    Recall,
    Whoami,
    Mode,
    History,
}

/// A command whose arguments can't be read; the agent answers such a prompt with -32602.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    command: String,
    reason: String,
}

impl ScriptError {
    /// The command that it is about.
    pub fn command(&self) -> &str {
        &self.command
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.command, self.reason)
    }
}

impl std::error::Error for ScriptError {}

impl Script {
    /// Reads a prompt's text.
    ///
    /// # Errors
    /// When the first word is a command and a command in it has arguments that can't be read,
    /// or a later one is unknown.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut steps = Vec::new();
        for line in words::commands(text) {
            let mut args = Args::new(line);
            let command = args.word().unwrap_or_default();
            match step(command, &mut args) {
                Ok(Some(step)) => steps.push(step),
                Ok(None) if steps.is_empty() => return Ok(Self::Echo(text.to_owned())),
                Ok(None) => return Err(error(command, "is not a command".to_owned())),
                Err(reason) => return Err(error(command, reason)),
            }
        }
        Ok(if steps.is_empty() { Self::Echo(text.to_owned()) } else { Self::Steps(steps) })
    }
}

fn error(command: &str, reason: String) -> ScriptError {
    ScriptError { command: command.to_owned(), reason }
}

/// The step that a command stands for; `None` for a word that is no command.
fn step(command: &str, args: &mut Args<'_>) -> Result<Option<Step>, String> {
    let step = match command {
        "stream" => {
            let count = args.number("how many updates")?;
            let (mut size, mut rate) = (0, None);
            while let Some(option) = args.word() {
                match option.split_once('=') {
                    Some(("size", bytes)) => size = words::number(bytes)?,
                    Some(("rate", per_second)) => rate = Some(words::number(per_second)?),
                    _ => {
                        return Err(format!("`{option}` is neither size=BYTES nor rate=PER_SECOND"));
                    }
                }
            }
            if rate == Some(0) {
                return Err("`rate=0` would never end".to_owned());
            }
            Step::Stream { count, size, rate }
        }
        "say" => Step::Say(args.text("a text")?),
        "thought" => Step::Thought(args.text("a text")?),
        "think" => Step::Think(args.millis("how long, in ms")?),
        "tool" => Step::Tool(args.text("a title")?),
        "write" => {
            let path = args.word().ok_or("needs a path")?.to_owned();
            Step::Write { path, text: args.text("a text")? }
        }
        "read" => Step::Read(args.text("a path")?),
        "ask" => Step::Ask(args.text("a title")?),
        "request" => {
            let (method, params) = args.method()?;
            Step::Request { method, params }
        }
        "notify" => {
            let (method, params) = args.method()?;
            Step::Notify { method, params }
        }
        "fail" => Step::Fail { code: args.number("a code")?, message: args.text("a message")? },
        "stop" => {
            let reason = args.text("a stop reason")?;
            let parsed = serde_json::from_value(Value::String(reason.clone()));
            Step::Stop(parsed.map_err(|_| format!("`{reason}` is not a stop reason"))?)
        }
        "exit" => Step::Exit(args.number("an exit code")?),
        "raw" => Step::Raw(args.text("a JSON text")?),
        "noise" => Step::Noise(args.text("a text")?),
        "big" => Step::Big(args.number("how many bytes")?),
        "after" => Step::After { delay: args.millis("how long, in ms")?, text: args.text("a text")? },
        "stderr" => Step::Stderr(args.text("a text")?),
        "recall" => Step::Recall,
        "whoami" => Step::Whoami,
        "mode" => Step::Mode,
        "history" => Step::History,
        _ => return Ok(None),
    };
    args.end()?;
    Ok(Some(step))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn steps(text: &str) -> Vec<Step> {
        match Script::parse(text).unwrap() {
            Script::Steps(steps) => steps,
            Script::Echo(text) => panic!("taken for an echo: {text}"),
        }
    }

    fn refusal(text: &str) -> String {
        Script::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn every_command_is_read() {
        let ms = Duration::from_millis;
        let text = String::from;
        let cases = [
            ("stream 3", Step::Stream { count: 3, size: 0, rate: None }),
            ("stream 3 rate=5000 size=64", Step::Stream { count: 3, size: 64, rate: Some(5000) }),
            ("say two  words", Step::Say(text("two  words"))),
            ("thought hm", Step::Thought(text("hm"))),
            ("think 20", Step::Think(ms(20))),
            ("tool Read file", Step::Tool(text("Read file"))),
            ("write a/b.txt two  words", Step::Write { path: text("a/b.txt"), text: text("two  words") }),
            ("read a/b.txt", Step::Read(text("a/b.txt"))),
            ("ask Run it?", Step::Ask(text("Run it?"))),
            ("request a/b", Step::Request { method: text("a/b"), params: Value::Null }),
            (
                r#"request a/b {"x": "1;2"}"#,
                Step::Request { method: text("a/b"), params: json!({"x": "1;2"}) },
            ),
            ("notify n [1]", Step::Notify { method: text("n"), params: json!([1]) }),
            ("fail -32000 log in", Step::Fail { code: -32000, message: text("log in") }),
            ("stop refusal", Step::Stop(StopReason::Refusal)),
            ("exit 3", Step::Exit(3)),
            (r#"raw {"a":1}"#, Step::Raw(text(r#"{"a":1}"#))),
            ("noise oops", Step::Noise(text("oops"))),
            ("big 1048576", Step::Big(1 << 20)),
            ("after 5 late", Step::After { delay: ms(5), text: text("late") }),
            ("stderr bad", Step::Stderr(text("bad"))),
            ("recall", Step::Recall),
            ("whoami", Step::Whoami),
            ("mode", Step::Mode),
            ("history", Step::History),
        ];
        for (line, step) in cases {
            assert_eq!(steps(line), [step], "{line}");
        }
    }

    #[test]
    fn newlines_and_semicolons_separate() {
        let told = steps(" say a ; say b\n\nsay c;;");
        assert_eq!(told, ["a", "b", "c"].map(|text| Step::Say(text.into())));
    }

    #[test]
    fn a_semicolon_between_quotes_separates_nothing() {
        assert_eq!(
            steps(r#"raw {"a":"x;\";y"}; recall"#),
            [Step::Raw(r#"{"a":"x;\";y"}"#.into()), Step::Recall]
        );
    }

    #[test]
    fn other_text_is_an_echo() {
        for text in ["", "hello", "saying hi", "please; say this", "\n;"] {
            assert_eq!(Script::parse(text).unwrap(), Script::Echo(text.into()));
        }
    }

    #[test]
    fn unreadable_arguments_name_the_command() {
        assert_eq!(refusal("stream"), "stream: needs how many updates");
        assert_eq!(refusal("say a; stream x"), "stream: `x` is not a whole number");
        assert_eq!(
            refusal("stream 1 speed=2"),
            "stream: `speed=2` is neither size=BYTES nor rate=PER_SECOND"
        );
        assert_eq!(refusal("stream 1 rate=0"), "stream: `rate=0` would never end");
        assert_eq!(refusal("say"), "say: needs a text");
        assert_eq!(refusal("stop soon"), "stop: `soon` is not a stop reason");
        assert_eq!(refusal("recall all"), "recall: `all` is too much");
        assert_eq!(refusal("say a; sya b"), "sya: is not a command");
        assert!(refusal("request m {").starts_with("request: its parameters are not JSON"));
        assert_eq!(refusal("request m 1"), "request: its parameters must be an object or an array");
        assert_eq!(refusal("exit 99999999999"), "exit: `99999999999` is not a whole number");
    }
}
