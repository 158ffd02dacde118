//! The screen as a live stream.

use std::path::Path;

use futures::{SinkExt, StreamExt};
use sandbox_agent_sdk::api::desktop::DesktopStreamStatusResponse;
use sandbox_agent_testkit::real::RealServerOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use super::apps::program;
use super::clipboard::before_path;
use super::{TOKEN, eventually, on_screen, on_screen_of};
use crate::api::code;

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn without_the_program_that_streams_there_is_no_stream() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        // Debian has no neko, of which the server takes its streams.
        let error = desktop.start_stream().await.unwrap_err();
        assert_eq!(code(&error), "conflict");
        assert!(error.problem().unwrap().detail.as_ref().unwrap().contains("neko"), "{error:?}");
        assert!(!desktop.stream_status().await.unwrap().active);
        assert_eq!(code(&desktop.signaling().await.unwrap_err()), "conflict");
        assert!(!desktop.stop_stream().await.unwrap().active);
    })
    .await;
}

/// Where the server expects neko.
const NEKO: &str = "127.0.0.1:18100";

/// What neko does until there is video: lets the server log in, and takes its WebSockets. It says a word on each, and
/// hands on what it hears.
async fn stand_in(listener: TcpListener, heard: mpsc::UnboundedSender<String>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(answer(socket, heard.clone()));
    }
}

async fn answer(mut socket: TcpStream, heard: mpsc::UnboundedSender<String>) {
    let mut seen = [0; 1024];
    let length = socket.peek(&mut seen).await.unwrap();
    if seen[..length].starts_with(b"GET /api/ws") {
        let mut socket = accept_async(socket).await.unwrap();
        socket.send(Message::text("welcome")).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                // The test may be over.
                let _ = heard.send(text.as_str().to_owned());
            }
        }
    } else {
        let cookie = "HTTP/1.1 200 OK\r\nset-cookie: NEKO_SESSION=one; Path=/\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
        let _ = socket.read(&mut seen).await;
        let _ = socket.write_all(cookie.as_bytes()).await;
    }
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_stream_is_started_agreed_on_with_the_token_in_the_header_and_stopped() {
    let options = |folder: &Path| {
        program(&folder.join("bin/neko"), "exec sleep 600");
        RealServerOptions::new().token(TOKEN).env("PATH", before_path(&folder.join("bin")))
    };
    on_screen_of(options, async |screen| {
        let desktop = &screen.desktop;
        let listener = TcpListener::bind(NEKO).await.expect("another program has neko's port");
        let (heard, mut hearing) = mpsc::unbounded_channel();
        let neko = tokio::spawn(stand_in(listener, heard));

        desktop.stop().await.unwrap();
        let request = screen.request().stream_video_codec("h264").stream_frame_rate(15_u32);
        desktop.start(&request.webrtc_port_range("50000-50010")).await.unwrap();
        let started = desktop.start_stream().await.unwrap();
        assert!(started.active, "{started:?}");
        let process = started.process_id.as_deref().unwrap();
        let args = screen.sdk.processes().get(process).await.unwrap().args;
        for wanted in ["800x600@15", "h264", "50000-50010"] {
            assert!(args.iter().any(|arg| arg == wanted), "no {wanted} in {args:?}");
        }
        assert_eq!(desktop.stream_status().await.unwrap(), started);
        assert_eq!(desktop.start_stream().await.unwrap(), started, "one that runs stays as it is");

        let mut signaling = desktop.signaling().await.unwrap();
        assert_eq!(signaling.next().await.unwrap().unwrap(), "welcome");
        signaling.send("{\"event\":\"signal/request\"}").await.unwrap();
        assert_eq!(hearing.recv().await.unwrap(), "{\"event\":\"signal/request\"}");
        drop(signaling);

        let stopped: DesktopStreamStatusResponse = desktop.stop_stream().await.unwrap();
        assert_eq!((stopped.active, stopped.process_id), (false, None));
        eventually("end of neko", async || {
            screen.sdk.processes().get(process).await.unwrap().is_exited().then_some(())
        })
        .await;
        assert_eq!(code(&desktop.signaling().await.unwrap_err()), "conflict");
        neko.abort();
    })
    .await;
}
