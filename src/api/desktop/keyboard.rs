//! The keyboard.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Desktop, operations};
use crate::api::values::options;
use crate::error::Result;

impl Desktop {
    /// Presses a key, such as `Shift_L`, and holds it: until [`key_up`](Self::key_up), what is typed is typed with it.
    ///
    /// Keys have the names of X11's keysyms: `a`, `Return`, `Escape`, `Page_Up`, `F5`, `Control_L`, ….
    pub async fn key_down(&self, key: &str) -> Result<()> {
        let request = DesktopKeyRequest { key: key.to_owned() };
        self.api.call(&operations::KEY_DOWN, &[], &(), &request).await?.done()
    }

    /// Lets go of a key.
    pub async fn key_up(&self, key: &str) -> Result<()> {
        let request = DesktopKeyRequest { key: key.to_owned() };
        self.api.call(&operations::KEY_UP, &[], &(), &request).await?.done()
    }

    /// Presses a key, with others that change what it does, and lets go of them.
    ///
    /// A name that is none of a key's is passed over: the server doesn't say so.
    pub async fn press_key(&self, press: &DesktopKeyboardPressRequest) -> Result<()> {
        self.api.call(&operations::KEY_PRESS, &[], &(), press).await?.done()
    }

    /// Types a text. `\n` is the key Linefeed, which terminals take for Return and other programs don't: press that.
    ///
    /// The server gives it 5 s: what takes longer is refused with `desktop_input_failed` when a part of it has been
    /// typed. So a long text is typed in parts, or put into the [clipboard](Self::set_clipboard) and pasted. What is
    /// not ASCII needs a UTF-8 locale (`LC_ALL`) in the server's environment, and is refused likewise without. What
    /// the keyboard has no key for gets one for as long as the pause: a program that is slower never sees it, so give it
    /// longer ones, or paste. Bounded by [`Limits::call`](crate::Limits::call) and the pauses between its characters.
    pub async fn type_text(&self, text: &DesktopKeyboardTypeRequest) -> Result<()> {
        let limit = self.api.limits.call.saturating_add(text.pauses());
        self.api.call_within(limit, &operations::KEY_TYPE, &[], &(), text).await?.done()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DesktopKeyRequest {
    pub(crate) key: String,
}

/// Keys that are held while another one is pressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopKeyModifiers {
    /// Alt.
    pub alt: Option<bool>,
    /// The command, or Windows, key.
    pub cmd: Option<bool>,
    /// Control.
    pub ctrl: Option<bool>,
    /// Shift.
    pub shift: Option<bool>,
}

/// A key to press.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopKeyboardPressRequest {
    /// The key, such as `a` or `Return`.
    pub key: String,
    /// What is held meanwhile.
    pub modifiers: Option<DesktopKeyModifiers>,
}

impl DesktopKeyboardPressRequest {
    /// This key alone.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), modifiers: None }
    }

    /// With Alt held.
    #[must_use]
    pub fn alt(mut self) -> Self {
        self.modifiers.get_or_insert_default().alt = Some(true);
        self
    }

    /// With the command, or Windows, key held.
    #[must_use]
    pub fn cmd(mut self) -> Self {
        self.modifiers.get_or_insert_default().cmd = Some(true);
        self
    }

    /// With Control held.
    #[must_use]
    pub fn ctrl(mut self) -> Self {
        self.modifiers.get_or_insert_default().ctrl = Some(true);
        self
    }

    /// With Shift held.
    #[must_use]
    pub fn shift(mut self) -> Self {
        self.modifiers.get_or_insert_default().shift = Some(true);
        self
    }
}

/// A text to type. `Debug` doesn't show it: passwords are typed, too.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopKeyboardTypeRequest {
    /// The text.
    pub text: String,
    /// The pause between two characters, in milliseconds; 10 unless set.
    pub delay_ms: Option<u32>,
}

impl DesktopKeyboardTypeRequest {
    /// This text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), delay_ms: None }
    }

    options! {
        /// The pause between two characters, in milliseconds.
        delay_ms: u32,
    }

    fn pauses(&self) -> Duration {
        let characters = u32::try_from(self.text.chars().count()).unwrap_or(u32::MAX);
        Duration::from_millis(self.delay_ms.unwrap_or_default().into()).saturating_mul(characters)
    }
}

impl fmt::Debug for DesktopKeyboardTypeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DesktopKeyboardTypeRequest").field("delay_ms", &self.delay_ms).finish_non_exhaustive()
    }
}
