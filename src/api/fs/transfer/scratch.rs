//! A folder of our own in the sandbox, and the programs that are run in it.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::api::fs::types::{FsActionResponse, FsDeleteQuery};
use crate::api::fs::{Fs, FsMoveRequest, is_missing, operations};
use crate::api::operation::{Operation, Repeats};
use crate::api::processes::{ProcessRunRequest, ProcessRunResponse};
use crate::api::retry::Retry;
use crate::error::{Error, ErrorKind, Limit, Result};
use crate::http::Problem;

/// For what gives the same however often it is run.
const RUN_AGAIN: Operation<(), ProcessRunRequest, ProcessRunResponse> =
    Operation::post_idempotent("/v1/processes/run");
/// For a folder of our own: nobody makes another one in its place.
const DELETE_AGAIN: Operation<FsDeleteQuery, (), FsActionResponse> = Operation::delete("/v1/fs/entry");
/// For a program that copies a part: it has only to be started.
pub(super) const SHORT: Duration = Duration::from_secs(30);
/// For one that reads all of it: as long as the server lets it, in which it reads some 100 GiB.
pub(super) const LONG: Duration = Duration::from_secs(300);
/// So much of what a program says goes into an error.
const MOST_SAID: usize = 300;

/// A folder of our own in the sandbox. It is deleted when this is dropped.
pub(super) struct Scratch {
    fs: Fs,
    path: Option<String>,
}

impl Scratch {
    /// Beside what will be at `target`, so that it can be moved there at once.
    pub(super) async fn beside(fs: &Fs, target: &str) -> Result<Self> {
        let (parent, name) = split(target)?;
        let path = format!("{parent}/.{name}.{}", uuid::Uuid::new_v4().simple());
        Self::make(fs, &path).await
    }

    /// Where the sandbox has room for such.
    pub(super) async fn anywhere(fs: &Fs) -> Result<Self> {
        Self::make(fs, &format!("/tmp/.sandbox-agent.{}", uuid::Uuid::new_v4().simple())).await
    }

    async fn make(fs: &Fs, path: &str) -> Result<Self> {
        let query = super::super::at(path);
        // From here on: dropped before it is answered it may be made all the same.
        let mut scratch = Self { fs: fs.clone(), path: Some(path.to_owned()) };
        let made = fs.api.call(&operations::MKDIR, &[], &query, &()).await?;
        // Absolute, whatever the path was: programs are started elsewhere.
        scratch.path = Some(made.path);
        Ok(scratch)
    }

    pub(super) fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }

    pub(super) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.path())
    }

    /// Deletes it; that it can't be is no error of what was done in it.
    pub(super) async fn remove(mut self) {
        if let Some(path) = self.path.take() {
            remove(&self.fs, &path).await;
        }
    }

    /// Runs a program that may be run again, in this folder; what it printed.
    pub(super) async fn run(&self, program: &str, args: &[&str], time: Duration) -> Result<String> {
        let request = ProcessRunRequest::new(program)
            .args(args.iter().copied())
            .cwd(self.path())
            .timeout_ms(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let limit = self.fs.api.limits.call.saturating_add(time);
        let done = self.fs.api.call_within(limit, &RUN_AGAIN, &[], &(), &request).await;
        let done = done.map_err(|error| not_run(program, error))?;
        if done.timed_out {
            let message = format!("`{program}` took more than {time:?} in the sandbox");
            return Err(Error::new(ErrorKind::TimedOut(Limit::Call), message));
        }
        if done.exit_code == Some(0) {
            Ok(done.stdout)
        } else {
            Err(failed(program, done.exit_code, &done.stderr))
        }
    }

    /// Runs a script of the shell's, as [`run`](Self::run).
    pub(super) async fn script(&self, script: &str, args: &[&str], time: Duration) -> Result<String> {
        let args: Vec<_> = ["-c", script, "sh"].iter().chain(args).copied().collect();
        self.run("sh", &args, time).await
    }

    /// Moves a file of this folder to a place that `target` names from here, at once; one that is there is replaced.
    pub(super) async fn move_to(&self, name: &str, target: &str) -> Result<()> {
        // A rename of the system's, where the server's own move may delete first. Run again it finds it done.
        // It does not go into a folder that came there meanwhile.
        let script = r#"test -d "$2" && echo "$2 is a folder" >&2 && exit 1
mv -f "$1" "$2" || test ! -e "$1""#;
        self.script(script, &[name, target], SHORT).await.map(drop)
    }

    /// Moves a folder of this folder to an absolute place where nothing is, at once.
    pub(super) async fn move_folder_to(&self, name: &str, target: &str) -> Result<()> {
        let request = FsMoveRequest::new(self.file(name), target);
        let (mut retry, mut in_doubt) = (self.retry(), false);
        loop {
            let Err(error) = self.fs.move_entry(&request).await else { return Ok(()) };
            match retry.failed(&error, Instant::now()) {
                Some(delay) => sleep(delay).await,
                // One before it may have been done meanwhile, for which this one is refused.
                None if in_doubt && error.problem().is_some_and(Problem::is_the_servers) => {
                    return if self.is_moved(&request).await? { Ok(()) } else { Err(error) };
                }
                None => return Err(error),
            }
            if self.is_moved(&request).await? {
                return Ok(());
            }
            in_doubt = true;
        }
    }

    /// Whether a folder of our own is where it was to go; an error where nobody knows where it is.
    async fn is_moved(&self, request: &FsMoveRequest) -> Result<bool> {
        match self.fs.stat(&request.from).await {
            Ok(_) => Ok(false),
            // Nobody else takes it away, but only its new place shows that it has got there.
            Err(error) if is_missing(&error) => self.fs.stat(&request.to).await.map(|_| true),
            Err(error) => Err(error),
        }
    }

    /// Has the server unpack an archive into a folder here; the folder's name.
    pub(super) async fn unpack(&self, archive: Bytes) -> Result<String> {
        let (mut retry, mut number) = (self.retry(), 0);
        loop {
            number += 1;
            // Another one each time: it may still be at work on the one before.
            let name = format!("tree.{number}");
            let unpacked = self.fs.upload_batch(&self.file(&name), archive.clone()).await;
            let Err(error) = unpacked else { return Ok(name) };
            let Some(delay) = retry.failed(&error, Instant::now()) else { return Err(error) };
            sleep(delay).await;
        }
    }

    /// The tries of what is not to be tried again as it is, but can be here.
    fn retry(&self) -> Retry {
        Retry::new(Repeats::Yes, &self.fs.api.limits, Instant::now())
    }

    /// The SHA-256 of a file in the sandbox, in hexadecimal.
    pub(super) async fn sha256(&self, path: &str) -> Result<String> {
        self.printed_sha256("exec sha256sum < \"$1\"", &[path]).await
    }

    /// The one that a script prints, of its input: of a name that is not plain the program prints another line.
    pub(super) async fn printed_sha256(&self, script: &str, args: &[&str]) -> Result<String> {
        let printed = self.script(script, args, LONG).await?;
        Ok(printed.split_whitespace().next().unwrap_or_default().to_owned())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        let fs = self.fs.clone();
        self.fs.api.runtime.spawn(async move { remove(&fs, &path).await });
    }
}

async fn remove(fs: &Fs, path: &str) {
    let query = FsDeleteQuery { path: path.to_owned(), recursive: Some(true) };
    let Err(error) = fs.api.call(&DELETE_AGAIN, &[], &query, &()).await else { return };
    // What is gone is refused, too.
    if !fs.stat(path).await.is_err_and(|error| is_missing(&error)) {
        tracing::warn!(path, %error, "a folder of a transfer stays in the sandbox");
    }
}

/// The folder and the name of a path in the sandbox.
fn split(path: &str) -> Result<(&str, &str)> {
    let path = path.trim_end_matches('/');
    let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
    if matches!(name, "" | "." | "..") {
        return Err(Error::invalid(format!("{path:?} has no name that something could have in the sandbox")));
    }
    Ok((parent, name))
}

fn not_run(program: &str, error: Error) -> Error {
    let message = format!("`{program}` could not be run in the sandbox");
    let delivery = error.delivery();
    let wrapped = Error::new(error.kind().clone(), message).with_source(error);
    match delivery {
        Some(delivery) => wrapped.with_delivery(delivery),
        None => wrapped,
    }
}

fn failed(program: &str, code: Option<i32>, said: &str) -> Error {
    let said: String = said.trim().chars().take(MOST_SAID).collect();
    Error::new(ErrorKind::CommandFailed { code }, format!("`{program}` failed in the sandbox: {said}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_folder_and_a_name() {
        assert_eq!(split("/a/b").unwrap(), ("/a", "b"));
        assert_eq!(split("/a/").unwrap(), ("", "a"));
        assert_eq!(split("a").unwrap(), (".", "a"));
        for path in ["", "/", "a/..", "."] {
            assert!(split(path).is_err(), "{path}");
        }
    }
}
