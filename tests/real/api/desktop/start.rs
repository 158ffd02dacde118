//! Starting and stopping, and what is told of both.

use sandbox_agent_sdk::api::desktop::*;
use sandbox_agent_sdk::api::processes::ProcessOwner;

use super::{DISPLAY, HEIGHT, WIDTH, on_screen};
use crate::api::code;

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_desktop_has_the_size_it_was_asked_for_and_says_how_it_is() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        let status = desktop.status().await.unwrap();
        assert_eq!(status.state, DesktopState::Active);
        assert_eq!((status.last_error, status.missing_dependencies), (None, vec![]));
        assert!(status.started_at.is_some());
        let log = std::path::PathBuf::from(status.runtime_log_path.unwrap());
        assert!(log.starts_with(screen.server.data_home()), "{log:?}");
        assert!(std::fs::read_to_string(log).unwrap().contains("active"));
        let display = status.display.unwrap();
        let number: i32 = display.strip_prefix(':').unwrap().parse().unwrap();
        assert!((DISPLAY..DISPLAY + 10).contains(&number), "{display}");
        let resolution = status.resolution.unwrap();
        assert_eq!((resolution.width, resolution.height, resolution.dpi), (WIDTH, HEIGHT, Some(96)));
        let names: Vec<_> = status.processes.iter().map(|process| process.name.as_str()).collect();
        assert!(names.starts_with(&["Xvfb", "openbox"]), "{names:?}");
        assert!(status.processes.iter().all(|process| process.running), "{:?}", status.processes);

        let info = desktop.display_info().await.unwrap();
        assert_eq!((info.display, info.resolution), (display, resolution));

        // They are processes of the server as others are.
        let owned = screen.sdk.processes().list(Some(ProcessOwner::Desktop)).await.unwrap();
        let owned: Vec<_> = owned.iter().map(|process| process.command.as_str()).collect();
        assert!(owned.contains(&"Xvfb") && owned.contains(&"openbox"), "{owned:?}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_desktop_that_runs_stays_as_it_is_and_starts_anew_once_it_was_stopped() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        let first = desktop.status().await.unwrap();
        let again = desktop.start(&screen.request().size(640, 480)).await.unwrap();
        assert_eq!((again.resolution, again.started_at), (first.resolution, first.started_at));

        let stopped = desktop.stop().await.unwrap();
        assert_eq!((stopped.state, stopped.display), (DesktopState::Inactive, None));
        assert_eq!(code(&desktop.mouse_position().await.unwrap_err()), "desktop_runtime_inactive");
        assert_eq!(desktop.stop().await.unwrap().state, DesktopState::Inactive, "that is no error");

        let other = desktop.start(&screen.request().size(640, 480).dpi(120_u32)).await.unwrap();
        let resolution = other.resolution.unwrap();
        assert_eq!((resolution.width, resolution.height, resolution.dpi), (640, 480, Some(120)));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_screen_without_room_is_refused() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        desktop.stop().await.unwrap();
        let error = desktop.start(&screen.request().size(0, 600)).await.unwrap_err();
        assert_eq!(code(&error), "desktop_invalid_action");
        assert_eq!(desktop.status().await.unwrap().state, DesktopState::Inactive);
    })
    .await;
}
