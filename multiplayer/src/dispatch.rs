//! Making a call that travelled.

use sandbox_agent_sdk::persist::RawValue;
use sandbox_agent_sdk::{PermissionReply, SessionRequest};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::call::Call;
use crate::error::{Error, ErrorKind, Result};
use crate::member::Member;
use crate::sandbox::Content;

/// What a page has beside its frames.
const PAGE_ROOM: usize = 1024;

impl Member {
    /// Makes a call as it travelled, and gives its answer as JSON of at most about `max_bytes`.
    ///
    /// The workspace's [hook](crate::Authorize::allow) is asked first.
    pub async fn call(&self, call: Call, max_bytes: usize) -> Result<Box<RawValue>> {
        self.workspace().allow(self.participant(), &call).await?;
        let answer = match call {
            Call::GetSessionInfo {} => to_raw_value(&self.snapshot()?),
            Call::Prompt(prompt) => to_raw_value(&self.prompt(prompt).await?),
            Call::Cancel { session_id } => to_raw_value(&self.cancel(session_id.as_deref()).await?),
            Call::WithdrawPrompt { prompt_id } => to_raw_value(&self.withdraw(&prompt_id).await?),
            Call::AcceptPrompt { prompt_id } => to_raw_value(&self.accept_proposal(&prompt_id).await?),
            Call::RespondPermission { session_id, permission_id, reply } => {
                let reply = match &*reply {
                    "once" => PermissionReply::Once,
                    "always" => PermissionReply::Always,
                    "reject" => PermissionReply::Reject,
                    _ => PermissionReply::Option(reply),
                };
                to_raw_value(&self.respond_permission(&session_id, &permission_id, reply).await?)
            }
            Call::GetSequencedEvents { since, limit } => {
                let page = self.page(since, limit.unwrap_or(usize::MAX), max_bytes).await?;
                Ok(page.json(max_bytes))
            }
            Call::GetFramePart { sequence, from, offset } => {
                let from = from.unwrap_or(sequence);
                to_raw_value(&self.frame_part(from, sequence, offset, max_bytes).await?)
            }
            Call::RequestControl {} => to_raw_value(&self.request_control().await?),
            Call::GiveControl { to } => to_raw_value(&self.give_control(&to).await?),
            Call::TakeControl {} => to_raw_value(&self.take_control().await?),
            Call::ReleaseControl { term } => to_raw_value(&self.release_control(term).await?),
            Call::CreateSession { session_id, agent, cwd } => {
                let request = SessionRequest::new(session_id, agent);
                let request = match cwd {
                    Some(cwd) => request.cwd(cwd),
                    None => request,
                };
                to_raw_value(&self.open_session(request).await?)
            }
            Call::ListFiles { path } => to_raw_value(&self.list_files(&path).await?),
            Call::ReadFile { path } => to_raw_value(&Content::of(self.read_file(&path).await?)),
            Call::WriteFile { path, content } => {
                to_raw_value(&self.write_file(&path, content.bytes()?).await?)
            }
            Call::DeleteFile { path } => to_raw_value(&self.delete_file(&path).await?),
            Call::Exec(command) => to_raw_value(&self.exec(command).await?),
            Call::StartProcess(command) => to_raw_value(&self.start_process(command).await?),
            Call::WriteProcess { process_id, content } => {
                to_raw_value(&self.write_process(&process_id, &content.bytes()?).await?)
            }
            Call::ResizeProcess { process_id, columns, rows } => {
                to_raw_value(&self.resize_process(&process_id, columns, rows).await?)
            }
            Call::EndProcess { process_id, kill } => {
                to_raw_value(&self.end_process(&process_id, kill).await?)
            }
        };
        let answer = answer
            .map_err(|error| Error::invalid("the answer could not be written as JSON").with_source(error))?;
        if answer.get().len() > max_bytes.saturating_add(PAGE_ROOM) {
            let message = "the answer is larger than a message takes; ask for less";
            return Err(Error::new(ErrorKind::TooLarge { limit: max_bytes }, message));
        }
        Ok(answer)
    }

    /// A part of a frame's JSON, from this byte on.
    async fn frame_part(&self, from: u64, sequence: u64, offset: usize, max_bytes: usize) -> Result<Value> {
        // Read from any later place on, a frame that stands for a run is another one: the rest of it.
        let mut frames = self.page(from.saturating_sub(1), 1, usize::MAX).await?.frames;
        let frame = frames.pop().filter(|frame| frame.sequence == sequence);
        let frame = frame.ok_or_else(|| Error::not_found(format!("there is no frame {sequence}")))?;
        let json = frame.json();
        let text = std::str::from_utf8(&json).unwrap_or_default();
        // As JSON in JSON, a character may take six.
        let end = floor_char_boundary(text, offset.saturating_add((max_bytes / 6).max(4)));
        let part = text
            .get(offset..end)
            .ok_or_else(|| Error::invalid(format!("frame {sequence} has no character at byte {offset}")))?;
        Ok(json!({ "sequence": sequence, "offset": offset, "total": text.len(), "text": part }))
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
