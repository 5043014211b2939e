//! The directories that hold the boxes and the locks: nobody but this process's user may change
//! them.

use std::fs::{DirBuilder, Permissions, set_permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::unistd::{getegid, geteuid};

use super::BoxDirError;

/// Opens the directory at `path` (O_PATH); None when there is none. Symbolic links are followed,
/// since the administrator named the path.
pub(super) fn open_place(path: &Path) -> Result<Option<OwnedFd>, BoxDirError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let place = match open(path, flags, Mode::empty()) {
        Ok(place) => place,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(BoxDirError::at("open", path)(errno)),
    };
    let stat = fstat(&place).map_err(BoxDirError::at("examine", path))?;
    check_owner(&stat, path)?;
    Ok(Some(place))
}

/// Opens the directory at `path`; makes it and its parents, 0755, when there is none.
pub(super) fn make_place(path: &Path) -> Result<OwnedFd, BoxDirError> {
    if let Some(place) = open_place(path)? {
        return Ok(place);
    }
    let at = |step| move |error: io::Error| BoxDirError::at(step, path)(errno(&error));
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(at("make the directory"))?;
    // The mode must not depend on the umask.
    set_permissions(path, Permissions::from_mode(0o755)).map_err(at("change the mode of"))?;
    open_place(path)?.ok_or_else(|| BoxDirError::at("open", path)(Errno::ENOENT))
}

/// Refuses a file that another user owns or may write to.
pub(super) fn check_owner(stat: &FileStat, path: &Path) -> Result<(), BoxDirError> {
    let unfit = |reason| {
        Err(BoxDirError::Unfit {
            path: path.into(),
            reason,
        })
    };
    if stat.st_uid != geteuid().as_raw() {
        return unfit("does not belong to the user that the sandbox runs as (root)");
    }
    if stat.st_mode & libc::S_IWGRP != 0 && ![0, getegid().as_raw()].contains(&stat.st_gid) {
        return unfit("is writable for a group that is not root's: take that away (chmod g-w)");
    }
    if stat.st_mode & libc::S_IWOTH != 0 {
        return unfit("is writable for everybody: take that away (chmod o-w)");
    }
    Ok(())
}

/// The errno of a failure of the standard library.
pub(super) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_place_is_made_with_its_parents_and_is_0755() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        assert!(open_place(&path).unwrap().is_none());
        let place = make_place(&path).unwrap();
        assert_eq!(fstat(&place).unwrap().st_mode & 0o7777, 0o755);
        make_place(&path).unwrap();
    }

    #[test]
    fn a_place_that_everybody_may_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
        let error = open_place(dir.path()).unwrap_err().to_string();
        assert!(error.contains("writable for everybody"), "{error}");
    }

    #[test]
    fn a_place_that_another_group_may_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        set_permissions(dir.path(), Permissions::from_mode(0o775)).unwrap();
        open_place(dir.path()).unwrap();
        if geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), None, Some(60_000)).unwrap();
            let error = open_place(dir.path()).unwrap_err().to_string();
            assert!(error.contains("writable for a group"), "{error}");
        }
    }

    #[test]
    fn a_place_that_is_a_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = make_place(file.path()).unwrap_err().to_string();
        assert!(error.ends_with("is not a directory"), "{error}");
    }
}
