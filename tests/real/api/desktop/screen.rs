//! Screenshots: they are of the screen, and as they were asked for.

use std::path::Path;
use std::process::Command;

use sandbox_agent_sdk::api::desktop::*;

use super::{HEIGHT, KEEP, Screen, WIDTH, eventually, on_screen};
use crate::api::code;

type Rgb = [u8; 3];
const RED: Rgb = [255, 0, 0];

/// An image as another program reads it: its format, its width and height, its pixels row by row.
fn decoded(image: &[u8], at: &Path) -> (String, u32, u32, Vec<Rgb>) {
    std::fs::write(at, image).unwrap();
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(at.parent().unwrap()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let name = at.file_name().unwrap().to_str().unwrap();
    let told = String::from_utf8(run("identify", &["-format", "%m %w %h", name])).unwrap();
    let mut told = told.split(' ');
    let format = told.next().unwrap().to_owned();
    let mut number = || told.next().unwrap().parse().unwrap();
    let (width, height) = (number(), number());
    let bytes = run("convert", &[name, "-depth", "8", "rgb:-"]);
    let pixels: Vec<Rgb> = bytes.chunks_exact(3).map(|pixel| pixel.try_into().unwrap()).collect();
    assert_eq!(pixels.len() as u32, width * height);
    (format, width, height, pixels)
}

impl Screen {
    async fn shot(&self, query: DesktopScreenshotQuery) -> (String, u32, u32, Vec<Rgb>) {
        decoded(&self.desktop.screenshot(&query).await.unwrap(), &self.path("shot"))
    }

    async fn region(&self, region: DesktopRegion, query: &DesktopScreenshotQuery) -> (u32, u32, Vec<Rgb>) {
        let image = self.desktop.screenshot_region(region, query).await.unwrap();
        let (_, width, height, pixels) = decoded(&image, &self.path("region"));
        (width, height, pixels)
    }
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_screenshot_has_the_format_and_the_size_it_was_asked_for() {
    on_screen(async |screen| {
        let plain = screen.shot(DesktopScreenshotQuery::new()).await;
        assert_eq!((plain.0.as_str(), plain.1, plain.2), ("PNG", WIDTH, HEIGHT));
        let half = screen.shot(DesktopScreenshotQuery::new().scale(0.5_f32)).await;
        assert_eq!((half.0.as_str(), half.1, half.2), ("PNG", WIDTH / 2, HEIGHT / 2));
        let jpeg = DesktopScreenshotQuery::new().format(DesktopScreenshotFormat::Jpeg).quality(70_u32);
        let jpeg = screen.shot(jpeg).await;
        assert_eq!((jpeg.0.as_str(), jpeg.1, jpeg.2), ("JPEG", WIDTH, HEIGHT));
        let webp = DesktopScreenshotQuery::new().format(DesktopScreenshotFormat::Webp).scale(0.25_f32);
        let webp = screen.shot(webp).await;
        assert_eq!((webp.0.as_str(), webp.1, webp.2), ("WEBP", WIDTH / 4, HEIGHT / 4));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_region_shows_what_is_there_and_nothing_beside_it() {
    on_screen(async |screen| {
        let red = ["-bg", "#ff0000", "-fg", "#ff0000", "-cr", "#ff0000"];
        let window = screen.terminal_with(&red, "red", KEEP, "nothing").await;
        let query = DesktopScreenshotQuery::new();
        let inside = DesktopRegion { x: window.x + 20, y: window.y + 20, width: 60, height: 40 };
        eventually("red window", async || {
            let (width, height, pixels) = screen.region(inside, &query).await;
            assert_eq!((width, height), (60, 40));
            pixels.iter().all(|pixel| *pixel == RED).then_some(())
        })
        .await;
        let beside = DesktopRegion { x: 0, y: 0, width: 50, height: 50 };
        let (_, _, pixels) = screen.region(beside, &query).await;
        assert!(pixels.iter().all(|pixel| *pixel != RED));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn the_pointer_is_in_an_image_that_is_to_show_it() {
    on_screen(async |screen| {
        screen.desktop.move_mouse(&DesktopMouseMoveRequest::new(300, 200)).await.unwrap();
        let at = (200 * WIDTH + 300) as usize;
        let without = screen.shot(DesktopScreenshotQuery::new()).await.3;
        let with = screen.shot(DesktopScreenshotQuery::new().show_cursor(true)).await.3;
        assert_ne!(without[at], RED);
        assert_eq!(with[at], RED);
        let around = DesktopRegion { x: 280, y: 180, width: 40, height: 40 };
        let (_, _, pixels) = screen.region(around, &DesktopScreenshotQuery::new().show_cursor(true)).await;
        assert_eq!(pixels[20 * 40 + 20], RED);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn what_no_image_can_be_is_refused() {
    on_screen(async |screen| {
        let query = DesktopScreenshotQuery::new();
        let refused = [
            screen.desktop.screenshot(&query.clone().quality(101_u32)).await,
            screen.desktop.screenshot(&query.clone().scale(2.0_f32)).await,
            screen.desktop.screenshot_region(DesktopRegion { x: 0, y: 0, width: 0, height: 9 }, &query).await,
        ];
        for refused in refused {
            assert_eq!(code(&refused.unwrap_err()), "desktop_invalid_action");
        }
    })
    .await;
}
