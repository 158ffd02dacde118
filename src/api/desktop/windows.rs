//! Windows.

use serde::{Deserialize, Serialize};

use super::{Desktop, operations};
use crate::error::Result;

impl Desktop {
    /// The windows that are to be seen and have a title. One that is closed meanwhile may make the call fail.
    pub async fn windows(&self) -> Result<Vec<DesktopWindowInfo>> {
        Ok(self.api.call(&operations::WINDOWS, &[], &(), &()).await?.windows)
    }

    /// The window that gets what is typed; refused (`no_focused_window`) where none does.
    pub async fn focused_window(&self) -> Result<DesktopWindowInfo> {
        self.api.call(&operations::WINDOW_FOCUSED, &[], &(), &()).await
    }

    /// Makes a window the one that gets what is typed; refused (`window_not_found`) where it isn't there.
    pub async fn focus_window(&self, id: &str) -> Result<DesktopWindowInfo> {
        self.api.call(&operations::WINDOW_FOCUS, &[id], &(), &()).await
    }

    /// Moves a window, with its frame.
    ///
    /// The answer may still have its old place: the window manager moves it when it comes to that.
    pub async fn move_window(&self, id: &str, to: DesktopWindowMoveRequest) -> Result<DesktopWindowInfo> {
        self.api.call(&operations::WINDOW_MOVE, &[id], &(), &to).await
    }

    /// Gives a window another size, without its frame.
    ///
    /// The answer may still have its old size. The window may take another one, such as a terminal with room for whole
    /// characters.
    pub async fn resize_window(&self, id: &str, to: DesktopWindowResizeRequest) -> Result<DesktopWindowInfo> {
        self.api.call(&operations::WINDOW_RESIZE, &[id], &(), &to).await
    }
}

/// A window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopWindowInfo {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// Its left, in pixels, without its frame. Debian 12's `xdotool` adds the frame once more.
    pub x: i32,
    /// Its top, in pixels, likewise.
    pub y: i32,
    /// Its width, in pixels, without its frame.
    pub width: u32,
    /// Its height, in pixels, without its frame.
    pub height: u32,
    /// Whether it gets what is typed.
    pub is_active: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DesktopWindowListResponse {
    pub(crate) windows: Vec<DesktopWindowInfo>,
}

/// Where a window is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs)]
pub struct DesktopWindowMoveRequest {
    /// Its left, in pixels.
    pub x: i32,
    /// Its top, in pixels.
    pub y: i32,
}

/// How large a window is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs)]
pub struct DesktopWindowResizeRequest {
    /// Its width, in pixels.
    pub width: u32,
    /// Its height, in pixels.
    pub height: u32,
}
