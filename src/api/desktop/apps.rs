//! Programs on the desktop.

use serde::{Deserialize, Serialize};

use super::{Desktop, operations};
use crate::api::values::options;
use crate::error::Result;

impl Desktop {
    /// Starts a program on the desktop; refused (`app_not_found`) where there is none of this name.
    ///
    /// It goes on when the desktop is stopped only as long as it can do without its screen. Bounded by
    /// [`Limits::request`](crate::Limits::request): its window may be waited for.
    pub async fn launch(&self, request: &DesktopLaunchRequest) -> Result<DesktopLaunchResponse> {
        let limit = self.api.limits.request;
        self.api.call_within(limit, &operations::LAUNCH, &[], &(), request).await
    }

    /// Opens a file or a URL with the program that the desktop has for it, by `xdg-open`.
    ///
    /// Returns once that was started. Whether there was a program its process tells.
    pub async fn open(&self, target: &str) -> Result<DesktopOpenResponse> {
        let request = DesktopOpenRequest { target: target.to_owned() };
        self.api.call(&operations::OPEN, &[], &(), &request).await
    }
}

/// A program to start on the desktop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopLaunchRequest {
    /// The program.
    pub app: String,
    /// Its arguments.
    pub args: Option<Vec<String>>,
    /// Whether to wait for its window, 5 s at most.
    pub wait: Option<bool>,
}

impl DesktopLaunchRequest {
    /// This program, without arguments and without waiting.
    pub fn new(app: impl Into<String>) -> Self {
        Self { app: app.into(), args: None, wait: None }
    }

    /// Arguments, after those that are set.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.get_or_insert_default().extend(args.into_iter().map(Into::into));
        self
    }

    options! {
        /// Whether to wait for its window, 5 s at most; not unless set.
        wait: bool,
    }
}

/// A program that was started on the desktop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopLaunchResponse {
    /// Its process, as [`processes`](crate::SandboxAgent::processes) has it.
    pub process_id: String,
    /// Its number in the sandbox's system.
    pub pid: Option<u32>,
    /// Its window, where it was waited for and there was one in time.
    pub window_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DesktopOpenRequest {
    pub(crate) target: String,
}

/// The program that opens what was to be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopOpenResponse {
    /// Its process, as [`processes`](crate::SandboxAgent::processes) has it.
    pub process_id: String,
    /// Its number in the sandbox's system.
    pub pid: Option<u32>,
}
