//! Questions to `cargo tree`: which crates are in a part of the graph.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::semver::Version;
use cargo_metadata::{Metadata, Package};

use crate::command;

/// One crate of a graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) version: Version,
}

impl fmt::Display for Crate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl Crate {
    pub(crate) fn package<'a>(&self, metadata: &'a Metadata) -> Result<&'a Package> {
        metadata
            .packages
            .iter()
            .find(|package| package.name == self.name && package.version == self.version)
            .with_context(|| format!("cargo metadata doesn't know {self}"))
    }
}

/// The crates that `cargo tree ARGS` prints in the workspace at `folder`, each once.
pub(crate) fn tree(folder: &Path, args: &[&str]) -> Result<BTreeSet<Crate>> {
    print(folder, "none", args)?.lines().filter(|line| !line.trim().is_empty()).map(parse).collect()
}

/// Of the same, only `top` and what is below it.
pub(crate) fn subtree(folder: &Path, top: &str, args: &[&str]) -> Result<BTreeSet<Crate>> {
    let printed = print(folder, "depth", &[&["--no-dedupe"][..], args].concat())?;
    let mut found = BTreeSet::new();
    let mut top_depth = None;
    for line in printed.lines() {
        let name = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let depth: usize = line[..line.len() - name.len()].parse()?;
        let one = parse(name)?;
        top_depth = top_depth.filter(|top_depth| depth > *top_depth);
        if top_depth.is_none() && one.name == top {
            top_depth = Some(depth);
        }
        if top_depth.is_some() {
            found.insert(one);
        }
    }
    Ok(found)
}

fn print(folder: &Path, prefix: &str, args: &[&str]) -> Result<String> {
    let mut cargo = command::cargo();
    cargo.current_dir(folder).args(["tree", "--offline", "--quiet", "--prefix", prefix, "--format", " {p}"]);
    command::read(cargo.args(args))
}

/// A line is `name vVERSION` and, for some crates, a remark in brackets.
fn parse(line: &str) -> Result<Crate> {
    let mut words = line.split_whitespace();
    let name = words.next().map(str::to_owned);
    let version = words.next().and_then(|word| word.strip_prefix('v')).and_then(|word| word.parse().ok());
    name.zip(version)
        .map(|(name, version)| Crate { name, version })
        .with_context(|| format!("cargo tree printed a line that names no crate: {line}"))
}
