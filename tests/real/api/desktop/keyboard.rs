//! Keys, as a program on the desktop gets them.

use sandbox_agent_sdk::api::desktop::*;

use super::{KEEP, eventually, on_screen};
use crate::api::code;

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn what_is_typed_arrives_where_the_focus_is() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        screen.terminal("typed", KEEP, "typed").await;
        desktop.type_text(&DesktopKeyboardTypeRequest::new("Hello, World! ~|{}--")).await.unwrap();
        screen.holds("typed", "Hello, World! ~|{}--").await;
        // Keys that the keyboard hasn't are there for the pause alone. The last is Linefeed, not Return.
        let slowly = DesktopKeyboardTypeRequest::new("ä€\n").delay_ms(500_u32);
        desktop.type_text(&slowly).await.unwrap();
        screen.holds("typed", "Hello, World! ~|{}--ä€\n").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn keys_are_pressed_with_others_and_held() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        let options = ["-xrm", "*metaSendsEscape: true"];
        screen.terminal_with(&options, "keys", KEEP, "keys").await;
        let press = DesktopKeyboardPressRequest::new;
        for key in [press("a"), press("b").shift(), press("c").ctrl(), press("d").alt(), press("Return")] {
            desktop.press_key(&key).await.unwrap();
        }
        screen.holds("keys", "aB\u{3}\u{1b}d\r").await;
        desktop.key_down("Shift_L").await.unwrap();
        desktop.press_key(&press("e")).await.unwrap();
        desktop.key_up("Shift_L").await.unwrap();
        desktop.press_key(&press("f")).await.unwrap();
        screen.holds("keys", "aB\u{3}\u{1b}d\rEf").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn the_command_key_reaches_the_window_manager() {
    on_screen(async |screen| {
        screen.terminal("hidden", KEEP, "hidden").await;
        // By which it hides all windows, and brings them back.
        let press = DesktopKeyboardPressRequest::new("d").cmd();
        screen.desktop.press_key(&press).await.unwrap();
        eventually("bare desktop", async || screen.window("hidden").await.is_none().then_some(())).await;
        screen.desktop.press_key(&press).await.unwrap();
        eventually("window again", async || screen.window("hidden").await).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_text_that_takes_more_than_the_servers_5_s_is_cut() {
    on_screen(async |screen| {
        screen.terminal("long", KEEP, "long").await;
        let text = "x".repeat(100);
        let slowly = DesktopKeyboardTypeRequest::new(&text).delay_ms(200_u32);
        let error = screen.desktop.type_text(&slowly).await.unwrap_err();
        assert_eq!(code(&error), "desktop_input_failed");
        let typed = std::fs::read_to_string(screen.path("long")).unwrap();
        assert!(!typed.is_empty() && typed.len() < text.len() && text.starts_with(&typed), "{typed:?}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn nothing_is_no_key_and_no_text() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        let refused = [
            desktop.type_text(&DesktopKeyboardTypeRequest::new("")).await.unwrap_err(),
            desktop.press_key(&DesktopKeyboardPressRequest::new("")).await.unwrap_err(),
            desktop.key_down(" ").await.unwrap_err(),
            desktop.key_up("").await.unwrap_err(),
        ];
        for error in refused {
            assert_eq!(code(&error), "desktop_invalid_action");
        }
    })
    .await;
}
