//! One turn: runs a script step by step.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_client_protocol::v1::ConnectionTo;
use agent_client_protocol::{Client, Error, ErrorCode, JsonRpcRequest, UntypedMessage};
use agent_client_protocol_schema::v1::{
    ContentBlock, ContentChunk, PermissionOption, PermissionOptionKind, Plan, PlanEntry, PlanEntryPriority,
    PlanEntryStatus, RequestPermissionOutcome, RequestPermissionRequest, SessionUpdate, StopReason,
    TextContent, ToolCall, ToolCallStatus, ToolCallUpdate, ToolCallUpdateFields,
};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;
use super::update::{Burst, block_text, notification, update};
use crate::script::{Script, Step};

/// How much of a burst is written at a time: less than a pipe holds, and fewer lines than the
/// sandbox's channel, so that a reader that keeps up loses nothing.
pub(super) const BATCH: usize = 32 * 1024;

/// How far a turn got: on to the next step, or to its end.
enum Flow {
    Next,
    Ended(StopReason),
}

pub(super) struct Turn {
    pub(super) shared: Arc<Shared>,
    pub(super) connection: ConnectionTo<Client>,
    pub(super) session: String,
    pub(super) prompt: Vec<ContentBlock>,
    pub(super) cancels: watch::Receiver<u64>,
}

impl Turn {
    pub(super) async fn run(mut self) -> Result<StopReason, Error> {
        let script = self.prompt.iter().rev().find_map(|block| match block {
            ContentBlock::Text(text) => Some(text.text.as_str()),
            _ => None,
        });
        let script = Script::parse(script.unwrap_or_default())
            .map_err(|error| Error::new(ErrorCode::INVALID_PARAMS, error.to_string()))?;
        self.shared.remember_prompt(&self.session, &self.prompt)?;
        let steps = match script {
            Script::Echo(text) => {
                self.echo(&text).await?;
                return Ok(StopReason::EndTurn);
            }
            Script::Steps(steps) => steps,
        };
        for step in steps {
            if self.is_cancelled() {
                return Ok(StopReason::Cancelled);
            }
            if let Flow::Ended(reason) = self.step(step).await? {
                return Ok(reason);
            }
        }
        Ok(StopReason::EndTurn)
    }

    fn is_cancelled(&self) -> bool {
        self.cancels.has_changed().unwrap_or(true)
    }

    async fn step(&mut self, step: Step) -> Result<Flow, Error> {
        match step {
            Step::Stream { count, size, rate } => return self.stream(count, size, rate).await,
            Step::Say(text) => self.say(text).await?,
            Step::Thought(text) => self.update(&SessionUpdate::AgentThoughtChunk(chunk(text))).await?,
            Step::Think(time) => return Ok(self.unless_cancelled(sleep(time)).await.into()),
            Step::Tool(title) => self.tool(title).await?,
            Step::Write { path, text } => write(&path, &text).map_err(|error| of_file(&path, &error))?,
            Step::Read(path) => {
                let text = std::fs::read_to_string(&path).map_err(|error| of_file(&path, &error))?;
                self.say(text).await?;
            }
            Step::Ask(title) => return self.ask(title).await,
            Step::Request { method, params } => return self.request(&method, params).await,
            Step::Notify { method, params } => self.write(notification(&method, &params)).await?,
            Step::Fail { code, message } => return Err(Error::new(code, message)),
            Step::Stop(reason) => return Ok(Flow::Ended(reason)),
            Step::Exit(code) => self.shared.host.exit(code).await,
            Step::Raw(line) | Step::Noise(line) => self.write(format!("{line}\n").into()).await?,
            Step::Big(bytes) => self.say(".".repeat(bytes)).await?,
            Step::After { delay, text } => self.after(delay, text)?,
            Step::Stderr(line) => self.shared.host.stderr(&line),
            Step::Recall => {
                for block in self.prompt.iter().map(block_text).collect::<Vec<_>>() {
                    self.say(block).await?;
                }
            }
            Step::Whoami => {
                let pid = self.shared.host.pid();
                self.say(format!("pid: {pid} session: {}", self.session)).await?;
            }
            Step::Mode => {
                let settings = self.shared.sessions.settings(&self.session)?;
                let (mode, model) = (settings.mode, settings.model);
                let mut config = json!({"model": model});
                if let Some(thought) = settings.thought {
                    config["effort"] = json!(thought.effort);
                    config["fast"] = json!(thought.fast);
                }
                self.say(format!("mode: {mode} model: {model} config: {config}")).await?;
            }
            Step::History => {
                let prompts = self.shared.sessions.prompts(&self.session)?;
                self.say(format!("history: {prompts}")).await?;
            }
        }
        Ok(Flow::Next)
    }

    async fn write(&self, lines: Vec<u8>) -> Result<(), Error> {
        self.shared.write(lines).await
    }

    async fn update(&self, what: &SessionUpdate) -> Result<(), Error> {
        self.shared.tell(&self.session, update(&self.session, what)).await
    }

    async fn say(&self, text: String) -> Result<(), Error> {
        self.update(&SessionUpdate::AgentMessageChunk(chunk(text))).await
    }

    /// What came first, or `None` for a cancel.
    async fn unless_cancelled<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = self.cancels.changed() => None,
            done = what => Some(done),
        }
    }

    async fn echo(&self, text: &str) -> Result<(), Error> {
        self.update(&SessionUpdate::AgentThoughtChunk(chunk("An echo will do.".into()))).await?;
        let entry = PlanEntry::new("Say it back", PlanEntryPriority::Medium, PlanEntryStatus::InProgress);
        self.update(&SessionUpdate::Plan(Plan::new(vec![entry]))).await?;
        self.say("You said: ".to_owned()).await?;
        for word in text.split_inclusive(char::is_whitespace) {
            self.say(word.to_owned()).await?;
        }
        Ok(())
    }

    /// Update `k` is due `k / rate` seconds after the start; whatever is due is written at once.
    async fn stream(&mut self, count: u64, size: usize, rate: Option<u64>) -> Result<Flow, Error> {
        let burst = Burst::new(&self.session, size);
        let start = Instant::now();
        let mut lines = Vec::new();
        let mut rendered = 0;
        while rendered < count {
            let due = match rate {
                None => count,
                Some(rate) => {
                    let next = Duration::from_secs_f64((rendered + 1) as f64 / rate as f64);
                    if self.unless_cancelled(sleep_until(start + next)).await.is_none() {
                        return Ok(Flow::Ended(StopReason::Cancelled));
                    }
                    let due = start.elapsed().as_secs_f64() * rate as f64;
                    (due as u64).clamp(rendered + 1, count)
                }
            };
            while rendered < due && lines.len() < BATCH {
                rendered += 1;
                burst.line(rendered, &mut lines);
            }
            self.shared.tell(&self.session, std::mem::take(&mut lines)).await?;
            tokio::task::yield_now().await;
            if self.is_cancelled() {
                return Ok(Flow::Ended(StopReason::Cancelled));
            }
        }
        Ok(Flow::Next)
    }

    async fn tool(&self, title: String) -> Result<(), Error> {
        let id = self.shared.next_tool_id();
        let call = ToolCall::new(id.clone(), title).status(ToolCallStatus::InProgress);
        self.update(&SessionUpdate::ToolCall(call)).await?;
        let done = ToolCallUpdateFields::new().status(ToolCallStatus::Completed);
        self.update(&SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(id, done))).await
    }

    async fn ask(&mut self, title: String) -> Result<Flow, Error> {
        let option = |id: &'static str, name: &str, kind| PermissionOption::new(id, name, kind);
        let request = RequestPermissionRequest::new(
            self.session.clone(),
            ToolCallUpdate::new(self.shared.next_tool_id(), ToolCallUpdateFields::new().title(title)),
            vec![
                option("allow-once", "Allow once", PermissionOptionKind::AllowOnce),
                option("allow-always", "Allow always", PermissionOptionKind::AllowAlways),
                option("reject-once", "Reject", PermissionOptionKind::RejectOnce),
            ],
        );
        let Some(answer) = self.answer(request).await? else {
            return Ok(Flow::Ended(StopReason::Cancelled));
        };
        let said = match answer.map(|answer| answer.outcome) {
            Ok(RequestPermissionOutcome::Selected(selected)) => selected.option_id.to_string(),
            Ok(_) => "cancelled".to_owned(),
            Err(error) => format!("error {}", error.code.value()),
        };
        self.say(format!("permission: {said}")).await?;
        Ok(Flow::Next)
    }

    async fn request(&mut self, method: &str, params: serde_json::Value) -> Result<Flow, Error> {
        let Some(answer) = self.answer(UntypedMessage::new(method, params)?).await? else {
            return Ok(Flow::Ended(StopReason::Cancelled));
        };
        self.say(match answer {
            Ok(result) => format!("answer: {result}"),
            Err(error) => format!("error: {}", error.code.value()),
        })
        .await?;
        Ok(Flow::Next)
    }

    /// The client's answer, or `None` for a cancel.
    async fn answer<R: JsonRpcRequest>(
        &mut self,
        request: R,
    ) -> Result<Option<Result<R::Response, Error>>, Error> {
        let (answered, answer) = oneshot::channel();
        self.connection.send_request(request).on_receiving_result(async move |result| {
            let _ = answered.send(result);
            Ok(())
        })?;
        let answer = self.unless_cancelled(answer).await;
        Ok(answer.map(|got| got.unwrap_or_else(|_| Err(Error::internal_error()))))
    }

    fn after(&self, delay: Duration, text: String) -> Result<(), Error> {
        let (shared, session) = (self.shared.clone(), self.session.clone());
        self.connection.spawn(async move {
            sleep(delay).await;
            let late = SessionUpdate::AgentMessageChunk(chunk(text));
            shared.tell(&session, update(&session, &late)).await
        })
    }
}

impl From<Option<()>> for Flow {
    fn from(done: Option<()>) -> Self {
        match done {
            Some(()) => Self::Next,
            None => Self::Ended(StopReason::Cancelled),
        }
    }
}

fn chunk(text: String) -> ContentChunk {
    ContentChunk::new(ContentBlock::Text(TextContent::new(text)))
}

fn write(path: &str, text: &str) -> std::io::Result<()> {
    if let Some(folder) = Path::new(path).parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}

fn of_file(path: &str, error: &std::io::Error) -> Error {
    Error::new(-32603, format!("{path}: {error}"))
}
