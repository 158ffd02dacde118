//! Some tests of one test program: built, and run within a bound.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{Artifact, Message};

use crate::command::cargo;
use crate::workspace::SDK;

/// What a run of tests may take.
pub(super) const BOUND: Duration = Duration::from_secs(120);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    package: String,
    /// `lib`, or a file of the package's `tests`.
    target: String,
    /// Whether its tests are ignored ones, which need the real server.
    real: bool,
    /// Tests whose names have one of these in them.
    filters: Vec<String>,
}

/// The programs that tests with the real server need.
#[derive(Debug)]
pub(super) struct Real {
    pub(super) server: PathBuf,
    pub(super) agent: PathBuf,
}

#[derive(Debug)]
pub(super) enum Outcome {
    /// So many tests ran.
    Passed(usize),
    Failed {
        /// The first one that did.
        test: String,
    },
    /// Still running at the bound.
    Hung,
}

/// One suite for each test program, with the filters of all.
pub(super) fn programs<'a>(suites: impl Iterator<Item = &'a Suite>) -> Vec<Suite> {
    let mut programs: Vec<Suite> = Vec::new();
    for suite in suites {
        let same = |program: &&mut Suite| program.program() == suite.program();
        match programs.iter_mut().find(same) {
            Some(program) => program.filters.extend_from_slice(&suite.filters),
            None => programs.push(suite.clone()),
        }
    }
    programs
}

impl Suite {
    /// Reads `[PACKAGE/]TARGET FILTER…`, of tests that are `real` or not.
    pub(super) fn parse(text: &str, real: bool) -> Result<Self> {
        let mut words = text.split_whitespace();
        let program = words.next().context("`tests:` names no test program")?;
        let (package, target) = match program.split_once('/') {
            Some((package, target)) => (format!("sandbox-agent-{package}"), target),
            None => (SDK.to_owned(), program),
        };
        let filters: Vec<_> = words.map(str::to_owned).collect();
        ensure!(!filters.is_empty(), "`tests:` names no tests");
        Ok(Self { package, target: target.to_owned(), real, filters })
    }

    fn program(&self) -> (&str, &str, bool) {
        (&self.package, &self.target, self.real)
    }

    pub(super) fn is_real(&self) -> bool {
        self.real
    }

    pub(super) fn build(&self, workspace: &Path, target: &Path) -> Result<PathBuf> {
        let mut build = cargo();
        build.current_dir(workspace).env("CARGO_TARGET_DIR", target);
        build.args(["test", "--no-run", "--message-format", "json-render-diagnostics"]);
        build.args(["--all-features", "--package", &self.package]);
        match self.target.as_str() {
            "lib" => build.arg("--lib"),
            test => build.args(["--test", test]),
        };
        let output = build.output().context("cargo can't start")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "it does not compile:\n{errors}");
        for message in Message::parse_stream(&*output.stdout) {
            if let Message::CompilerArtifact(Artifact { executable: Some(path), profile, .. }) = message?
                && profile.test
            {
                return Ok(path.into());
            }
        }
        bail!("cargo made no program for `{self}`")
    }

    /// Runs the tests until the first one fails, and says how long that took.
    pub(super) fn run(
        &self,
        program: &Path,
        folder: &Path,
        real: Option<&Real>,
    ) -> Result<(Outcome, Duration)> {
        let start = Instant::now();
        let mut command = Command::new(program);
        command.args(&self.filters).current_dir(folder);
        if let Some(real) = real.filter(|_| self.real) {
            command.arg("--include-ignored");
            command.env("SANDBOX_AGENT_BIN", &real.server).env("SCRIPTED_ACP_AGENT_BIN", &real.agent);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut group = Group(command.process_group(0).spawn().context("the tests can't start")?);
        let stdout = group.0.stdout.take().context("the tests have no stdout")?;
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        let mut passed = 0;
        let outcome = loop {
            match told.recv_timeout(BOUND.saturating_sub(start.elapsed())) {
                Ok(line) => match line.strip_prefix("test ").and_then(|line| line.rsplit_once(" ... ")) {
                    Some((test, "FAILED")) => break Outcome::Failed { test: test.to_owned() },
                    Some((_, "ok")) => passed += 1,
                    _ => {}
                },
                Err(RecvTimeoutError::Timeout) => break Outcome::Hung,
                Err(RecvTimeoutError::Disconnected) => {
                    let status = group.0.wait()?;
                    // Whatever ended it, no test noticed anything.
                    ensure!(status.success(), "`{self}` ended without a failed test: {status}");
                    ensure!(passed > 0, "`{self}` names no test that there is");
                    break Outcome::Passed(passed);
                }
            }
        };
        Ok((outcome, start.elapsed()))
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.package, self.target)
    }
}

/// The leader of a process group, which ends with it.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // A group whose leader was waited for may be somebody else's by now.
        if let Ok(None) = self.0.try_wait() {
            let group = format!("-{}", self.0.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        }
        let _ = self.0.wait();
    }
}
