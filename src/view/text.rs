//! A session as plain text.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use sandbox_agent_persist::SessionPersistDriver;

use super::SessionView;
use super::entry::{Entry, PermissionAnswer, Speaker, TurnState, What};
use crate::acp_types::{ContentBlock, PlanEntryStatus, ToolCallContent, ToolCallStatus};
use crate::error::Result;
use crate::reading::Pages;

/// A session of a store as plain text, to read or to search: who said what, tool calls with what became of them,
/// plans, permissions, turns that did not end well, and what is missing.
///
/// A stream of pieces, as [`Markdown`](crate::Markdown) is, with the same errors. It is what a [`SessionView`] shows,
/// entry by entry, with an empty line between two: each tool call stands where it began, with its outcome.
///
/// ```
/// use futures::TryStreamExt;
/// use sandbox_agent_sdk::{MemorySessionPersistDriver, PlainText, SessionPersistDriver, SessionRecord};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemorySessionPersistDriver::new();
/// store.update_session(SessionRecord::new("default", "claude", 0)).await?;
/// let text: String = PlainText::of(&store, "default").try_collect().await?;
/// assert_eq!(text, "");
/// # Ok(()) }
/// ```
pub struct PlainText<'a>(BoxStream<'a, Result<String>>);

impl<'a> PlainText<'a> {
    /// The session with this id; fails as [`Markdown::of`](crate::Markdown::of) does.
    pub fn of<P>(store: P, session_id: impl Into<String>) -> Self
    where
        P: Deref<Target: SessionPersistDriver> + Send + Sync + 'a,
    {
        let at = Some((Pages::new(store, session_id), SessionView::new(), true));
        let pieces = stream::unfold(at, |at| async {
            let (mut pages, mut view, mut first) = at?;
            match pages.next().await {
                Err(error) => Some((Err(error), None)),
                Ok(Some(read)) => {
                    let before = view.left_out;
                    view.read(read);
                    let left_out = left_out(view.left_out - before, &mut first);
                    let settled = view.take_settled();
                    let text = left_out + &written(&settled, &mut first);
                    Some((Ok(text), Some((pages, view, first))))
                }
                Ok(None) => {
                    let rest: Vec<_> = view.entries.drain(..).collect();
                    Some((Ok(written(&rest, &mut first)), None))
                }
            }
        });
        Self(pieces.boxed())
    }
}

impl Stream for PlainText<'_> {
    type Item = Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for PlainText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainText")
    }
}

fn written(entries: &[Entry], first: &mut bool) -> String {
    let mut text = String::new();
    for entry in entries {
        if !std::mem::take(first) {
            text.push('\n');
        }
        text.push_str(&format!("{entry}\n"));
    }
    text
}

/// Of a turn that is larger than a view keeps.
fn left_out(count: u64, first: &mut bool) -> String {
    match count {
        0 => String::new(),
        _ if std::mem::take(first) => format!("[left out] {count} entries of a long turn\n"),
        _ => format!("\n[left out] {count} entries of a long turn\n"),
    }
}

impl SessionView {
    /// All of the view as plain text, as [`PlainText`] has it.
    pub fn to_plain_text(&self) -> String {
        let entries: Vec<_> = self.entries.iter().map(|entry| format!("{entry}\n")).collect();
        entries.join("\n")
    }

    /// Takes out the oldest entries, as far as nothing more comes to them: those of turns that have ended.
    pub(super) fn take_settled(&mut self) -> Vec<Entry> {
        let running = self.turns.iter().find(|turn| turn.state == TurnState::Running);
        let open = running.map_or(u64::MAX, |turn| turn.first_index);
        let settled = self.entries.iter().take_while(|entry| entry.first_index < open).count();
        // The newest may grow between turns, too.
        let settled = settled.min(self.entries.len().saturating_sub(1));
        let taken: Vec<_> = self.entries.drain(..settled).collect();
        self.left_out += taken.len() as u64;
        self.bytes -= taken.iter().map(|entry| entry.bytes).sum::<usize>();
        taken
    }
}

/// As plain text, without a newline at the end.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Message(message) => {
                let who = match message.speaker {
                    Speaker::User => "User",
                    Speaker::Agent => "Agent",
                    Speaker::Thought => "Agent (thinking)",
                };
                let said: String = message.content.iter().map(content).collect();
                write!(f, "{who}: {}", said.trim_end())?;
                if message.cut { f.write_str(" [cut]") } else { Ok(()) }
            }
            What::Tool(call) => {
                let state = match call.status {
                    ToolCallStatus::Completed => "done",
                    ToolCallStatus::Failed => "failed",
                    ToolCallStatus::InProgress => "running",
                    _ => "pending",
                };
                write!(f, "[tool] {}: {state}", line(&call.title))?;
                call.content.iter().try_for_each(|part| output(f, part))
            }
            What::Plan(plan) => {
                f.write_str("[plan]")?;
                plan.entries.iter().try_for_each(|entry| {
                    let mark = match entry.status {
                        PlanEntryStatus::Completed => 'x',
                        PlanEntryStatus::InProgress => '>',
                        _ => ' ',
                    };
                    write!(f, "\n  [{mark}] {}", line(&entry.content))
                })
            }
            What::Permission(permission) => {
                write!(f, "[permission] {}: ", line(&permission.title))?;
                match &permission.answer {
                    PermissionAnswer::Open => f.write_str("no answer"),
                    PermissionAnswer::Option(id) => f.write_str(&line(id)),
                    PermissionAnswer::Cancelled => f.write_str("cancelled"),
                }
            }
            What::Request(request) => {
                let state = if request.answer.is_some() { "answered" } else { "no answer" };
                write!(f, "[request] {}: {state}", line(&request.method))
            }
            What::TurnEnded(state) => match state {
                TurnState::Running => f.write_str("[turn] running"),
                TurnState::Ended(reason) => write!(f, "[turn] ended: {}", line(reason)),
                TurnState::Failed { code, message } => write!(f, "[turn] failed: {} ({code})", line(message)),
                TurnState::Lost(reason) => write!(f, "[turn] no response: {}", line(reason)),
            },
            What::ProcessEnded => f.write_str("[process] ended"),
            What::Gap(gap) => write!(f, "[gap] {} events of the agent are missing", gap.missing()),
            What::Missing { from, to } => {
                write!(f, "[missing] events {from} to {to} are not in the store any more")
            }
            What::Unknown(event) => write!(f, "[event {}] {}", event.event_index, kind_of(event)),
        }
    }
}

/// What an unknown event calls itself.
fn kind_of(event: &sandbox_agent_persist::SessionEvent) -> String {
    use sandbox_agent_persist::envelope::{self, Kind};
    match envelope::kind(&event.payload) {
        Kind::Request { method, .. } | Kind::Notification { method } => line(&method),
        Kind::Response { .. } => "a response".to_owned(),
        Kind::Other => "unknown".to_owned(),
    }
}

fn output(f: &mut fmt::Formatter<'_>, part: &ToolCallContent) -> fmt::Result {
    match part {
        ToolCallContent::Content(part) => indented(f, &content(&part.content)),
        ToolCallContent::Diff(diff) => {
            write!(f, "\n  changed {}", line(&diff.path.display().to_string()))?;
            indented(f, &diff.new_text)
        }
        _ => Ok(()),
    }
}

fn indented(f: &mut fmt::Formatter<'_>, words: &str) -> fmt::Result {
    words.trim_end().lines().try_for_each(|line| write!(f, "\n    {line}"))
}

pub(crate) fn content(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[image, {}]", line(&image.mime_type)),
        ContentBlock::Audio(audio) => format!("[audio, {}]", line(&audio.mime_type)),
        ContentBlock::ResourceLink(link) => format!("[{}: {}]", line(&link.name), line(&link.uri)),
        _ => "[a resource]".to_owned(),
    }
}

/// The words in one line.
fn line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
