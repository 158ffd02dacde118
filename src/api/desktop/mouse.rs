//! The mouse.

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
