//! The mouse, as a program on the desktop gets it.

use sandbox_agent_sdk::api::desktop::*;
use tokio::time::{sleep, timeout};

use super::{PATIENCE, POLL, Screen, on_screen};
use crate::api::code;

/// Keeps each byte of a terminal that reports the mouse, in sequences, and says when it does so.
const KEEP_MOUSE: &str = "stty raw -echo; printf '\\033[?1002h\\033[?1006h\\033[5n'; exec cat >$0";
const READY: &str = "\u{1b}[0n";

/// What the terminal says of the mouse: of each press, move or release a number, where, and `M`, or `m` for the last.
#[derive(Clone, Debug, PartialEq)]
struct Report {
    button: u32,
    cell: (u32, u32),
    is_release: bool,
}

fn reports(text: &str) -> Vec<Report> {
    let sequences = text.strip_prefix(READY).unwrap_or_default().split("\u{1b}[<").skip(1);
    let report = |sequence: &str| {
        let (numbers, end) = sequence.split_at_checked(sequence.len() - 1)?;
        let numbers: Vec<u32> = numbers.split(';').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [button, column, row] = numbers[..] else { return None };
        Some(Report { button, cell: (column, row), is_release: end == "m" })
    };
    sequences.filter_map(report).collect()
}

impl Screen {
    /// The reports that come after those that were there, once there are as many as wanted.
    async fn reported(&self, name: &str, seen: &mut usize, wanted: &[(u32, bool)]) -> Vec<Report> {
        let mut new = Vec::new();
        let shape =
            |new: &[Report]| -> Vec<_> { new.iter().map(|new| (new.button, new.is_release)).collect() };
        let found = timeout(PATIENCE, async {
            while shape(&new) != wanted {
                sleep(POLL).await;
                let all = reports(&std::fs::read_to_string(self.path(name)).unwrap());
                new = all[*seen..].to_vec();
            }
        });
        if found.await.is_err() {
            panic!("{new:?} is reported, not {wanted:?}");
        }
        *seen += new.len();
        new
    }
}

const PRESS: bool = false;
const RELEASE: bool = true;

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn the_mouse_is_where_it_was_moved_to() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        let moved = desktop.move_mouse(&DesktopMouseMoveRequest::new(123, 45)).await.unwrap();
        assert_eq!((moved.x, moved.y, moved.screen), (123, 45, Some(0)));
        let there = desktop.mouse_position().await.unwrap();
        assert_eq!((there.x, there.y), (123, 45));
        // It doesn't leave the screen.
        let edge = desktop.move_mouse(&DesktopMouseMoveRequest::new(5000, 5000)).await.unwrap();
        assert_eq!((edge.x, edge.y), (799, 599));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn each_button_is_clicked_held_and_let_go_of() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        let window = screen.terminal("buttons", KEEP_MOUSE, "buttons").await;
        screen.holds("buttons", READY).await;
        let (x, y) = (window.x + 50, window.y + 50);
        let seen = &mut 0;

        let clicked = desktop.click(&DesktopMouseClickRequest::new(x, y)).await.unwrap();
        assert_eq!((clicked.x, clicked.y), (x, y));
        let first = screen.reported("buttons", seen, &[(0, PRESS), (0, RELEASE)]).await;
        assert_eq!(first[0].cell, first[1].cell);
        let twice = DesktopMouseClickRequest::new(x, y).button(DesktopMouseButton::Right).click_count(2_u32);
        desktop.click(&twice).await.unwrap();
        screen.reported("buttons", seen, &[(2, PRESS), (2, RELEASE), (2, PRESS), (2, RELEASE)]).await;

        let middle = DesktopMouseButton::Middle;
        let down = DesktopMouseDownRequest::new().at(x + 100, y).button(middle.clone());
        let held = desktop.mouse_down(&down).await.unwrap();
        assert_eq!((held.x, held.y), (x + 100, y));
        let held = screen.reported("buttons", seen, &[(1, PRESS)]).await;
        assert!(held[0].cell.0 > first[0].cell.0, "it is further to the right");
        desktop.mouse_up(&DesktopMouseUpRequest::new().button(middle)).await.unwrap();
        let up = screen.reported("buttons", seen, &[(1, RELEASE)]).await;
        assert_eq!(up[0].cell, held[0].cell, "it stayed where it was");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn the_mouse_drags_and_its_wheel_turns_both_ways() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        let window = screen.terminal("drags", KEEP_MOUSE, "drags").await;
        screen.holds("drags", READY).await;
        let (x, y) = (window.x + 50, window.y + 50);
        let seen = &mut 0;

        let drag = DesktopMouseDragRequest::new((x, y), (x + 80, y + 60));
        let dragged = desktop.drag(&drag).await.unwrap();
        assert_eq!((dragged.x, dragged.y), (x + 80, y + 60));
        // 32 more are for a move with the button held.
        let way = screen.reported("drags", seen, &[(0, PRESS), (32, PRESS), (0, RELEASE)]).await;
        assert!(way[0].cell.0 < way[1].cell.0 && way[0].cell.1 < way[1].cell.1, "{way:?}");
        assert_eq!(way[1].cell, way[2].cell);

        let wheel = DesktopMouseScrollRequest::new(x, y);
        // Up, down, left and right are buttons 64 to 67. The terminal says of the latter two alone that they are let
        // go of.
        let turns = [
            (wheel.clone().delta_y(-1), vec![(64, PRESS)]),
            (wheel.clone().delta_y(3), vec![(65, PRESS); 3]),
            (wheel.clone().delta_x(-1), vec![(66, PRESS), (66, RELEASE)]),
            (wheel.delta_y(1).delta_x(1), vec![(65, PRESS), (67, PRESS), (67, RELEASE)]),
        ];
        for (turn, wanted) in turns {
            desktop.scroll(&turn).await.unwrap();
            screen.reported("drags", seen, &wanted).await;
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn what_no_hand_can_do_is_refused() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        let refused = [
            desktop.move_mouse(&DesktopMouseMoveRequest::new(-1, 0)).await.unwrap_err(),
            desktop.click(&DesktopMouseClickRequest::new(1, 1).click_count(0_u32)).await.unwrap_err(),
            desktop.scroll(&DesktopMouseScrollRequest::new(1, 1)).await.unwrap_err(),
        ];
        for error in refused {
            assert_eq!(code(&error), "desktop_invalid_action");
        }
    })
    .await;
}
