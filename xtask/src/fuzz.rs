//! Fuzzes what reads foreign bytes: libFuzzer, linked by plain cargo, guided by coverage.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command;
use crate::workspace::{FUZZ, Workspace};

/// What `cargo xtask test` spends on a target.
const SECONDS: u32 = 10;

/// Has the compiler count edges and show comparisons to the fuzzer. One unit of code
/// generation, so that no counter is in two places.
const COVERAGE: [&str; 8] = [
    "--cfg=fuzzing",
    "-Ccodegen-units=1",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

#[derive(Debug, Args)]
pub(crate) struct FuzzOptions {
    /// The target: a program in `fuzz/targets/`; all of them unless told
    target: Option<String>,
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

pub(crate) fn part(workspace: &Workspace) -> Result<()> {
    run(workspace, &FuzzOptions { target: None, seconds: SECONDS })
}

pub(crate) fn run(workspace: &Workspace, options: &FuzzOptions) -> Result<()> {
    let package = workspace.member(FUZZ)?;
    let bins = package.targets.iter().filter(|target| target.is_bin());
    let names: Vec<_> = bins.map(|target| target.name.as_str()).collect();
    let wanted = |name: &&str| options.target.as_ref().is_none_or(|target| target == name);
    if !names.iter().any(wanted) {
        bail!("no such target; there are: {}", names.join(", "));
    }
    let host = host()?;
    for name in names.iter().copied().filter(|name| wanted(name)) {
        fuzz(workspace, name, &build(workspace, name, &host)?, options.seconds)?;
    }
    Ok(())
}

/// The flags concern what is built for a named platform: neither build scripts nor macros.
fn build(workspace: &Workspace, name: &str, host: &str) -> Result<PathBuf> {
    let flags = format!("build.rustflags={COVERAGE:?}");
    let folder = folder(workspace).into_os_string().into_string();
    let folder = folder.map_err(|folder| anyhow::anyhow!("{} is not UTF-8", folder.display()))?;
    let what = ["-p", FUZZ, "--bin", name, "--profile", "fuzz"];
    let how = ["--target", host, "--target-dir", &folder, "--config", &flags];
    command::build(name, &[&what[..], &how].concat())
}

/// Finds go beside the build, so that the seeds stay few and the tree clean. libFuzzer itself
/// fails where it sees no coverage.
fn fuzz(workspace: &Workspace, name: &str, program: &PathBuf, seconds: u32) -> Result<()> {
    let (found, failed) = (folder(workspace).join("found").join(name), folder(workspace).join("failed"));
    for folder in [&found, &failed] {
        std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    }
    let mut fuzzer = Command::new(program);
    fuzzer
        .arg(&found)
        .arg(workspace.root().join("fuzz/corpus").join(name))
        .arg(format!("-artifact_prefix={}/{name}-", failed.display()))
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=5", "-rss_limit_mb=1024", "-verbosity=0", "-print_final_stats=1"]);
    command::run(&mut fuzzer)
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.metadata.target_directory.join("fuzz").into()
}

fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = command::read(Command::new(rustc).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc doesn't say for which platform it builds")?.to_owned())
}
