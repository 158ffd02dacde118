//! A sandbox without the programs for a desktop: each operation takes what is sent, and says what is missing.

use std::fmt::Debug;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sandbox_agent_sdk::api::desktop::*;
use sandbox_agent_sdk::{ErrorKind, Result, SandboxAgent};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use tempfile::{TempDir, tempdir};

use super::on_screen_of;
use crate::api::code;
use crate::builder;

/// A server that finds no program, whatever this machine has.
async fn lacking() -> (RealServer, SandboxAgent, TempDir) {
    let nothing = tempdir().unwrap();
    let path = nothing.path().to_str().unwrap();
    let server = RealServer::start(RealServerOptions::new().env("PATH", path)).await.unwrap();
    let sdk = builder(&server).connect().await.unwrap();
    (server, sdk, nothing)
}

/// The server's own refusal: the address, the method and the body were right.
fn refused<T: Debug>(outcome: Result<T>) -> String {
    let error = outcome.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused(_)), "{error:?}");
    assert!(error.problem().unwrap().kind.starts_with("urn:sandbox-agent:error:"), "{error:?}");
    code(&error).to_owned()
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn the_desktop_says_what_it_lacks() {
    let (_server, sdk, _nothing) = lacking().await;
    let desktop = sdk.desktop();
    let status = desktop.status().await.unwrap();
    assert_eq!(status.state, DesktopState::InstallRequired);
    assert_eq!(status.missing_dependencies, ["Xvfb", "openbox", "xdotool", "import", "xrandr"]);
    assert_eq!(status.install_command.as_deref(), Some("sandbox-agent install desktop --yes"));
    assert_eq!(status.last_error.unwrap().code, "desktop_dependencies_missing");
    let error = desktop.start(&DesktopStartRequest::new().width(800_u32).height(600_u32)).await.unwrap_err();
    assert_eq!(code(&error), "desktop_dependencies_missing");
    let missing = &error.problem().unwrap().extra["missingDependencies"];
    assert_eq!(missing.as_array().unwrap().len(), status.missing_dependencies.len());
    assert_eq!(desktop.stop().await.unwrap().state, DesktopState::Inactive);
    assert!(!desktop.stream_status().await.unwrap().active);
    assert!(!desktop.stop_stream().await.unwrap().active);
    assert_eq!(desktop.recordings().await.unwrap(), []);
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask test"]
async fn every_other_operation_is_refused_by_the_server_itself() {
    let (_server, sdk, _nothing) = lacking().await;
    let desktop = sdk.desktop();
    let region = DesktopRegion { x: 0, y: 0, width: 10, height: 10 };
    let query = DesktopScreenshotQuery::new().format(DesktopScreenshotFormat::Jpeg).quality(80_u32);
    let query = query.scale(0.5_f32).show_cursor(true);
    let left = DesktopMouseButton::Left;
    let codes = [
        refused(desktop.display_info().await),
        refused(desktop.screenshot(&query).await),
        refused(desktop.screenshot_region(region, &query).await),
        refused(desktop.mouse_position().await),
        refused(desktop.move_mouse(&DesktopMouseMoveRequest::new(1, 2)).await),
        refused(desktop.click(&DesktopMouseClickRequest::new(1, 2).click_count(2_u32)).await),
        refused(desktop.mouse_down(&DesktopMouseDownRequest::new().at(1, 2).button(left)).await),
        refused(desktop.mouse_up(&DesktopMouseUpRequest::new()).await),
        refused(desktop.drag(&DesktopMouseDragRequest::new((1, 2), (3, 4))).await),
        refused(desktop.scroll(&DesktopMouseScrollRequest::new(1, 2).delta_y(3)).await),
        refused(desktop.key_down("a").await),
        refused(desktop.key_up("a").await),
        refused(desktop.press_key(&DesktopKeyboardPressRequest::new("a").ctrl().shift()).await),
        refused(desktop.type_text(&DesktopKeyboardTypeRequest::new("a").delay_ms(1_u32)).await),
        refused(desktop.clipboard(&DesktopClipboardQuery::new().selection("primary")).await),
        refused(desktop.set_clipboard(&DesktopClipboardWriteRequest::new("a")).await),
        refused(desktop.launch(&DesktopLaunchRequest::new("xterm").args(["-e"]).wait(true)).await),
        refused(desktop.open("http://127.0.0.1").await),
        refused(desktop.windows().await),
        refused(desktop.focused_window().await),
        refused(desktop.focus_window("1").await),
        refused(desktop.move_window("1", DesktopWindowMoveRequest { x: 1, y: 2 }).await),
        refused(desktop.resize_window("1", DesktopWindowResizeRequest { width: 1, height: 2 }).await),
        refused(desktop.start_recording(&DesktopRecordingStartRequest::new().fps(5_u32)).await),
        refused(desktop.stop_recording().await),
        refused(desktop.recording("1").await),
        refused(desktop.delete_recording("1").await),
        refused(desktop.download_recording("1").await),
        refused(desktop.start_stream().await),
        #[cfg(feature = "websocket")]
        refused(desktop.signaling().await),
    ];
    let known = ["desktop_dependencies_missing", "desktop_runtime_inactive", "conflict", "not_found"];
    assert!(codes.iter().all(|code| known.contains(&code.as_str())), "{codes:?}");
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_program_that_the_server_does_not_count_is_missed_where_it_is_needed() {
    let bare = |folder: &Path| {
        let bin = folder.join("bin");
        std::fs::create_dir(&bin).unwrap();
        for program in ["Xvfb", "openbox", "xdotool", "import", "xrandr"] {
            symlink(on_path(program), bin.join(program)).unwrap();
        }
        RealServerOptions::new().env("PATH", bin.to_str().unwrap())
    };
    on_screen_of(bare, async |screen| {
        let desktop = &screen.desktop;
        let codes = [
            refused(desktop.clipboard(&DesktopClipboardQuery::new()).await),
            refused(desktop.set_clipboard(&DesktopClipboardWriteRequest::new("a")).await),
            refused(desktop.open("http://127.0.0.1").await),
            refused(desktop.start_recording(&DesktopRecordingStartRequest::new()).await),
            refused(desktop.start_stream().await),
        ];
        let wanted =
            ["clipboard_failed", "clipboard_failed", "desktop_runtime_failed", "conflict", "conflict"];
        assert_eq!(codes, wanted);
    })
    .await;
}

fn on_path(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|at| at.is_file());
    found.unwrap_or_else(|| panic!("no {program} on the PATH"))
}
