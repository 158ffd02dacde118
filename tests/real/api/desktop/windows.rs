//! Windows: which there are, which gets what is typed, where they are and how large.

use sandbox_agent_sdk::api::desktop::*;

use super::{KEEP, eventually, on_screen};
use crate::api::code;

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn the_focus_goes_to_the_window_it_is_given_to() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        let first = screen.terminal("first", KEEP, "first").await;
        let second = screen.terminal("second", KEEP, "second").await;
        assert_ne!(first.id, second.id);
        for (window, name) in [(&first, "first"), (&second, "second"), (&first, "first")] {
            let focused = desktop.focus_window(&window.id).await.unwrap();
            assert_eq!((focused.id.as_str(), focused.is_active), (window.id.as_str(), true));
            assert_eq!(desktop.focused_window().await.unwrap().title, name);
            let active: Vec<_> = desktop.windows().await.unwrap();
            let active: Vec<_> = active.iter().filter(|window| window.is_active).collect();
            assert_eq!(active.iter().map(|window| window.title.as_str()).collect::<Vec<_>>(), [name]);
            desktop.type_text(&DesktopKeyboardTypeRequest::new(name)).await.unwrap();
        }
        screen.holds("first", "firstfirst").await;
        screen.holds("second", "second").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_window_is_moved_and_made_larger() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        // At (100, 100), but for its frame.
        let before = screen.terminal("moved", KEEP, "moved").await;
        let moved =
            desktop.move_window(&before.id, DesktopWindowMoveRequest { x: 300, y: 250 }).await.unwrap();
        assert_eq!(moved.id, before.id);
        let wanted = (before.x + 200, before.y + 150, before.width, before.height);
        eventually("window where it was moved to", async || {
            let now = screen.window("moved").await?;
            ((now.x, now.y, now.width, now.height) == wanted).then_some(())
        })
        .await;

        let (width, height) = (before.width + 50, before.height + 50);
        let size = DesktopWindowResizeRequest { width, height };
        let resized = desktop.resize_window(&before.id, size).await.unwrap();
        assert_eq!(resized.title, "moved");
        // A terminal has room for whole characters.
        let character = 20;
        eventually("window as large as it was made", async || {
            let now = screen.window("moved").await?;
            let fits = now.width.abs_diff(width) < character && now.height.abs_diff(height) < character;
            fits.then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_window_that_is_not_there_is_refused_by_name() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        assert_eq!(desktop.windows().await.unwrap(), []);
        assert_eq!(code(&desktop.focused_window().await.unwrap_err()), "no_focused_window");
        let to = DesktopWindowMoveRequest { x: 1, y: 2 };
        let size = DesktopWindowResizeRequest { width: 10, height: 20 };
        let refused = [
            desktop.focus_window("4194304999").await.unwrap_err(),
            desktop.move_window("4194304999", to).await.unwrap_err(),
            desktop.resize_window("4194304999", size).await.unwrap_err(),
        ];
        for error in refused {
            assert_eq!((code(&error), error.problem().unwrap().status), ("window_not_found", 404));
        }
    })
    .await;
}
