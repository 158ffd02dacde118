//! Where things are, as cargo itself says.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand, Package, TargetKind};

/// The package that the project is about.
pub(crate) const SDK: &str = "sandbox-agent-sdk";
/// The storage contract.
pub(crate) const PERSIST: &str = "sandbox-agent-persist";
/// Many people on one session.
pub(crate) const MULTIPLAYER: &str = "sandbox-agent-multiplayer";
/// Its host for who has an axum server.
pub(crate) const MULTIPLAYER_AXUM: &str = "sandbox-agent-multiplayer-axum";
/// The example of a page for many people.
pub(crate) const PAGE: &str = "multiplayer_web";
/// What stands in for the sandbox and the agent in tests.
pub(crate) const TESTKIT: &str = "sandbox-agent-testkit";
/// The bench programs.
pub(crate) const BENCHES: &str = "sandbox-agent-benches";
/// The program that breaks things, and its name.
pub(crate) const CHAOS: &str = "sandbox-agent-chaos";
/// The fuzz targets.
pub(crate) const FUZZ: &str = "sandbox-agent-fuzz";

/// The workspace around the current directory.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) metadata: Metadata,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let metadata = MetadataCommand::new().exec().context("cargo can't describe this workspace")?;
        Ok(Self { metadata })
    }

    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Where tools that the tests need are installed: inside cargo's own target directory.
    pub(crate) fn tools(&self) -> PathBuf {
        self.metadata.target_directory.join("tools").into()
    }

    pub(crate) fn member(&self, name: &str) -> Result<&Package> {
        self.metadata
            .workspace_packages()
            .into_iter()
            .find(|package| package.name == name)
            .with_context(|| format!("the workspace has no package `{name}`"))
    }

    /// The package and target kind of the example `name`: a target of a member,
    /// or a member of its own in `examples/<name>/`.
    pub(crate) fn example(&self, name: &str) -> Option<(&Package, TargetKind)> {
        self.metadata.workspace_packages().into_iter().find_map(|package| {
            let target = package.targets.iter().find(|target| target.name == name)?;
            let own_package =
                package.manifest_path.starts_with(self.metadata.workspace_root.join("examples"));
            if target.is_example() {
                Some((package, TargetKind::Example))
            } else if target.is_bin() && own_package {
                Some((package, TargetKind::Bin))
            } else {
                None
            }
        })
    }
}
