//! Starts the desktop of the sandbox, types into a terminal on it, and keeps a picture of the screen in `desktop.png`.
//!
//! `SANDBOX_AGENT_URL` names the server. The sandbox needs xterm, and what the server says that a desktop needs.

use std::env;
use std::error::Error;
use std::fs;

use sandbox_agent_sdk::SandboxAgent;
use sandbox_agent_sdk::api::desktop::{
    Desktop, DesktopKeyboardPressRequest, DesktopKeyboardTypeRequest, DesktopLaunchRequest,
    DesktopMouseMoveRequest, DesktopScreenshotQuery, DesktopStartRequest,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("SANDBOX_AGENT_URL").unwrap_or_else(|_| "http://127.0.0.1:2468".to_owned());
    let sdk = SandboxAgent::connect(url).await?;
    let outcome = run(&sdk.desktop()).await;
    sdk.close().await?;
    outcome
}

async fn run(desktop: &Desktop) -> Result<(), Box<dyn Error>> {
    let status = desktop.status().await?;
    if let Some(command) = status.install_command {
        let missing = status.missing_dependencies.join(", ");
        return Err(format!("the sandbox lacks {missing}: run `{command}` there").into());
    }
    desktop.start(&DesktopStartRequest::new().size(800, 600)).await?;
    let outcome = picture(desktop).await;
    let stopped = desktop.stop().await?;
    println!("the desktop is {}", stopped.state);
    outcome
}

async fn picture(desktop: &Desktop) -> Result<(), Box<dyn Error>> {
    let screen = desktop.display_info().await?;
    println!("{} has {} x {} pixels", screen.display, screen.resolution.width, screen.resolution.height);

    let terminal = desktop.launch(&DesktopLaunchRequest::new("xterm").wait(true)).await?;
    if let Some(window) = terminal.window_id {
        desktop.focus_window(&window).await?;
    }
    let mouse = desktop.move_mouse(&DesktopMouseMoveRequest::new(400, 300)).await?;
    println!("the mouse is at {}, {}", mouse.x, mouse.y);
    desktop.type_text(&DesktopKeyboardTypeRequest::new("echo Hello from outside")).await?;
    desktop.press_key(&DesktopKeyboardPressRequest::new("Return")).await?;

    let image = desktop.screenshot(&DesktopScreenshotQuery::new().show_cursor(true)).await?;
    fs::write("desktop.png", &image)?;
    println!("a picture of {} bytes is in desktop.png", image.len());
    Ok(())
}
