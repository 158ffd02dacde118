//! Mouse and keyboard.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Desktop, operations};
use crate::api::values::{open_enum, options};
use crate::error::Result;

impl Desktop {
    /// Where the mouse is.
    pub async fn mouse_position(&self) -> Result<DesktopMousePositionResponse> {
        self.api.call(&operations::MOUSE_POSITION, &[], &(), &()).await
    }

    /// Moves the mouse.
    pub async fn move_mouse(&self, to: &DesktopMouseMoveRequest) -> Result<DesktopMousePositionResponse> {
        self.api.call(&operations::MOUSE_MOVE, &[], &(), to).await
    }

    /// Moves the mouse, and clicks.
    pub async fn click(&self, click: &DesktopMouseClickRequest) -> Result<DesktopMousePositionResponse> {
        self.api.call(&operations::MOUSE_CLICK, &[], &(), click).await
    }

    /// Presses a button of the mouse and holds it.
    pub async fn mouse_down(&self, button: &DesktopMouseDownRequest) -> Result<DesktopMousePositionResponse> {
        self.api.call(&operations::MOUSE_DOWN, &[], &(), button).await
    }

    /// Lets go of a button of the mouse.
    pub async fn mouse_up(&self, button: &DesktopMouseUpRequest) -> Result<DesktopMousePositionResponse> {
        self.api.call(&operations::MOUSE_UP, &[], &(), button).await
    }

    /// Moves the mouse with a button held, in one step.
    pub async fn drag(&self, drag: &DesktopMouseDragRequest) -> Result<DesktopMousePositionResponse> {
        self.api.call(&operations::MOUSE_DRAG, &[], &(), drag).await
    }

    /// Moves the mouse, and turns its wheel.
    pub async fn scroll(&self, scroll: &DesktopMouseScrollRequest) -> Result<DesktopMousePositionResponse> {
        self.api.call(&operations::MOUSE_SCROLL, &[], &(), scroll).await
    }

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
    /// not ASCII needs a UTF-8 locale (`LC_ALL`) in the server's environment. Bounded by
    /// [`Limits::call`](crate::Limits::call) and the pauses between its characters.
    pub async fn type_text(&self, text: &DesktopKeyboardTypeRequest) -> Result<()> {
        let limit = self.api.limits.call.saturating_add(text.pauses());
        self.api.call_within(limit, &operations::KEY_TYPE, &[], &(), text).await?.done()
    }
}

open_enum! {
    /// A button of the mouse.
    DesktopMouseButton {
        /// The left one.
        Left = "left",
        /// The one in the middle.
        Middle = "middle",
        /// The right one.
        Right = "right",
    }
}

/// Where the mouse is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopMousePositionResponse {
    /// From the left.
    pub x: i32,
    /// From the top.
    pub y: i32,
    /// The screen that it is on.
    pub screen: Option<i32>,
    /// The window that it is over.
    pub window: Option<String>,
}

/// Where the mouse is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopMouseMoveRequest {
    /// From the left.
    pub x: i32,
    /// From the top.
    pub y: i32,
}

impl DesktopMouseMoveRequest {
    /// To this point.
    pub fn new(x: i32, y: i32) -> Self {
        Self { x, y }
    }
}

/// A click.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopMouseClickRequest {
    /// From the left.
    pub x: i32,
    /// From the top.
    pub y: i32,
    /// With which button; the left one unless set.
    pub button: Option<DesktopMouseButton>,
    /// How often; once unless set.
    pub click_count: Option<u32>,
}

impl DesktopMouseClickRequest {
    /// Once on this point, with the left button.
    pub fn new(x: i32, y: i32) -> Self {
        Self { x, y, button: None, click_count: None }
    }

    options! {
        /// With which button.
        button: DesktopMouseButton,
        /// How often: 2 for a double click.
        click_count: u32,
    }
}

macro_rules! button_request {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(rename_all = "camelCase")]
            #[non_exhaustive]
            pub struct $name {
                /// Which button; the left one unless set.
                pub button: Option<DesktopMouseButton>,
                /// From the left; where the mouse is unless set.
                pub x: Option<i32>,
                /// From the top; where the mouse is unless set.
                pub y: Option<i32>,
            }

            impl $name {
                /// The left button, where the mouse is.
                pub fn new() -> Self {
                    Self::default()
                }

                /// At this point.
                #[must_use]
                pub fn at(self, x: i32, y: i32) -> Self {
                    Self { x: Some(x), y: Some(y), ..self }
                }

                options! {
                    /// Which button.
                    button: DesktopMouseButton,
                }
            }
        )*
    };
}

button_request! {
    /// A button to press and hold.
    DesktopMouseDownRequest
    /// A button to let go of.
    DesktopMouseUpRequest
}

/// A way of the mouse with a button held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopMouseDragRequest {
    /// Its begin, from the left.
    pub start_x: i32,
    /// Its begin, from the top.
    pub start_y: i32,
    /// Its end, from the left.
    pub end_x: i32,
    /// Its end, from the top.
    pub end_y: i32,
    /// With which button; the left one unless set.
    pub button: Option<DesktopMouseButton>,
}

impl DesktopMouseDragRequest {
    /// From one point to another, with the left button.
    pub fn new(start: (i32, i32), end: (i32, i32)) -> Self {
        Self { start_x: start.0, start_y: start.1, end_x: end.0, end_y: end.1, button: None }
    }

    options! {
        /// With which button.
        button: DesktopMouseButton,
    }
}

/// A turn of the mouse's wheel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopMouseScrollRequest {
    /// Where, from the left.
    pub x: i32,
    /// Where, from the top.
    pub y: i32,
    /// How far to the right, in clicks of the wheel; to the left below 0.
    pub delta_x: Option<i32>,
    /// How far down, in clicks of the wheel; up below 0.
    pub delta_y: Option<i32>,
}

impl DesktopMouseScrollRequest {
    /// At this point. A turn has one of the two directions at least.
    pub fn new(x: i32, y: i32) -> Self {
        Self { x, y, delta_x: None, delta_y: None }
    }

    options! {
        /// How far to the right, in clicks of the wheel; to the left below 0.
        delta_x: i32,
        /// How far down, in clicks of the wheel; up below 0.
        delta_y: i32,
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
