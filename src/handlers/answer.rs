//! From a request of an agent's to its handler, and back.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use sandbox_agent_persist::RawValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::traits::{Asked, Handled};
use super::{ClientHandlers, Terminals};
use crate::acp_types::{CreateElicitationRequest, ElicitationMode, Error};

/// A request on its way through a handler.
pub(crate) struct Call {
    pub(crate) answer: BoxFuture<'static, Handled<Value>>,
    pub(crate) patience: Patience,
    /// What the agent gets when its turn is cancelled meanwhile.
    pub(crate) cancelled: Handled<Value>,
}

/// How long a handler may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Short,
    /// It waits for people, or for a command.
    Long,
}

impl ClientHandlers {
    /// `None` when nobody handles the method.
    pub(crate) fn call(&self, asked: Asked, method: &str, params: Option<&RawValue>) -> Option<Call> {
        let params = params.map_or("null", RawValue::get);
        let answer = match method {
            "fs/read_text_file" => {
                let handler = self.reader.clone()?;
                run(params, |request| async move { handler.read_text_file(&asked, request).await })
            }
            "fs/write_text_file" => {
                let handler = self.writer.clone()?;
                run(params, |request| async move { empty(handler.write_text_file(&asked, request).await) })
            }
            "elicitation/create" => return self.elicit(asked, params),
            method if method.starts_with("terminal/") => {
                let handler = self.terminals.clone()?;
                return terminal(handler, asked, method, params);
            }
            // Files in ways that are not known here: no extension's.
            method if method.starts_with("fs/") || method.starts_with("elicitation/") => return None,
            method => {
                let (handler, method) = (self.extensions.clone()?, method.to_owned());
                run(params, |params| async move { handler.request(&asked, &method, params).await })
            }
        };
        Some(Call::short(answer))
    }

    fn elicit(&self, asked: Asked, params: &str) -> Option<Call> {
        let handler = self.elicitation.clone()?;
        let answer = run(params, |request: CreateElicitationRequest| async move {
            let kinds = handler.capabilities();
            let takes = match &request.mode {
                ElicitationMode::Form(_) => kinds.form.is_some(),
                ElicitationMode::Url(_) => kinds.url.is_some(),
                _ => false,
            };
            if !takes {
                return Err(Error::invalid_params().data(json!("the client does not take this mode")));
            }
            handler.elicit(&asked, request).await
        });
        Some(Call { answer, patience: Patience::Long, cancelled: Ok(json!({ "action": "cancel" })) })
    }
}

impl Call {
    fn short(answer: BoxFuture<'static, Handled<Value>>) -> Self {
        Self { answer, patience: Patience::Short, cancelled: Err(Error::request_cancelled()) }
    }
}

fn terminal(handler: Arc<dyn Terminals>, asked: Asked, method: &str, params: &str) -> Option<Call> {
    let answer = match method {
        "terminal/create" => run(params, |request| async move { handler.create(&asked, request).await }),
        "terminal/output" => run(params, |request| async move { handler.output(&asked, request).await }),
        "terminal/kill" => run(params, |request| async move { empty(handler.kill(&asked, request).await) }),
        "terminal/release" => {
            run(params, |request| async move { empty(handler.release(&asked, request).await) })
        }
        "terminal/wait_for_exit" => {
            let answer = run(params, |request| async move { handler.wait_for_exit(&asked, request).await });
            return Some(Call { patience: Patience::Long, ..Call::short(answer) });
        }
        _ => return None,
    };
    Some(Call::short(answer))
}

fn empty(done: Handled<()>) -> Handled<Value> {
    done.map(|()| json!({}))
}

/// Reads the request, has it handled, and writes the answer: what can't be read never gets to the handler.
fn run<P, R, F>(
    params: &str,
    handle: impl FnOnce(P) -> F + Send + 'static,
) -> BoxFuture<'static, Handled<Value>>
where
    P: DeserializeOwned + Send + 'static,
    R: Serialize,
    F: Future<Output = Handled<R>> + Send + 'static,
{
    let params = serde_json::from_str::<P>(params);
    async move {
        let params = params.map_err(|error| Error::invalid_params().data(json!(error.to_string())))?;
        let answer = handle(params).await?;
        serde_json::to_value(answer).map_err(Error::into_internal_error)
    }
    .boxed()
}
