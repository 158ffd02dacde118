//! Real agents, for the tests of those that are not ours: from npm, installed once into the target directory.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::npm::Pinned;
use crate::server::make_executable;
use crate::workspace::Workspace;

/// An agent, and how tests find it.
struct Agent {
    name: &'static str,
    /// Tells tests where its program is.
    variable: &'static str,
    /// The package of npm that has the program, and where in it.
    package: &'static str,
    program: &'static str,
    pinned: Pinned,
}

const AGENTS: [Agent; 3] = [
    Agent {
        name: "opencode",
        variable: "OPENCODE_BIN",
        // The only platform that it is pinned for.
        package: "opencode-linux-x64",
        program: "bin/opencode",
        pinned: Pinned {
            manifest: include_str!("../opencode/package.json"),
            lock: include_str!("../opencode/package-lock.json"),
        },
    },
    Agent {
        name: "claude",
        variable: "CLAUDE_ACP_BIN",
        package: "@agentclientprotocol/claude-agent-acp",
        program: "dist/index.js",
        pinned: Pinned {
            manifest: include_str!("../claude/package.json"),
            lock: include_str!("../claude/package-lock.json"),
        },
    },
    Agent {
        name: "qwen",
        variable: "QWEN_CODE_BIN",
        package: "@qwen-code/qwen-code",
        program: "cli.js",
        pinned: Pinned {
            manifest: include_str!("../qwen/package.json"),
            lock: include_str!("../qwen/package-lock.json"),
        },
    },
];

/// Installs those that aren't there yet, and says which there are.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    for agent in &AGENTS {
        let program = agent.installed(workspace)?;
        eprintln!("{} {} at {}", agent.package, agent.version()?, program.display());
    }
    Ok(())
}

/// Tells tests where each of them is.
pub(crate) fn show_to(cargo: &mut Command, workspace: &Workspace) -> Result<()> {
    for agent in &AGENTS {
        cargo.env(agent.variable, agent.installed(workspace)?);
    }
    Ok(())
}

impl Agent {
    /// Its program, installed at the pinned version if it isn't there yet.
    fn installed(&self, workspace: &Workspace) -> Result<PathBuf> {
        let folder = workspace.tools().join(self.name);
        let program = folder.join("node_modules").join(self.package).join(self.program);
        if !self.pinned.is_installed(&folder) || !program.is_file() {
            let from = || format!("{} comes from npm; tests run it on Linux on x86-64", self.package);
            self.pinned.install(&folder).with_context(from)?;
            if !program.is_file() {
                bail!("npm installed {}, and {} isn't there", self.package, program.display());
            }
        }
        make_executable(&program)?;
        Ok(program)
    }

    /// The version in `xtask/NAME/package.json`, the only place that names it.
    fn version(&self) -> Result<String> {
        let manifest: serde_json::Value = serde_json::from_str(self.pinned.manifest)
            .with_context(|| format!("xtask/{}/package.json isn't JSON", self.name))?;
        let version = manifest["dependencies"][self.package].as_str().map(str::to_owned);
        version.with_context(|| format!("xtask/{}/package.json doesn't pin {}", self.name, self.package))
    }
}
