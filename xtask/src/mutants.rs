//! Undoes one safeguard at a time, and sees whether a test notices.
//!
//! Each `xtask/mutants/NAME.patch` undoes one in a copy of the workspace; `src` has no switch for it.
//! Before its diff stand a sentence that says which, and a line `tests: [PACKAGE/]TARGET FILTER…` that
//! says which tests notice. PACKAGE is `persist-memory`, `testkit` and so on, the SDK itself when
//! there is none; TARGET is `lib` or a file of its `tests`. With `real-tests:`, they are ignored ones that need
//! the real server.

mod suite;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::command;
use crate::parts::scripted_agent;
use crate::server;
use crate::workspace::Workspace;
use suite::{BOUND, Outcome, Real, Suite};

struct Mutant {
    name: String,
    patch: PathBuf,
    /// The safeguard that it undoes.
    undoes: String,
    suite: Suite,
}

/// A copy of the workspace that is changed and built apart from it.
struct Bench {
    copy: TempDir,
    /// One for all, so that dependencies are built once.
    target: PathBuf,
    /// What tests with the real server need, where one of the mutants has such.
    real: Option<Real>,
}

/// Runs all mutants, or those named in `only`. Fails unless each is caught.
pub(crate) fn run(workspace: &Workspace, only: &[String]) -> Result<()> {
    let mutants = read_all(&workspace.root().join("xtask/mutants"), only)?;
    let real = mutants.iter().any(|mutant| mutant.suite.is_real()).then(|| {
        Ok::<_, anyhow::Error>(Real { server: server::installed(workspace)?, agent: scripted_agent(&[])? })
    });
    let bench = Bench::new(workspace, real.transpose()?)?;
    prove_unmutated(&bench, &mutants)?;
    let (mut caught, mut survived, mut broken) = (0, Vec::new(), Vec::new());
    for mutant in &mutants {
        let start = Instant::now();
        let judged = bench.judge(mutant);
        let verdict = match &judged {
            Ok((Outcome::Failed { test }, time)) => {
                format!("caught in {:.1} s by {test}", time.as_secs_f64())
            }
            Ok((Outcome::Hung, _)) => "caught (hung)".to_owned(),
            Ok((Outcome::Passed(tests), _)) => {
                format!("SURVIVED {tests} tests; it undoes: {}", mutant.undoes)
            }
            Err(error) => format!("BROKEN: {error:#}"),
        };
        println!("{:<34} {verdict} ({:.0} s with its build)", mutant.name, start.elapsed().as_secs_f64());
        match judged {
            Ok((Outcome::Passed(_), _)) => survived.push(&*mutant.name),
            Ok(_) => caught += 1,
            Err(_) => broken.push(&*mutant.name),
        }
    }
    println!("mutants {} caught {caught} survived {}", mutants.len(), survived.len());
    ensure!(broken.is_empty(), "no mutants, mend their patches: {}", broken.join(", "));
    ensure!(survived.is_empty(), "no test notices {}", survived.join(", "));
    Ok(())
}

fn read_all(folder: &Path, only: &[String]) -> Result<Vec<Mutant>> {
    let entries = fs::read_dir(folder).with_context(|| format!("can't list {}", folder.display()))?;
    let mut patches = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("patch")) {
            patches.push(path);
        }
    }
    patches.sort();
    let mutants: Vec<_> = patches.iter().map(|patch| Mutant::read(patch)).collect::<Result<_>>()?;
    for name in only {
        if !mutants.iter().any(|mutant| mutant.name == *name) {
            let names: Vec<_> = mutants.iter().map(|mutant| &*mutant.name).collect();
            bail!("no mutant `{name}`; there are: {}", names.join(", "));
        }
    }
    let wanted = |mutant: &Mutant| only.is_empty() || only.contains(&mutant.name);
    Ok(mutants.into_iter().filter(wanted).collect())
}

/// What would fail without any change proves nothing.
fn prove_unmutated(bench: &Bench, mutants: &[Mutant]) -> Result<()> {
    for program in suite::programs(mutants.iter().map(|mutant| &mutant.suite)) {
        let start = Instant::now();
        let built = bench.build(&program)?;
        let build_time = start.elapsed();
        let (outcome, time) =
            program.run(&built, bench.copy.path(), bench.real.as_ref()).context("unmutated")?;
        let Outcome::Passed(tests) = outcome else {
            bail!("unmutated, `{program}` does not pass: {outcome:?}")
        };
        ensure!(time < BOUND / 2, "unmutated, `{program}` takes {time:?}: too near to {BOUND:?}");
        println!(
            "{:<34} {tests} tests pass in {:.1} s ({:.0} s with their build)",
            "(none)",
            time.as_secs_f64(),
            (build_time + time).as_secs_f64()
        );
    }
    Ok(())
}

impl Mutant {
    fn read(patch: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let text = fs::read_to_string(patch)?;
            let mut head = text.lines().take_while(|line| !line.starts_with("diff "));
            let undoes = head.next().filter(|line| !line.is_empty());
            let undoes = undoes.context("its first line must say which safeguard it undoes")?.to_owned();
            let tests = head.find_map(|line| {
                let tests = |head| line.strip_prefix(head);
                tests("tests:").map(|text| (text, false)).or_else(|| Some((tests("real-tests:")?, true)))
            });
            let (tests, real) = tests.context("a line `tests:` must say which tests notice")?;
            let suite = Suite::parse(tests, real)?;
            let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Self { name, patch: patch.to_owned(), undoes, suite })
        };
        read().with_context(|| format!("{} is no mutant", patch.display()))
    }
}

impl Bench {
    /// Copies what git would take of the workspace, as it is in the working tree.
    fn new(workspace: &Workspace, real: Option<Real>) -> Result<Self> {
        let copy = tempfile::tempdir().context("can't create a folder for the copy")?;
        let mut list = Command::new("git");
        list.current_dir(workspace.root());
        list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        for path in command::read(&mut list)?.split_terminator('\0') {
            let (from, to) = (workspace.root().join(path), copy.path().join(path));
            // One that was removed and not committed yet is listed all the same.
            if from.is_file() {
                fs::create_dir_all(to.parent().unwrap_or(copy.path()))?;
                fs::copy(&from, &to).with_context(|| format!("can't copy {}", from.display()))?;
            }
        }
        Ok(Self { copy, real, target: workspace.metadata.target_directory.join("mutants").into() })
    }

    fn judge(&self, mutant: &Mutant) -> Result<(Outcome, Duration)> {
        self.git_apply(&[], &mutant.patch).context("the patch does not apply any more")?;
        let judged = self
            .build(&mutant.suite)
            .and_then(|program| mutant.suite.run(&program, self.copy.path(), self.real.as_ref()));
        // A copy that is not whole again would spoil all that follow.
        self.git_apply(&["--reverse"], &mutant.patch)?;
        judged
    }

    fn build(&self, suite: &Suite) -> Result<PathBuf> {
        suite.build(self.copy.path(), &self.target)
    }

    fn git_apply(&self, args: &[&str], patch: &Path) -> Result<()> {
        let output = Command::new("git")
            // The copy is no repository, wherever the folder for temporary files is.
            .env("GIT_CEILING_DIRECTORIES", self.copy.path().parent().unwrap_or(self.copy.path()))
            .current_dir(self.copy.path())
            .arg("apply")
            .args(args)
            .arg(patch)
            .output()
            .context("git can't start")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }
}
