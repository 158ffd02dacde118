//! Folders of this machine as archives, and archives as folders.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use tar::{Archive, Builder, Entry, EntryType, Header};

use ration::Rationed;

use super::local;
use super::paths::{Seen, refused};
use crate::error::{Error, ErrorKind, Result};

mod ration;

/// What may be done with a file and by whom.
const MODE: u32 = 0o777;

/// How much may be in a folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) bytes: u64,
    pub(super) entries: usize,
}

/// What was counted against them.
struct Count {
    left: Bounds,
    bounds: Bounds,
}

impl Count {
    fn new(bounds: Bounds) -> Self {
        Self { left: bounds, bounds }
    }

    fn add(&mut self, path: &Path, bytes: u64) -> Result<()> {
        let too_large = |limit: usize, what: String| {
            let message =
                format!("{:?} is beyond the {what} that may be carried; allow more", path.display());
            Err(Error::new(ErrorKind::TooLarge { limit }, message))
        };
        let Bounds { bytes: most_bytes, entries: most_entries } = self.bounds;
        match (self.left.bytes.checked_sub(bytes), self.left.entries.checked_sub(1)) {
            (Some(left_bytes), Some(left_entries)) => {
                self.left = Bounds { bytes: left_bytes, entries: left_entries };
                Ok(())
            }
            (None, _) => {
                too_large(usize::try_from(most_bytes).unwrap_or(usize::MAX), format!("{most_bytes} bytes"))
            }
            (_, None) => too_large(most_entries, format!("{most_entries} files, folders and links")),
        }
    }
}

/// Writes a folder into an archive. What is refused is refused before the archive is used.
pub(super) fn pack(folder: &Path, to: &File, bounds: Bounds) -> Result<()> {
    let unwritten = |error| Error::new(ErrorKind::Io, "the archive can't be written").with_source(error);
    let mut archive = Builder::new(BufWriter::new(to));
    let (mut count, mut seen) = (Count::new(bounds), Seen::default());
    let (mut folders, mut heads) = (vec![PathBuf::new()], Vec::new());
    while let Some(relative) = folders.pop() {
        let absolute = folder.join(&relative);
        let unread = |error| local("read", &absolute, error);
        let mut names = fs::read_dir(&absolute)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>())
            .map_err(unread)?;
        names.sort_unstable();
        for name in names {
            let (path, absolute) = (relative.join(&name), absolute.join(&name));
            let unread = |error| local("read", &absolute, error);
            let metadata = fs::symlink_metadata(&absolute).map_err(unread)?;
            count.add(&path, if metadata.is_file() { metadata.len() } else { 0 })?;
            let mut header = head(&metadata).map_err(unread)?;
            if metadata.is_dir() {
                heads.push((path.clone(), header));
                folders.push(path);
            } else if metadata.is_symlink() {
                let target = fs::read_link(&absolute).map_err(unread)?;
                seen.link(&path, &target)?;
                archive.append_link(&mut header, &path, &target).map_err(unwritten)?;
            } else if metadata.is_file() {
                let mut content = File::open(&absolute).map_err(unread)?.take(metadata.len());
                archive.append_data(&mut header, &path, &mut content).map_err(unwritten)?;
                if content.limit() > 0 {
                    // What comes next would be taken for the rest of it.
                    return Err(unread(io::ErrorKind::UnexpectedEof.into()));
                }
            } else {
                return Err(refused(&path, "is a device, a pipe or a socket"));
            }
        }
    }
    // Behind what is in them, the deepest first: one that may not be written to would take nothing.
    for (path, mut header) in heads.into_iter().rev() {
        archive.append_data(&mut header, &path, io::empty()).map_err(unwritten)?;
    }
    archive.into_inner().and_then(|mut writer| writer.flush()).map_err(unwritten)
}

/// What an archive says of an entry: without what makes a file run as somebody else.
fn head(metadata: &fs::Metadata) -> io::Result<Header> {
    let mut header = Header::new_gnu();
    header.set_metadata(metadata);
    header.set_mode(header.mode()? & MODE);
    Ok(header)
}

/// Makes a folder of an archive from the sandbox; the folder has to be empty.
///
/// All of it is looked at before any of it is written: an archive that is refused leaves nothing.
pub(super) fn unpack(archive: &Path, folder: &Path, bounds: Bounds) -> Result<()> {
    let opened = || {
        let unread = |error| local("read", archive, error);
        File::open(archive).map(BufReader::new).map_err(unread)
    };
    let mut count = Count::new(bounds);
    look_at(opened()?, |path, entry| {
        count.add(path, entry.size())?;
        match entry.header().entry_type() {
            EntryType::Symlink if !cfg!(unix) => Err(refused(path, "is a link, which this machine has not")),
            EntryType::XGlobalHeader | EntryType::GNUSparse => Err(refused(path, "is of an unknown kind")),
            _ => Ok(()),
        }
    })?;
    let (seen, mut folders) = (Seen::default(), Vec::new());
    each(opened()?, |entry| {
        let relative = seen.path(&path_of(entry)?)?;
        let path = folder.join(&relative);
        let unwritten = |error| local("written", &path, error);
        write(entry, &relative, folder).map_err(unwritten)?;
        if entry.header().entry_type() == EntryType::Directory && path != folder {
            folders.push((path.clone(), entry.header().mode().map_err(unwritten)?));
        }
        Ok(())
    })?;
    // When all is in them, the deepest first: one that may not be written to would take nothing.
    folders.sort_by(|one, other| other.0.cmp(&one.0));
    folders.iter().try_for_each(|(path, mode)| {
        set_folder_mode(path, *mode).map_err(|error| local("given its permissions", path, error))
    })
}

/// Refuses an archive of which anything leads out of its folder, or is no file, folder or link; `also` may refuse more.
pub(super) fn look_at<R: io::Read>(
    archive: R,
    mut also: impl FnMut(&Path, &Entry<'_, Rationed<R>>) -> Result<()>,
) -> Result<()> {
    let mut seen = Seen::default();
    each(archive, |entry| {
        let path = seen.path(&path_of(entry)?)?;
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse | EntryType::Directory => {}
            // Says something of all entries, and is none itself.
            EntryType::XGlobalHeader => {}
            EntryType::Symlink => seen.link(&path, &target_of(entry)?)?,
            EntryType::Link => seen.hard_link(&path, &target_of(entry)?)?,
            _ => return Err(refused(&path, "is a device, a pipe, or of an unknown kind")),
        }
        also(&path, entry)
    })
}

fn each<R: io::Read>(
    archive: R,
    mut visit: impl FnMut(&mut Entry<'_, Rationed<R>>) -> Result<()>,
) -> Result<()> {
    let (archive, ration) = Rationed::new(archive);
    let mut archive = Archive::new(archive);
    for entry in archive.entries().map_err(|error| ration.failed(error))? {
        let mut entry = entry.map_err(|error| ration.failed(error))?;
        ration.allow(entry.size());
        visit(&mut entry)?;
    }
    Ok(())
}

fn path_of<R: io::Read>(entry: &Entry<'_, R>) -> Result<PathBuf> {
    let unreadable = |error| Error::protocol("the archive has a path that can't be read").with_source(error);
    entry.path().map(std::borrow::Cow::into_owned).map_err(unreadable)
}

fn target_of<R: io::Read>(entry: &Entry<'_, R>) -> Result<PathBuf> {
    match entry.link_name() {
        Ok(Some(target)) => Ok(target.into_owned()),
        Ok(None) | Err(_) => Err(refused(&path_of(entry)?, "is a link to nothing")),
    }
}

fn write<R: io::Read>(entry: &mut Entry<'_, R>, relative: &Path, folder: &Path) -> io::Result<()> {
    let path = &folder.join(relative);
    for above in relative.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
        // Names that differ in the archive may be one on this machine, and that one a link.
        if folder.join(above).symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match entry.header().entry_type() {
        EntryType::Directory => fs::create_dir_all(path),
        EntryType::Symlink => symlink(entry, path),
        EntryType::Link => match entry.link_name()? {
            Some(target) => fs::hard_link(folder.join(target), path),
            None => Err(io::ErrorKind::InvalidData.into()),
        },
        _ => {
            let mut file = File::create_new(path)?;
            io::copy(entry, &mut file)?;
            set_mode(&file, entry.header().mode()?)
        }
    }
}

#[cfg(unix)]
fn symlink<R: io::Read>(entry: &Entry<'_, R>, path: &Path) -> io::Result<()> {
    match entry.link_name()? {
        Some(target) => std::os::unix::fs::symlink(target, path),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(not(unix))]
fn symlink<R: io::Read>(_: &Entry<'_, R>, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Without what makes a file run as somebody else.
#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(mode & MODE))
}

#[cfg(not(unix))]
fn set_mode(_: &File, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn set_folder_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // A link to a folder may have been here before it.
    if !path.symlink_metadata()?.is_dir() {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode & MODE))
}

#[cfg(not(unix))]
fn set_folder_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(all(unix, any(test, fuzzing)))]
pub(super) mod fuzzing;
#[cfg(all(test, unix))]
mod tests;
