//! Replaces a file at one stroke: whoever reads it sees the old text or the new one, also after the
//! machine has lost its power.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use crate::config;
use crate::failure::Failure;
use crate::sys::file::{IfLocked, is_at, lock_exclusively};

/// The mode of a file that was not there before.
const MODE: u32 = 0o644;

/// Gives a file a new text, unless it no longer holds what was there `before`. It keeps its owner
/// and its mode.
pub(super) fn replace(path: &Path, before: Option<&str>, text: &str) -> Result<(), Failure> {
    let path = &behind_links(path)?;
    let (directory, name) = parts(path)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(|error| refused(directory, error))?;
    let new = directory.join(format!(".{name}.new"));
    // Held until it has its name, or none: whoever waits for it compares after that.
    let file = alone(&new).map_err(|error| refused(path, error))?;
    let written = write(path, &file, text).and_then(|()| {
        let is_same = config::text(path).is_ok_and(|now| now.as_deref() == before);
        if !is_same {
            return Err(io::Error::other(
                "somebody else has changed it meanwhile; try again",
            ));
        }
        fs::rename(&new, path)?;
        File::open(directory)?.sync_all()
    });
    written.map_err(|error| {
        drop(fs::remove_file(&new));
        refused(path, error)
    })
}

/// Fails where the file could not be replaced, before somebody spends time on its text.
pub(super) fn refuse_unless_writable(path: &Path) -> Result<(), Failure> {
    let path = behind_links(path)?;
    let mut above = path.ancestors().skip(1);
    let directory = above.find(|directory| directory.exists());
    let directory = directory.unwrap_or(Path::new("/"));
    eaccess(directory, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|errno| refused(&path, errno.into()))
}

/// The file that is replaced: what a link leads to, but never /dev/null.
fn behind_links(path: &Path) -> Result<PathBuf, Failure> {
    let Ok(target) = fs::canonicalize(path) else {
        return Ok(path.to_owned());
    };
    if target == Path::new("/dev/null") {
        return Err(Failure::new(format!(
            "{} is masked, a link to /dev/null: remove it first",
            path.display()
        )));
    }
    Ok(target)
}

fn parts(path: &Path) -> Result<(&Path, &str), Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(Path::new(".")),
        other => other,
    };
    directory
        .zip(name)
        .ok_or_else(|| Failure::new(format!("{} is no name of a file", path.display())))
}

/// The file that will be the new one, empty and locked. Its mode keeps others from locking it.
fn alone(new: &Path) -> io::Result<File> {
    loop {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(new)?;
        if file.metadata()?.uid() != nix::unistd::geteuid().as_raw() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        lock_exclusively(file.as_fd(), IfLocked::Wait)?;
        // While this one waited, the other one may have renamed or removed it.
        if is_at(&file, new) {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

fn write(path: &Path, mut file: &File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    let old = fs::metadata(path).ok();
    if let Some(old) = &old {
        let own = file.metadata()?;
        if (old.uid(), old.gid()) != (own.uid(), own.gid()) {
            fchown(file, Some(old.uid()), Some(old.gid()))?;
        }
    }
    let mode = old.map_or(MODE, |old| old.mode() & 0o777);
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Why a file could not be written, and what to do.
fn refused(path: &Path, error: io::Error) -> Failure {
    let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
    // Of the directory, or of the one in which it would be made.
    let owner = path
        .ancestors()
        .skip(1)
        .find_map(|up| fs::metadata(up).ok());
    let is_roots = owner.is_some_and(|owner| owner.uid() == 0);
    let is_root = nix::unistd::geteuid().is_root();
    let advice = match is_denied && is_roots && !is_root {
        true => " (it is root's to change: use sudo)",
        false => "",
    };
    let errno = error.raw_os_error().map(Errno::from_raw);
    let reason = errno.map_or_else(|| error.to_string(), |errno| errno.desc().to_owned());
    Failure::new(format!(
        "cannot change {}: {reason}{advice}",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_made_or_replaced_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/deep/x.toml");
        replace(&path, None, "a").unwrap();
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(
            (fs::read_to_string(&path).unwrap().as_str(), mode()),
            ("a", MODE)
        );
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        replace(&path, Some("a"), "b").unwrap();
        assert_eq!(
            (fs::read_to_string(&path).unwrap().as_str(), mode()),
            ("b", 0o600)
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_somebody_else_has_written_meanwhile_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        fs::write(&path, "theirs").unwrap();
        for before in [None, Some("mine")] {
            let failure = replace(&path, before, "new").unwrap_err();
            assert!(failure.text().contains("somebody else"), "{failure}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_one_and_a_mask_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "a").unwrap();
        symlink("real", &link).unwrap();
        replace(&link, Some("a"), "b").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "b");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let mask = dir.path().join("mask");
        symlink("/dev/null", &mask).unwrap();
        let failure = replace(&mask, None, "x").unwrap_err();
        assert!(failure.text().contains("is masked"), "{failure}");
    }
}
