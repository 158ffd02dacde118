//! Where the server's binary is.

use std::env;
use std::env::consts::{ARCH, OS};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::binary;
use crate::sandbox::{SandboxError, SandboxErrorKind};

const NAME: &str = "sandbox-agent";
/// Names the binary.
const VARIABLE: &str = "SANDBOX_AGENT_BIN";

/// Where to look, in this order.
#[derive(Debug)]
pub(super) struct Places {
    /// What the caller said.
    told: Option<PathBuf>,
    variable: Option<OsString>,
    path: OsString,
    folder: PathBuf,
}

impl Places {
    /// Those of this process.
    pub(super) fn here(told: Option<PathBuf>) -> Self {
        Self {
            told,
            variable: env::var_os(VARIABLE).filter(|value| !value.is_empty()),
            path: env::var_os("PATH").unwrap_or_default(),
            folder: env::current_dir().unwrap_or_default(),
        }
    }

    /// The first binary that there is. One that was named must be there: no other is taken for it.
    pub(super) fn find(&self) -> Result<PathBuf, SandboxError> {
        if let Some(told) = &self.told {
            return named(told, "`LocalSandboxBuilder::binary`");
        }
        if let Some(path) = &self.variable {
            return named(Path::new(path), VARIABLE);
        }
        let on_path = env::split_paths(&self.path).map(|folder| folder.join(NAME));
        on_path
            // As a shell does: what can't be run isn't meant.
            .filter(|path| binary::is_executable(path))
            .chain(self.folder.ancestors().flat_map(installed_in))
            .find(|path| path.is_file())
            .ok_or_else(|| self.nothing())
    }

    fn nothing(&self) -> SandboxError {
        let message = format!(
            "no {NAME} on this machine: install one with `npm install {}`, or name one that you have, by {VARIABLE} or \
             `LocalSandboxBuilder::binary`; it is neither on the PATH nor in node_modules of {} or a folder above",
            binary::PACKAGE,
            self.folder.display()
        );
        SandboxError::new(SandboxErrorKind::NoBinary, message)
    }
}

fn named(path: &Path, by: &str) -> Result<PathBuf, SandboxError> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let message = format!(
        "{}, which {by} names, is no file: name the server's binary, or name none and install one with \
         `npm install {}`",
        path.display(),
        binary::PACKAGE
    );
    Err(SandboxError::new(SandboxErrorKind::NoBinary, message))
}

/// Where npm and its like put the binary below a folder. The package has it in another one for each platform, beside
/// itself wherever that really is; the last is a script that needs Node.js.
fn installed_in(folder: &Path) -> Vec<PathBuf> {
    let modules = folder.join("node_modules");
    let package = modules.join("@sandbox-agent/cli");
    let Ok(package) = fs::canonicalize(&package) else { return Vec::new() };
    let native = platform().map(|platform| format!("cli-{platform}/bin/{NAME}"));
    let beside = native.iter().flat_map(|native| {
        let nested = package.join("node_modules/@sandbox-agent").join(native);
        [package.with_file_name(native), nested]
    });
    beside.chain([modules.join(".bin").join(NAME)]).collect()
}

fn platform() -> Option<&'static str> {
    match (OS, ARCH) {
        ("linux", "x86_64") => Some("linux-x64"),
        ("linux", "aarch64") => Some("linux-arm64"),
        ("macos", "x86_64") => Some("darwin-x64"),
        ("macos", "aarch64") => Some("darwin-arm64"),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    fn put(folder: &TempDir, path: &str, mode: u32) -> PathBuf {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::canonicalize(path).unwrap()
    }

    fn places(folder: &TempDir) -> Places {
        let folder = folder.path().join("work/deep");
        fs::create_dir_all(&folder).unwrap();
        Places { told: None, variable: None, path: OsString::new(), folder }
    }

    #[test]
    fn each_place_goes_before_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut places = places(&folder);
        let error = places.find().unwrap_err();
        assert_eq!(error.kind(), SandboxErrorKind::NoBinary);
        assert!(error.to_string().contains("npm install @sandbox-agent/cli@"), "{error}");
        assert!(error.to_string().contains("SANDBOX_AGENT_BIN"), "{error}");

        let native = format!("cli-{}/bin/sandbox-agent", platform().unwrap());
        put(&folder, "node_modules/@sandbox-agent/cli/package.json", 0o644);
        let far = put(&folder, &format!("node_modules/@sandbox-agent/{native}"), 0o644);
        assert_eq!(places.find().unwrap(), far, "of a folder above, also when it can't be run yet");
        put(&folder, "work/node_modules/@sandbox-agent/cli/package.json", 0o644);
        let near = put(&folder, &format!("work/node_modules/@sandbox-agent/{native}"), 0o755);
        assert_eq!(places.find().unwrap(), near);

        let on_path = put(&folder, "bin/sandbox-agent", 0o755);
        let not = put(&folder, "first/sandbox-agent", 0o644);
        places.path = env::join_paths([not.parent().unwrap(), on_path.parent().unwrap()]).unwrap();
        assert_eq!(places.find().unwrap(), on_path);
        places.variable = Some(put(&folder, "by-variable", 0o755).into());
        assert_eq!(places.find().unwrap(), folder.path().canonicalize().unwrap().join("by-variable"));
        places.told = Some(put(&folder, "told", 0o755));
        assert_eq!(places.find().unwrap(), folder.path().canonicalize().unwrap().join("told"));
    }

    #[test]
    fn what_is_named_and_not_there_is_an_error_whatever_else_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut places = places(&folder);
        places.path = put(&folder, "bin/sandbox-agent", 0o755).parent().unwrap().into();
        places.variable = Some("/nowhere/server".into());
        let error = places.find().unwrap_err().to_string();
        assert!(error.contains("/nowhere/server") && error.contains("SANDBOX_AGENT_BIN"), "{error}");
    }

    #[test]
    fn a_package_behind_a_link_has_its_binary_beside_where_it_really_is() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(&folder);
        let store = "node_modules/.pnpm/x/node_modules/@sandbox-agent";
        put(&folder, &format!("{store}/cli/package.json"), 0o644);
        let native = put(&folder, &format!("{store}/cli-{}/bin/sandbox-agent", platform().unwrap()), 0o755);
        fs::create_dir_all(folder.path().join("node_modules/@sandbox-agent")).unwrap();
        let link = folder.path().join("node_modules/@sandbox-agent/cli");
        std::os::unix::fs::symlink(folder.path().join(store).join("cli"), link).unwrap();
        assert_eq!(places.find().unwrap(), native);
    }
}
