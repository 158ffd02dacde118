//! The clipboard.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Desktop, operations};
use crate::api::values::options;
use crate::error::{ErrorKind, Limit, Result};

/// Twice what the server gives the program that puts a text into the clipboard.
const LIMIT: Duration = Duration::from_secs(10);

impl Desktop {
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
        let limit = self.api.limits.call.min(LIMIT);
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
