//! Removes what is below a directory.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::FileStat;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::visitor::{Fault, Found, Visitor};

/// What becomes of mounts in a box that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mounts {
    /// They are named, and nothing is removed from there on: the user who mounted them
    /// (fusermount(1)) had a reason.
    Refuse,
    /// They are detached, and what is mounted stays as it is: they keep nobody from the box.
    Detach,
}

/// Removes what a walk finds, until it has met so many entries as it may.
pub(super) struct Removal {
    mounts: Mounts,
    /// How many entries it may still meet.
    left: u64,
    /// How many it has removed.
    removed: u64,
}

impl Removal {
    /// One that may meet `most` entries.
    pub(super) fn of(mounts: Mounts, most: u64) -> Self {
        Self {
            mounts,
            left: most,
            removed: 0,
        }
    }

    /// Whether it has met as many as it may, so that there may be more.
    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// How many entries it has removed.
    pub(super) fn removed(&self) -> u64 {
        self.removed
    }

    /// Unlinks what is not a directory.
    fn unlink(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)?;
        self.removed += 1;
        Ok(())
    }
}

impl Visitor for Removal {
    fn removes(&self) -> bool {
        true
    }

    fn is_enough(&self) -> bool {
        self.is_spent()
    }

    fn enter(&mut self, _dir: BorrowedFd<'_>, _stat: &FileStat) -> Result<(), Fault> {
        self.left = self.left.saturating_sub(1);
        Ok(())
    }

    fn entry(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<Found, Fault> {
        self.left = self.left.saturating_sub(1);
        match self.unlink(parent, name) {
            Ok(()) => Ok(Found::Other),
            Err(Errno::EISDIR) => Ok(Found::Directory),
            // The removal is tried once more, and names a file that is mounted on again.
            Err(errno) if self.clear(parent, name, errno) => self
                .unlink(parent, name)
                .map(|()| Found::Other)
                .map_err(Fault::at("remove")),
            Err(errno) => Err(Fault::at("remove")(errno)),
        }
    }

    /// Detaches a mount in our own mount namespace. In all others, mounts go with the directory
    /// that they are on (since Linux 3.18).
    fn clear(&mut self, parent: BorrowedFd<'_>, name: &CStr, errno: Errno) -> bool {
        if self.mounts == Mounts::Refuse || !matches!(errno, Errno::EXDEV | Errno::EBUSY) {
            return false;
        }
        let mut path = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
        path.extend_from_slice(name.to_bytes());
        let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
        umount2(path.as_slice(), flags).is_ok()
    }

    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
        unlinkat(parent, name, UnlinkatFlags::RemoveDir).map_err(Fault::at("remove"))?;
        self.removed += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::{self, File, Permissions, set_permissions};
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::{Mode, mkdirat};
    use nix::unistd::{geteuid, mkfifo};

    use super::super::tree::walk;
    use super::*;

    fn removal() -> Removal {
        Removal::of(Mounts::Refuse, u64::MAX)
    }

    fn remove_below(path: &Path) {
        let top = File::open(path).unwrap();
        walk(top.as_fd(), path, &mut removal()).unwrap();
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    }

    /// Makes a chain of directories, each with a file and a directory beside it.
    fn make_chain(path: &Path, levels: usize) {
        let mut dir = OwnedFd::from(File::open(path).unwrap());
        for _ in 0..levels {
            for name in ["down", "empty"] {
                mkdirat(&dir, name, Mode::S_IRWXU).unwrap();
            }
            openat(&dir, "file", OFlag::O_CREAT, Mode::S_IRUSR).unwrap();
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
            dir = openat(&dir, "down", flags, Mode::empty()).unwrap();
        }
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        make_chain(dir.path(), 1_500);
        remove_below(dir.path());
    }

    #[test]
    fn a_wide_tree_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..500 {
            let name = format!("{number} {}", "long".repeat(50));
            fs::create_dir(dir.path().join(&name)).unwrap();
            fs::write(dir.path().join(&name).join("file"), "").unwrap();
            fs::write(dir.path().join(format!("file {number}")), "").unwrap();
        }
        remove_below(dir.path());
    }

    #[test]
    fn special_files_and_strange_names_are_removed_and_links_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "").unwrap();
        symlink(outside.path(), dir.path().join("link")).unwrap();
        fs::hard_link(outside.path().join("kept"), dir.path().join("hard")).unwrap();
        mkfifo(&dir.path().join("fifo"), Mode::S_IRWXU).unwrap();
        drop(UnixListener::bind(dir.path().join("socket")).unwrap());
        for name in [&b"a\nb"[..], b"\xff\xfe", b" ", b"...", &[b'x'; 255]] {
            let path = dir.path().join(OsStr::from_bytes(name));
            fs::create_dir(&path).unwrap();
            fs::write(path.join(OsStr::from_bytes(name)), "").unwrap();
        }
        remove_below(dir.path());
        assert!(outside.path().join("kept").exists());
    }

    #[test]
    fn an_unreadable_directory_is_removed_by_root_and_named_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("closed\n");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), "").unwrap();
        set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
        let top = File::open(dir.path()).unwrap();
        let result = walk(top.as_fd(), dir.path(), &mut removal());
        if geteuid().is_root() {
            result.unwrap();
            assert!(!path.exists());
        } else {
            set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
            let error = result.unwrap_err().to_string();
            assert!(error.contains("closed\\n': EACCES"), "{error}");
        }
    }
}
