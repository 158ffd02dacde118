//! Recordings: a video of what was to be seen, and a file here.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use futures::TryStreamExt;
use sandbox_agent_sdk::api::desktop::*;
use sandbox_agent_sdk::api::processes::ProcessLogsQuery;

use super::{HEIGHT, Screen, WIDTH, eventually, on_screen};
use crate::api::code;

const FPS: u32 = 10;

/// What another program finds in a video: codec, width, height, seconds, frames.
fn probed(video: &Path) -> (String, u32, u32, f64, u32) {
    let entries = "stream=codec_name,width,height,nb_read_frames:format=duration";
    let args = [
        "-v",
        "error",
        "-count_frames",
        "-select_streams",
        "v:0",
        "-of",
        "default=nokey=0:noprint_wrappers=1",
    ];
    let mut probe = Command::new("ffprobe");
    let output = probe.args(args).args(["-show_entries", entries]).arg(video).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    let value = |name: &str| {
        let value = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("no {name} in {told:?}"))
    };
    let number = |name: &str| value(name).parse().unwrap();
    let seconds = value("duration").parse().unwrap();
    (value("codec_name").to_owned(), number("width"), number("height"), seconds, number("nb_read_frames"))
}

impl Screen {
    /// How many seconds of video the program that records says it has.
    async fn seconds(&self, recording: &DesktopRecordingInfo) -> Option<f64> {
        let process = recording.process_id.as_deref().unwrap();
        let logs = self.sdk.processes().logs(process, &ProcessLogsQuery::new()).await.unwrap();
        let said: Vec<u8> = logs.entries.iter().flat_map(|entry| entry.bytes().unwrap()).collect();
        let said = String::from_utf8_lossy(&said).into_owned();
        // Such as `00:00:01.20`.
        let last = said.rmatch_indices("time=").find_map(|(at, name)| said[at + name.len()..].get(..11))?;
        let parts: Vec<f64> = last.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(parts.into_iter().fold(0.0, |sum, part| sum * 60.0 + part))
    }

    /// Waits until there is so much video.
    async fn records(&self, recording: &DesktopRecordingInfo, seconds: f64) {
        eventually("video", async || self.seconds(recording).await.filter(|there| *there >= seconds)).await;
    }
}

#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_recording_from_its_begin_to_its_deletion() {
    on_screen(async |screen| {
        let desktop = &screen.desktop;
        let request = DesktopRecordingStartRequest::new().fps(FPS);
        let begun = Instant::now();
        let recording = desktop.start_recording(&request).await.unwrap();
        let id = recording.id.as_str();
        assert_eq!((&recording.status, &recording.ended_at), (&DesktopRecordingStatus::Recording, &None));
        assert_eq!(code(&desktop.start_recording(&request).await.unwrap_err()), "conflict");
        assert_eq!(code(&desktop.delete_recording(id).await.unwrap_err()), "conflict");
        screen.records(&recording, 2.0).await;

        let stopped = desktop.stop_recording().await.unwrap();
        let most = begun.elapsed().as_secs_f64() + 1.0;
        assert_eq!((stopped.id.as_str(), &stopped.status), (id, &DesktopRecordingStatus::Completed));
        assert!(stopped.bytes > 0 && stopped.ended_at.is_some(), "{stopped:?}");
        assert_eq!(desktop.recording(id).await.unwrap(), stopped);
        assert_eq!(desktop.recordings().await.unwrap(), std::slice::from_ref(&stopped));
        assert_eq!(code(&desktop.stop_recording().await.unwrap_err()), "conflict");

        let video = desktop.download_recording(id).await.unwrap();
        let parts: Vec<_> = video.try_collect().await.unwrap();
        let whole = parts.concat();
        assert_eq!(whole.len() as u64, stopped.bytes);
        let file = screen.path("video.mp4");
        std::fs::write(&file, &whole).unwrap();
        let (codec, width, height, seconds, frames) = probed(&file);
        assert_eq!((codec.as_str(), width, height), ("h264", WIDTH, HEIGHT));
        assert!((2.0..most).contains(&seconds), "{seconds} s, of at most {most} s");
        assert!(frames > 2, "{frames} frames");

        desktop.delete_recording(id).await.unwrap();
        assert_eq!(desktop.recordings().await.unwrap(), []);
        for error in [
            desktop.recording(id).await.unwrap_err(),
            desktop.delete_recording(id).await.unwrap_err(),
            desktop.download_recording(id).await.unwrap_err(),
        ] {
            assert_eq!(code(&error), "not_found");
        }
    })
    .await;
}

#[cfg(feature = "files")]
#[tokio::test]
#[ignore = "needs the real server and the programs of a desktop: cargo xtask test"]
async fn a_recording_becomes_a_file_here() {
    use sandbox_agent_sdk::api::fs::Transfer;

    on_screen(async |screen| {
        let desktop = &screen.desktop;
        let recording = desktop.start_recording(&DesktopRecordingStartRequest::new().fps(FPS)).await.unwrap();
        screen.records(&recording, 0.5).await;
        let stopped = desktop.stop_recording().await.unwrap();
        let file = screen.path("video.mp4");
        std::fs::write(&file, "before").unwrap();
        let (steps, seen) = std::sync::mpsc::channel();
        let transfer = Transfer::new().progress(move |progress| steps.send(progress).unwrap());
        let done = desktop.download_recording_file(&stopped.id, &file, transfer).await.unwrap();
        assert_eq!((done.bytes, done.sha256.len()), (stopped.bytes, 64));
        assert_eq!(seen.iter().last().unwrap().bytes, stopped.bytes);
        let (codec, width, height, ..) = probed(&file);
        assert_eq!((codec.as_str(), width, height), ("h264", WIDTH, HEIGHT));

        let error = desktop.download_recording_file("rec_0", &file, Transfer::new()).await.unwrap_err();
        assert_eq!(code(&error), "not_found");
        assert_eq!(std::fs::metadata(&file).unwrap().len(), stopped.bytes, "what was there stays");
    })
    .await;
}
