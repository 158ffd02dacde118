//! Where the desktop's operations are.

use super::super::operation::{Channel, Octets, Operation};
use super::DesktopActionResponse;
use super::apps::*;
use super::clipboard::*;
use super::keyboard::*;
use super::mouse::*;
use super::recording::*;
use super::screen::*;
use super::status::*;
use super::stream::*;
use super::windows::*;

pub(crate) const STATUS: Operation<(), (), DesktopStatusResponse> = Operation::get("/v1/desktop/status");
pub(crate) const START: Operation<(), DesktopStartRequest, DesktopStatusResponse> =
    Operation::post("/v1/desktop/start");
pub(crate) const STOP: Operation<(), (), DesktopStatusResponse> = Operation::post("/v1/desktop/stop");
pub(crate) const DISPLAY: Operation<(), (), DesktopDisplayInfoResponse> =
    Operation::get("/v1/desktop/display/info");

pub(crate) const SCREENSHOT: Operation<DesktopScreenshotQuery, (), Octets> =
    Operation::get("/v1/desktop/screenshot");
pub(crate) const SCREENSHOT_REGION: Operation<RegionQuery, (), Octets> =
    Operation::get("/v1/desktop/screenshot/region");

pub(crate) const MOUSE_POSITION: Operation<(), (), DesktopMousePositionResponse> =
    Operation::get("/v1/desktop/mouse/position");
pub(crate) const MOUSE_MOVE: Operation<(), DesktopMouseMoveRequest, DesktopMousePositionResponse> =
    Operation::post("/v1/desktop/mouse/move");
pub(crate) const MOUSE_CLICK: Operation<(), DesktopMouseClickRequest, DesktopMousePositionResponse> =
    Operation::post("/v1/desktop/mouse/click");
pub(crate) const MOUSE_DOWN: Operation<(), DesktopMouseDownRequest, DesktopMousePositionResponse> =
    Operation::post("/v1/desktop/mouse/down");
pub(crate) const MOUSE_UP: Operation<(), DesktopMouseUpRequest, DesktopMousePositionResponse> =
    Operation::post("/v1/desktop/mouse/up");
pub(crate) const MOUSE_DRAG: Operation<(), DesktopMouseDragRequest, DesktopMousePositionResponse> =
    Operation::post("/v1/desktop/mouse/drag");
pub(crate) const MOUSE_SCROLL: Operation<(), DesktopMouseScrollRequest, DesktopMousePositionResponse> =
    Operation::post("/v1/desktop/mouse/scroll");
pub(crate) const KEY_DOWN: Operation<(), DesktopKeyRequest, DesktopActionResponse> =
    Operation::post("/v1/desktop/keyboard/down");
pub(crate) const KEY_UP: Operation<(), DesktopKeyRequest, DesktopActionResponse> =
    Operation::post("/v1/desktop/keyboard/up");
pub(crate) const KEY_PRESS: Operation<(), DesktopKeyboardPressRequest, DesktopActionResponse> =
    Operation::post("/v1/desktop/keyboard/press");
pub(crate) const KEY_TYPE: Operation<(), DesktopKeyboardTypeRequest, DesktopActionResponse> =
    Operation::post("/v1/desktop/keyboard/type");

pub(crate) const CLIPBOARD: Operation<DesktopClipboardQuery, (), DesktopClipboardResponse> =
    Operation::get("/v1/desktop/clipboard");
pub(crate) const SET_CLIPBOARD: Operation<(), DesktopClipboardWriteRequest, DesktopActionResponse> =
    Operation::post("/v1/desktop/clipboard");
pub(crate) const LAUNCH: Operation<(), DesktopLaunchRequest, DesktopLaunchResponse> =
    Operation::post("/v1/desktop/launch");
pub(crate) const OPEN: Operation<(), DesktopOpenRequest, DesktopOpenResponse> =
    Operation::post("/v1/desktop/open");

pub(crate) const WINDOWS: Operation<(), (), DesktopWindowListResponse> =
    Operation::get("/v1/desktop/windows");
pub(crate) const WINDOW_FOCUSED: Operation<(), (), DesktopWindowInfo> =
    Operation::get("/v1/desktop/windows/focused");
pub(crate) const WINDOW_FOCUS: Operation<(), (), DesktopWindowInfo> =
    Operation::post("/v1/desktop/windows/{id}/focus");
pub(crate) const WINDOW_MOVE: Operation<(), DesktopWindowMoveRequest, DesktopWindowInfo> =
    Operation::post("/v1/desktop/windows/{id}/move");
pub(crate) const WINDOW_RESIZE: Operation<(), DesktopWindowResizeRequest, DesktopWindowInfo> =
    Operation::post("/v1/desktop/windows/{id}/resize");

pub(crate) const RECORDING_START: Operation<(), DesktopRecordingStartRequest, DesktopRecordingInfo> =
    Operation::post("/v1/desktop/recording/start");
pub(crate) const RECORDING_STOP: Operation<(), (), DesktopRecordingInfo> =
    Operation::post("/v1/desktop/recording/stop");
pub(crate) const RECORDINGS: Operation<(), (), DesktopRecordingListResponse> =
    Operation::get("/v1/desktop/recordings");
pub(crate) const RECORDING: Operation<(), (), DesktopRecordingInfo> =
    Operation::get("/v1/desktop/recordings/{id}");
pub(crate) const RECORDING_DELETE: Operation<(), (), ()> =
    Operation::delete_once("/v1/desktop/recordings/{id}");
pub(crate) const RECORDING_DOWNLOAD: Operation<(), (), Octets> =
    Operation::get("/v1/desktop/recordings/{id}/download");

pub(crate) const STREAM_STATUS: Operation<(), (), DesktopStreamStatusResponse> =
    Operation::get("/v1/desktop/stream/status");
pub(crate) const STREAM_START: Operation<(), (), DesktopStreamStatusResponse> =
    Operation::post("/v1/desktop/stream/start");
pub(crate) const STREAM_STOP: Operation<(), (), DesktopStreamStatusResponse> =
    Operation::post("/v1/desktop/stream/stop");
// The token goes into a header: the server takes none from this address.
#[cfg_attr(not(any(test, feature = "websocket")), expect(dead_code))]
pub(crate) const STREAM_SIGNALING: Operation<(), (), Channel> =
    Operation::get("/v1/desktop/stream/signaling");
