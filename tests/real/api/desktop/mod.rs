//! The desktop on a real screen: programs on it see what is done.

mod apps;
mod clipboard;
mod keyboard;
mod lacking;
mod mouse;
mod recording;
mod screen;
mod start;
#[cfg(feature = "websocket")]
mod stream;
mod windows;

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::FutureExt;
use sandbox_agent_sdk::SandboxAgent;
use sandbox_agent_sdk::api::desktop::{
    Desktop, DesktopLaunchRequest, DesktopStartRequest, DesktopState, DesktopWindowInfo,
};
use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
use tempfile::{TempDir, tempdir};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// Servers that look for a free display at once take the same one.
static ALONE: Mutex<()> = Mutex::const_new(());
/// Far from the displays that people have. The server takes the first free one from here on.
const DISPLAY: i32 = 420;
const WIDTH: u32 = 800;
const HEIGHT: u32 = 600;
/// What servers that ask for one get; others pass over it.
const TOKEN: &str = "secret-token";
/// A script that keeps each byte that its terminal gives it.
const KEEP: &str = "stty raw -echo; exec cat >$0";
/// A program on the desktop takes some 100 ms to show something, on a busy machine more.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

/// A running desktop of a server's own, and a folder that both sides see.
struct Screen {
    server: RealServer,
    sdk: SandboxAgent,
    desktop: Desktop,
    folder: TempDir,
}

/// Runs a test on a desktop, which is stopped whatever becomes of the test: it would outlive its server.
async fn on_screen(test: impl AsyncFnOnce(&Screen)) {
    on_screen_of(|_| RealServerOptions::new(), test).await;
}

/// The same on a server that is started otherwise, for which there is the folder.
async fn on_screen_of(options: impl FnOnce(&Path) -> RealServerOptions, test: impl AsyncFnOnce(&Screen)) {
    let _alone = ALONE.lock().await;
    let folder = tempdir().unwrap();
    // Typing what isn't ASCII takes a locale.
    let options = options(folder.path()).env("LC_ALL", "C.UTF-8");
    let server = RealServer::start(options).await.unwrap();
    let sdk = SandboxAgent::builder(server.url()).token(TOKEN).connect().await.unwrap();
    let desktop = sdk.desktop();
    let screen = Screen { server, sdk, desktop, folder };
    let started = screen.desktop.start(&screen.request()).await;
    let test = async {
        assert_eq!(started.unwrap().state, DesktopState::Active);
        test(&screen).await;
    };
    let outcome = AssertUnwindSafe(test).catch_unwind().await;
    let stopped = screen.desktop.stop().await;
    outcome.unwrap_or_else(|panic| resume_unwind(panic));
    assert_eq!(stopped.unwrap().state, DesktopState::Inactive);
}

impl Screen {
    fn request(&self) -> DesktopStartRequest {
        DesktopStartRequest::new().size(WIDTH, HEIGHT).display_num(DISPLAY)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A terminal with a title, at (100, 100), that runs a script, whose `$0` is the file `name`.
    ///
    /// It is there once its window is to be seen and the script has made the file, and it gets what is typed.
    async fn terminal(&self, title: &str, script: &str, name: &str) -> DesktopWindowInfo {
        self.terminal_with(&[], title, script, name).await
    }

    async fn terminal_with(
        &self,
        options: &[&str],
        title: &str,
        script: &str,
        name: &str,
    ) -> DesktopWindowInfo {
        let file = self.path(name);
        let args = ["-u8", "-geometry", "60x20+100+100", "-T", title];
        let command = ["-e", "sh", "-c", script, file.to_str().unwrap()];
        let launch = DesktopLaunchRequest::new("xterm");
        let launch = launch.args(args).args(options.iter().copied()).args(command);
        self.desktop.launch(&launch).await.unwrap();
        let window = eventually(&format!("window {title:?}"), async || self.window(title).await).await;
        eventually(&format!("file {name:?}"), async || file.exists().then_some(())).await;
        self.desktop.focus_window(&window.id).await.unwrap()
    }

    /// The window with a title.
    async fn window(&self, title: &str) -> Option<DesktopWindowInfo> {
        self.desktop.windows().await.unwrap().into_iter().find(|window| window.title == title)
    }

    /// Waits until a file is as wanted.
    async fn holds(&self, name: &str, wanted: &str) {
        let mut last = String::new();
        let path = self.path(name);
        let held = timeout(PATIENCE, async {
            while last != wanted {
                sleep(POLL).await;
                last = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
            }
        });
        if held.await.is_err() {
            panic!("{name} holds {last:?}, not {wanted:?}");
        }
    }
}

/// What is there when it is looked for often enough.
async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(POLL).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}
