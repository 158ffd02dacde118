//! The desktop of the sandbox: a screen, a mouse and a keyboard for programs that need them.

mod apps;
mod clipboard;
mod keyboard;
mod mouse;
pub(crate) mod operations;
mod recording;
mod screen;
#[cfg(feature = "websocket")]
mod signaling;
mod status;
mod stream;
#[cfg(feature = "files")]
mod video;
mod windows;

pub use apps::{DesktopLaunchRequest, DesktopLaunchResponse, DesktopOpenResponse};
pub use clipboard::{DesktopClipboardQuery, DesktopClipboardResponse, DesktopClipboardWriteRequest};
pub use keyboard::{DesktopKeyModifiers, DesktopKeyboardPressRequest, DesktopKeyboardTypeRequest};
pub use mouse::{
    DesktopMouseButton, DesktopMouseClickRequest, DesktopMouseDownRequest, DesktopMouseDragRequest,
    DesktopMouseMoveRequest, DesktopMousePositionResponse, DesktopMouseScrollRequest, DesktopMouseUpRequest,
};
pub use recording::{DesktopRecordingInfo, DesktopRecordingStartRequest, DesktopRecordingStatus};
pub use screen::{DesktopRegion, DesktopScreenshotFormat, DesktopScreenshotQuery};
#[cfg(feature = "websocket")]
pub use signaling::DesktopSignaling;
pub use status::{
    DesktopDisplayInfoResponse, DesktopErrorInfo, DesktopProcessInfo, DesktopResolution, DesktopStartRequest,
    DesktopState, DesktopStatusResponse,
};
pub use stream::DesktopStreamStatusResponse;
pub use windows::{DesktopWindowInfo, DesktopWindowMoveRequest, DesktopWindowResizeRequest};

use serde::{Deserialize, Serialize};

use super::call::Api;

/// The desktop of the sandbox. A cheap clone.
///
/// [`status`](Self::status) says what the sandbox lacks for one, and with which command to install it; until then
/// most calls are refused with the code `desktop_dependencies_missing`, and until [`start`](Self::start) with
/// `desktop_runtime_inactive`. The problem's members have the details. What the server doesn't count as missing, and
/// fails without:
///
/// | for | the sandbox needs | refused with |
/// | --- | --- | --- |
/// | [`clipboard`](Self::clipboard), [`set_clipboard`](Self::set_clipboard) | `xclip` | `clipboard_failed` |
/// | [`open`](Self::open) | `xdg-open` | `desktop_runtime_failed` |
/// | [`start_recording`](Self::start_recording) | `ffmpeg` | `conflict` |
/// | [`start_stream`](Self::start_stream) | `neko` | `conflict` |
///
/// Coordinates are pixels from the screen's upper left; what is outside of it or can't be done, such as a click at
/// (-1, 0), is refused with `desktop_invalid_action`. The server does one thing on the desktop at a time.
///
/// Each call is bounded by [`Limits::call`](crate::Limits::call) a try, unless it says otherwise. What only looks is
/// tried again; what types, clicks or starts something never is.
///
/// ```no_run
/// use sandbox_agent_sdk::api::desktop::{
///     Desktop, DesktopKeyboardPressRequest, DesktopKeyboardTypeRequest, DesktopLaunchRequest,
///     DesktopScreenshotQuery, DesktopStartRequest,
/// };
///
/// # async fn look(desktop: &Desktop) -> Result<(), Box<dyn std::error::Error>> {
/// desktop.start(&DesktopStartRequest::new().size(1280, 800)).await?;
/// desktop.launch(&DesktopLaunchRequest::new("xterm").wait(true)).await?;
/// desktop.type_text(&DesktopKeyboardTypeRequest::new("ls")).await?;
/// desktop.press_key(&DesktopKeyboardPressRequest::new("Return")).await?;
/// std::fs::write("desktop.png", desktop.screenshot(&DesktopScreenshotQuery::new()).await?)?;
/// desktop.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Desktop {
    pub(in crate::api) api: Api,
}

impl Desktop {
    pub(crate) fn new(api: Api) -> Self {
        Self { api }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DesktopActionResponse {
    pub(crate) ok: bool,
}

impl DesktopActionResponse {
    /// A refusal comes as a problem; this is for a server that should ever say so without one.
    fn done(&self) -> crate::Result<()> {
        if self.ok {
            Ok(())
        } else {
            Err(crate::Error::protocol("the desktop did not do it, and says no reason"))
        }
    }
}
