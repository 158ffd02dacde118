//! The clipboards, with an `xclip` that lets the server go and with one that doesn't.

use std::path::Path;
use std::time::Duration;

use sandbox_agent_sdk::api::desktop::*;
use sandbox_agent_sdk::{Delivery, ErrorKind, Limit, Limits, SandboxAgent};
use sandbox_agent_testkit::real::RealServerOptions;

use super::apps::program;
use super::{KEEP, on_screen_of};

/// Puts a text into a clipboard, and closes what the server waits for; not so version 0.13.
const LETS_GO: &str = "exec xclip \"$@\" >/dev/null 2>&1";
/// As version 0.13, whatever this machine has.
const HOLDS_ON: &str = "xclip \"$@\" >/dev/null 2>&1; sleep 600 &";

/// A server that finds an `xclip` which does so when it is given a text, and the machine's own behind that.
fn with_xclip(put: &str) -> impl FnOnce(&Path) -> RealServerOptions {
    let script = format!("PATH=${{PATH#*:}}\ncase \" $* \" in *\" -o \"*) exec xclip \"$@\" ;; esac\n{put}");
    move |folder| {
        program(&folder.join("bin/xclip"), &script);
        RealServerOptions::new().env("PATH", before_path(&folder.join("bin")))
    }
}

/// The `PATH` of this machine with a folder before all others.
pub(super) fn before_path(folder: &Path) -> String {
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

async fn read(desktop: &Desktop, selection: &str) -> String {
    let read = desktop.clipboard(&DesktopClipboardQuery::new().selection(selection)).await.unwrap();
    assert_eq!(read.selection, selection);
    read.text
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn each_clipboard_keeps_what_was_put_into_it() {
    on_screen_of(with_xclip(LETS_GO), async |screen| {
        let desktop = &screen.desktop;
        assert_eq!(read(desktop, "clipboard").await, "");
        desktop.set_clipboard(&DesktopClipboardWriteRequest::new("copied\nä€")).await.unwrap();
        let marked = DesktopClipboardWriteRequest::new("marked").selection("primary");
        desktop.set_clipboard(&marked).await.unwrap();
        let copied = desktop.clipboard(&DesktopClipboardQuery::new()).await.unwrap();
        assert_eq!((copied.selection.as_str(), copied.text.as_str()), ("clipboard", "copied\nä€"));
        assert_eq!(read(desktop, "primary").await, "marked");
        let both = DesktopClipboardWriteRequest::new("both").selection("both");
        desktop.set_clipboard(&both).await.unwrap();
        assert_eq!(read(desktop, "clipboard").await, "both");
        assert_eq!(read(desktop, "primary").await, "both");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn what_is_in_the_clipboard_is_pasted_by_programs() {
    on_screen_of(with_xclip(LETS_GO), async |screen| {
        let desktop = &screen.desktop;
        screen.terminal("pasted", KEEP, "pasted").await;
        let marked = DesktopClipboardWriteRequest::new("from outside").selection("primary");
        desktop.set_clipboard(&marked).await.unwrap();
        desktop.press_key(&DesktopKeyboardPressRequest::new("Insert").shift()).await.unwrap();
        screen.holds("pasted", "from outside").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_text_that_is_in_the_clipboard_is_there_though_the_server_never_says_so() {
    on_screen_of(with_xclip(HOLDS_ON), async |screen| {
        let limits = Limits::default().call(Duration::from_secs(5));
        let sdk = SandboxAgent::builder(screen.server.url()).limits(limits).connect().await.unwrap();
        let desktop = sdk.desktop();
        desktop.set_clipboard(&DesktopClipboardWriteRequest::new("copied")).await.unwrap();
        assert_eq!(read(&desktop, "clipboard").await, "copied");
        let both = DesktopClipboardWriteRequest::new("both").selection("both");
        let error = desktop.set_clipboard(&both).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TimedOut(Limit::Call));
        assert_eq!(error.delivery(), Some(Delivery::Unknown));
        // The server never came to the second.
        assert_eq!(read(&desktop, "clipboard").await, "both");
        assert_eq!(read(&desktop, "primary").await, "");
    })
    .await;
}
