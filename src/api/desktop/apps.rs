//! Programs on the desktop, and its clipboard.

use std::fmt;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Desktop, operations};
use crate::api::values::options;
use crate::error::{ErrorKind, Limit, Result};

/// Twice what the server gives the program that puts a text into the clipboard.
const CLIPBOARD: Duration = Duration::from_secs(10);

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

    /// What is in the clipboard, as text; nothing is the empty text.
    pub async fn clipboard(&self, query: &DesktopClipboardQuery) -> Result<DesktopClipboardResponse> {
        self.api.call(&operations::CLIPBOARD, &[], query, &()).await
    }

    /// Puts a text into the clipboard. Programs have it until another one copies something.
    ///
    /// Bounded by 10 s, or [`Limits::call`](crate::Limits::call) where that is less, and then by a look at the
    /// clipboard: where the text is in it, it is done. For with `xclip` 0.13, which Debian 12 has, the server puts the
    /// text there and never answers; the desktop does nothing else meanwhile. Of `both` it then puts it into the first
    /// alone, and the call fails with [`TimedOut`](ErrorKind::TimedOut). A program of this name that comes first on the
    /// server's `PATH` and closes what `xclip` keeps open makes it answer at once:
    ///
    /// ```sh
    /// #!/bin/sh
    /// case " $* " in
    /// *" -o "*) exec /usr/bin/xclip "$@" ;;
    /// *) exec /usr/bin/xclip "$@" >/dev/null 2>&1 ;;
    /// esac
    /// ```
    pub async fn set_clipboard(&self, request: &DesktopClipboardWriteRequest) -> Result<()> {
        let limit = self.api.limits.call.min(CLIPBOARD);
        match self.api.call_within(limit, &operations::SET_CLIPBOARD, &[], &(), request).await {
            Err(error)
                if *error.kind() == ErrorKind::TimedOut(Limit::Call) && self.is_copied(request).await =>
            {
                Ok(())
            }
            answered => answered?.done(),
        }
    }

    /// Whether the text is wherever it was to be put.
    async fn is_copied(&self, request: &DesktopClipboardWriteRequest) -> bool {
        let selections = match request.selection.as_deref() {
            Some("both") => vec!["clipboard", "primary"],
            one => vec![one.unwrap_or("clipboard")],
        };
        for selection in selections {
            let copied = self.clipboard(&DesktopClipboardQuery::new().selection(selection)).await;
            if !copied.is_ok_and(|copied| copied.text == request.text) {
                return false;
            }
        }
        true
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

/// Which clipboard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DesktopClipboardQuery {
    /// `clipboard`, or `primary` for what is marked; the first unless set.
    pub selection: Option<String>,
}

impl DesktopClipboardQuery {
    /// The clipboard.
    pub fn new() -> Self {
        Self::default()
    }

    options! {
        /// `clipboard`, or `primary` for what is marked.
        selection: String,
    }
}

/// What is in a clipboard. `Debug` doesn't show it: passwords are copied, too.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopClipboardResponse {
    /// Which clipboard.
    pub selection: String,
    /// The text in it.
    pub text: String,
}

impl fmt::Debug for DesktopClipboardResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DesktopClipboardResponse").field("selection", &self.selection).finish_non_exhaustive()
    }
}

/// What to put into a clipboard. `Debug` doesn't show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopClipboardWriteRequest {
    /// The text.
    pub text: String,
    /// `clipboard`, `primary` for what is marked, or `both`; the first unless set.
    pub selection: Option<String>,
}

impl DesktopClipboardWriteRequest {
    /// This text, into the clipboard.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), selection: None }
    }

    options! {
        /// `clipboard`, `primary` for what is marked, or `both`.
        selection: String,
    }
}

impl fmt::Debug for DesktopClipboardWriteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DesktopClipboardWriteRequest")
            .field("selection", &self.selection)
            .finish_non_exhaustive()
    }
}
