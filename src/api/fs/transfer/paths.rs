//! What a folder may hold to be carried: nothing that leads out of it, by whatever way.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// The links that were seen, because nothing may be below one.
#[derive(Debug, Default)]
pub(super) struct Seen {
    links: HashSet<PathBuf>,
}

impl Seen {
    /// A path relative to the folder, without `.`; refuses what is absolute, leads up, or is below a link.
    pub(super) fn path(&self, path: &Path) -> Result<PathBuf> {
        let mut plain = PathBuf::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => plain.push(name),
                Component::CurDir => {}
                Component::ParentDir => return Err(refused(path, "leads out of its folder")),
                Component::RootDir | Component::Prefix(_) => return Err(refused(path, "is absolute")),
            }
        }
        if plain.ancestors().skip(1).any(|above| self.links.contains(above)) {
            return Err(refused(path, "is below a link"));
        }
        Ok(plain)
    }

    /// A second name of a file: one of a link would lead somewhere else from another place.
    pub(super) fn hard_link(&self, path: &Path, target: &Path) -> Result<()> {
        match self.path(target) {
            Ok(target) if !self.links.contains(&target) => Ok(()),
            Ok(_) => Err(refused(path, "is another name of a link")),
            Err(_) => Err(refused(path, "is a link out of its folder")),
        }
    }

    /// A link at a [path](Self::path): it has to lead to something in the folder.
    ///
    /// Its way up may only be at its begin: behind a name that is a link itself, `..` is somewhere else than the
    /// text says.
    pub(super) fn link(&mut self, path: &Path, target: &Path) -> Result<()> {
        let mut depth = path.components().count().saturating_sub(1);
        let mut down = false;
        for component in target.components() {
            match component {
                Component::CurDir => {}
                Component::Normal(_) => down = true,
                Component::ParentDir if !down && depth > 0 => depth -= 1,
                Component::ParentDir if !down => return Err(refused(path, "is a link out of its folder")),
                Component::ParentDir => return Err(refused(path, "is a link that goes down and up again")),
                Component::RootDir | Component::Prefix(_) => {
                    return Err(refused(path, "is a link to an absolute path"));
                }
            }
        }
        self.links.insert(path.to_owned());
        Ok(())
    }
}

pub(super) fn refused(path: &Path, why: &str) -> Error {
    let path = path.display().to_string();
    let message = format!("{path:?} {why}; it is not carried, and nothing else was");
    Error::new(ErrorKind::UnsafePath { path }, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn link(path: &str, target: &str) -> Result<()> {
        Seen::default().link(Path::new(path), Path::new(target))
    }

    #[test]
    fn a_path_stays_below_its_folder() {
        let seen = Seen::default();
        assert_eq!(seen.path(Path::new("./a/./b")).unwrap(), Path::new("a/b"));
        for path in ["/a", "../a", "a/../../b", "a/.."] {
            let error = seen.path(Path::new(path)).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::UnsafePath { path: path.into() });
        }
    }

    #[test]
    fn a_link_leads_to_something_in_its_folder() {
        for (path, target) in [("l", "a"), ("a/l", "../b"), ("a/b/l", "../../c/d"), ("l", "."), ("a/l", "..")]
        {
            link(path, target).unwrap();
        }
        for (path, target) in
            [("l", "/etc"), ("l", ".."), ("a/l", "../.."), ("a/l", "../../a"), ("l", "a/../b")]
        {
            assert!(matches!(link(path, target).unwrap_err().kind(), ErrorKind::UnsafePath { .. }), "{path}");
        }
    }

    #[test]
    fn nothing_is_below_a_link() {
        let mut seen = Seen::default();
        seen.link(Path::new("a/l"), Path::new("../b")).unwrap();
        assert!(seen.path(Path::new("a/l/file")).is_err());
        assert!(seen.path(Path::new("a/line")).is_ok());
    }
}
