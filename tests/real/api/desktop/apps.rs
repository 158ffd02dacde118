//! Programs on the desktop.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sandbox_agent_sdk::api::desktop::*;
use sandbox_agent_sdk::api::processes::{ProcessOwner, ProcessState};
use sandbox_agent_testkit::real::RealServerOptions;

use super::{eventually, on_screen, on_screen_of};
use crate::api::code;

/// A program of a script.
pub(super) fn program(at: &Path, script: &str) {
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::write(at, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_program_is_launched_on_the_desktop_and_its_window_waited_for() {
    on_screen(async |screen| {
        let request = DesktopLaunchRequest::new("xterm").args(["-T", "launched", "-e", "cat"]).wait(true);
        let launched = screen.desktop.launch(&request).await.unwrap();
        let window = screen.window("launched").await.unwrap();
        assert_eq!(launched.window_id.as_deref(), Some(window.id.as_str()));

        let processes = screen.sdk.processes();
        let process = processes.get(&launched.process_id).await.unwrap();
        assert_eq!((process.command.as_str(), process.status), ("xterm", ProcessState::Running));
        assert_eq!((process.owner, process.pid), (ProcessOwner::Desktop, launched.pid));
        processes.kill(&launched.process_id, None).await.unwrap();
        eventually("end of the window", async || screen.window("launched").await.is_none().then_some(()))
            .await;

        let request = DesktopLaunchRequest::new("no-such-program");
        let error = screen.desktop.launch(&request).await.unwrap_err();
        assert_eq!((code(&error), error.problem().unwrap().status), ("app_not_found", 404));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn what_is_opened_goes_to_the_program_that_is_there_for_it() {
    let options = |folder: &Path| {
        let browser = folder.join("browser");
        program(&browser, "echo \"$1\" >\"$(dirname \"$0\")/opened\"");
        RealServerOptions::new().env("BROWSER", browser.to_str().unwrap())
    };
    on_screen_of(options, async |screen| {
        // Of a kind that no program of this machine is there for.
        let opened = screen.desktop.open("sandbox-test:hello").await.unwrap();
        screen.holds("opened", "sandbox-test:hello\n").await;
        let process = screen.sdk.processes().get(&opened.process_id).await.unwrap();
        assert_eq!((process.command.as_str(), process.owner), ("xdg-open", ProcessOwner::Desktop));
    })
    .await;
}
