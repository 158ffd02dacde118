//! One connection to a workspace's actor. What connects anew is the client of workspaces, not the engine's.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{Stream, stream};
use rivetkit_client::ConnectionStatus;
use rivetkit_client::connection::ActorConnection;
use sandbox_agent_multiplayer::{Call, Caller, Error, ErrorKind, Pushed, Result};
use sandbox_agent_persist::RawValue;
use sandbox_agent_sdk::Delivery;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::error;

/// The event that frames are told by.
const FRAMES: &str = "frames";
/// The messages that are held until the client takes them, which it does at once. More are dropped, and
/// what they had is asked for.
const HELD: usize = 256;
/// A call's own bound, far above those of clients, so that none is left behind for ever.
const CALL: Duration = Duration::from_secs(120);

/// An open connection. It is closed when the last handle is dropped.
struct Open {
    socket: ActorConnection,
    status: watch::Receiver<ConnectionStatus>,
}

/// The half that calls.
pub(super) struct Calls {
    open: Arc<Open>,
}

/// A connection that is being opened.
pub(super) struct Opening {
    open: Arc<Open>,
    messages: mpsc::Receiver<Message>,
}

enum Message {
    Told(String),
    /// Why the engine's client could not connect, as it says it.
    Failed(String),
}

impl Opening {
    /// Subscribes first, so that nothing is missed between the snapshot and what is told.
    pub(super) async fn begin(socket: ActorConnection) -> Self {
        let (tell, messages) = mpsc::channel(HELD);
        let failed = tell.clone();
        let open = Arc::new(Open { status: socket.status_receiver(), socket });
        open.socket.on_error(move |error| drop(failed.try_send(Message::Failed(error.to_owned())))).await;
        let subscription = open
            .socket
            .on_event(FRAMES, move |args| {
                if let Some(frames) = args.first().and_then(Value::as_str) {
                    drop(tell.try_send(Message::Told(frames.to_owned())));
                }
            })
            .await;
        drop(subscription);
        Self { open, messages }
    }

    /// Waits until it is open; an error, in the words of the engine's client, when it is not at the first try.
    pub(super) async fn opened(
        mut self,
    ) -> Result<(Calls, impl Stream<Item = Pushed> + Send + 'static), String> {
        let mut status = self.open.status.clone();
        loop {
            match *status.borrow_and_update() {
                ConnectionStatus::Connected => break,
                ConnectionStatus::Disconnected => return Err("it was closed before it was open".to_owned()),
                ConnectionStatus::Idle | ConnectionStatus::Connecting => {}
            }
            tokio::select! {
                changed = status.changed() => changed.map_err(|_| "it is gone".to_owned())?,
                Some(message) = self.messages.recv() => if let Message::Failed(why) = message {
                    return Err(why);
                },
            }
        }
        let calls = Calls { open: self.open.clone() };
        Ok((calls, pushes(self.open, self.messages)))
    }
}

fn pushes(open: Arc<Open>, messages: mpsc::Receiver<Message>) -> impl Stream<Item = Pushed> + Send + 'static {
    stream::unfold(Some((open, messages)), |state| async {
        let (open, mut messages) = state?;
        loop {
            let message = tokio::select! {
                biased;
                message = messages.recv() => message,
                () = open.gone() => None,
            };
            match message {
                Some(Message::Told(text)) => match frames(&text) {
                    Some(frames) => return Some((Pushed::Json(frames), Some((open, messages)))),
                    None => continue,
                },
                // What the engine says of an open connection is followed by its end, or by nothing.
                Some(Message::Failed(_)) => continue,
                None => return Some((Pushed::Gone(gone()), None)),
            }
        }
    })
}

/// The array of frames in a message; `None` where it has none, and only says how far the line is.
fn frames(text: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Told<'a> {
        #[serde(borrow)]
        frames: &'a RawValue,
    }
    match serde_json::from_str::<Told<'_>>(text) {
        Ok(told) if told.frames.get() == "[]" => None,
        Ok(told) => Some(told.frames.get().to_owned()),
        // The client says what is wrong with it.
        Err(_) => Some(text.to_owned()),
    }
}

impl Open {
    async fn gone(&self) {
        let mut status = self.status.clone();
        // An error is the end as well.
        let _ = status.wait_for(|status| *status != ConnectionStatus::Connected).await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Where no runtime is, nothing of it runs any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let socket = self.socket.clone();
            runtime.spawn(async move { socket.dispose().await });
        }
    }
}

#[async_trait]
impl Caller for Calls {
    async fn call(&self, call: Call) -> Result<Box<RawValue>> {
        if *self.open.status.borrow() != ConnectionStatus::Connected {
            return Err(gone().with_delivery(Delivery::NotSent));
        }
        // As text, in which payloads are as the agent wrote them.
        let args = vec![call.args(), json!({ "as": "text" })];
        let answer = match bounded(self.open.socket.action(call.action(), args), self.open.gone()).await? {
            Value::String(text) => text,
            _ => return Err(protocol("no text")),
        };
        RawValue::from_string(answer).map_err(|error| protocol("no JSON").with_source(error))
    }

    async fn close(&self) {
        self.open.socket.dispose().await;
    }
}

/// The answer, or the error that ends waiting for it: the engine's client waits for one that is lost for ever.
async fn bounded(
    answer: impl Future<Output = anyhow::Result<Value>>,
    gone_by: impl Future<Output = ()>,
) -> Result<Value> {
    let mut answer = pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer.map_err(|error| error::of(&error)),
        () = gone_by => Err(gone().with_delivery(Delivery::Unknown)),
        () = tokio::time::sleep(CALL) => {
            let message = format!("the workspace's actor did not answer within {CALL:?}");
            Err(Error::new(ErrorKind::TimedOut, message).with_delivery(Delivery::Unknown))
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Disconnected, "the connection to the workspace's actor is gone")
}

fn protocol(what: &str) -> Error {
    Error::new(
        ErrorKind::Protocol,
        format!("the workspace's actor answered {what}; is it of another version?"),
    )
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("status", &*self.open.status.borrow()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_without_frames_is_nothing_pushed() {
        assert_eq!(frames(r#"{"last":7,"frames":[]}"#), None);
        assert_eq!(frames(r#"{"last":7,"frames":[{"a":1}]}"#).as_deref(), Some(r#"[{"a":1}]"#));
    }
}
