//! The desktop of the sandbox: a screen, a mouse and a keyboard for programs that need them.

mod apps;
mod input;
pub(crate) mod operations;
mod recording;
mod screen;
#[cfg(feature = "websocket")]
mod signaling;
mod status;
mod stream;
mod windows;

pub use apps::{
    DesktopClipboardQuery, DesktopClipboardResponse, DesktopClipboardWriteRequest, DesktopLaunchRequest,
    DesktopLaunchResponse, DesktopOpenResponse,
};
pub use input::{
    DesktopKeyModifiers, DesktopKeyboardPressRequest, DesktopKeyboardTypeRequest, DesktopMouseButton,
    DesktopMouseClickRequest, DesktopMouseDownRequest, DesktopMouseDragRequest, DesktopMouseMoveRequest,
    DesktopMousePositionResponse, DesktopMouseScrollRequest, DesktopMouseUpRequest,
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
/// most calls are refused with the code `desktop_dependencies_missing`, and until [`start`](Self::start) with one that
/// says that the desktop is not active. The problem's members have the details. Coordinates are pixels from the
/// screen's upper left.
///
/// Each call is bounded by [`Limits::call`](crate::Limits::call) a try, unless it says otherwise. What only looks is
/// tried again; what types, clicks or starts something never is.
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
