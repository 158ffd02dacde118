//! Where the scripted agent's binary is, and how the real server comes to launch it.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The name of the agent's binary.
const BINARY: &str = "scripted-acp-agent";
/// The environment variable that names it.
const VARIABLE: &str = "SCRIPTED_ACP_AGENT_BIN";

/// The scripted agent's binary is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentNotFound {
    looked_at: Vec<PathBuf>,
}

impl fmt::Display for AgentNotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no {BINARY}: `cargo build -p sandbox-agent-testkit` builds it, or {VARIABLE} names it; looked at"
        )?;
        for path in &self.looked_at {
            write!(f, " {}", path.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for AgentNotFound {}

/// Finds the binary `scripted-acp-agent`: what `SCRIPTED_ACP_AGENT_BIN` names, or else what lies
/// beside the running executable or one folder up, where cargo puts binaries of the profile.
///
/// # Errors
/// When there is none; the error says how to get it.
pub fn find_agent_binary() -> Result<PathBuf, AgentNotFound> {
    let looked_at = match std::env::var_os(VARIABLE) {
        Some(path) => vec![PathBuf::from(path)],
        None => beside_the_executable(),
    };
    match looked_at.iter().find(|path| path.is_file()) {
        Some(found) => Ok(found.clone()),
        None => Err(AgentNotFound { looked_at }),
    }
}

fn beside_the_executable() -> Vec<PathBuf> {
    let executable = std::env::current_exe().unwrap_or_default();
    let folders = executable.ancestors().skip(1).take(2);
    folders.map(|folder| folder.join(BINARY)).collect()
}

/// Puts a launcher of this binary where a real server with this `XDG_DATA_HOME` looks for its
/// agent `mock`: `<data home>/sandbox-agent/bin/agent_processes/mock-acp`. One that is there
/// is replaced.
///
/// # Errors
/// When the launcher can't be written.
pub fn install_agent(data_home: &Path, agent_binary: &Path) -> io::Result<()> {
    let folder = data_home.join("sandbox-agent/bin/agent_processes");
    std::fs::create_dir_all(&folder)?;
    let quoted = agent_binary.display().to_string().replace('\'', r"'\''");
    // Renamed into place, so that a server never launches half a script.
    let mut launcher = tempfile::NamedTempFile::new_in(&folder)?;
    writeln!(launcher, "#!/bin/sh\nexec '{quoted}' \"$@\"")?;
    let permissions = std::fs::Permissions::from_mode(0o755);
    launcher.as_file().set_permissions(permissions)?;
    launcher.persist(folder.join("mock-acp"))?;
    Ok(())
}
