//! Removes what has no place in a box whose files stay their owner's: links, devices, FIFOs and
//! sockets. Reads directories and looks at no file that the directory says is a regular one.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::sys::stat::{FileStat, Mode, fchmod, fstat};
use nix::sys::statfs::{EXT4_SUPER_MAGIC, TMPFS_MAGIC, XFS_SUPER_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::closed::{is_older, is_still};
use super::open::open_entry;
use super::place::errno;
use super::tree::walk;
use super::visitor::{Fault, Found, Visitor};
use super::{BoxDirError, Owner, SpecialFiles};
use crate::sys::file::remove_acls;

/// When a box is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Its owner was there.
    BeforeRun,
    /// The program was there: its special bits and access control lists of directories go as well.
    AfterRun,
}

/// How a box is swept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sweep {
    /// Whose the box is.
    pub(super) owner: Owner,
    /// What becomes of links and the like.
    pub(super) special: SpecialFiles,
    /// When it is done.
    pub(super) moment: Moment,
    /// Since when nothing that has not changed needs a look, in seconds since 1970.
    pub(super) since: Option<i64>,
}

/// Sweeps everything below `top`, which is at `path`.
pub(super) fn sweep(top: BorrowedFd<'_>, path: &Path, how: Sweep) -> Result<(), BoxDirError> {
    let since = how.since.filter(|_| tells_changes(top));
    let mut sweep = Sweep { since, ..how };
    let stat = fstat(top).map_err(BoxDirError::at("examine", path))?;
    if sweep.is_still(&stat) {
        return Ok(());
    }
    walk(top, path, &mut sweep)
}

/// Whether the file system writes down when names in a directory change, and how many directories
/// are below it: others may, too.
fn tells_changes(top: BorrowedFd<'_>) -> bool {
    let known = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, TMPFS_MAGIC];
    fstatfs(top).is_ok_and(|found| known.contains(&found.filesystem_type()))
}

impl Visitor for Sweep {
    fn is_still(&self, stat: &FileStat) -> bool {
        self.since.is_some_and(|since| is_still(stat, since))
    }

    fn may_have_come(&self, stat: &FileStat) -> bool {
        self.since.is_none_or(|since| !is_older(stat, since))
    }

    fn passes(&self, kind: u8) -> bool {
        kind == libc::DT_REG || self.special == SpecialFiles::Keep && kind != libc::DT_UNKNOWN
    }

    fn enter(&mut self, dir: BorrowedFd<'_>, stat: &FileStat) -> Result<(), Fault> {
        if self.moment == Moment::BeforeRun || stat.st_uid != self.owner.uid {
            return Ok(());
        }
        remove_acls(dir)
            .map_err(|error| Fault::at("remove the access control list of")(errno(&error)))?;
        if stat.st_mode & 0o7000 != 0 {
            let mode = Mode::from_bits_truncate(stat.st_mode & 0o777);
            fchmod(dir, mode).map_err(Fault::at("change the mode of"))?;
        }
        Ok(())
    }

    fn entry(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<Found, Fault> {
        let file = open_entry(parent, name).map_err(Fault::at("open"))?;
        let stat = fstat(&file).map_err(Fault::at("examine"))?;
        match (stat.st_mode & libc::S_IFMT, self.special) {
            (libc::S_IFDIR, _) => Ok(Found::Directory),
            (libc::S_IFREG, _) | (_, SpecialFiles::Keep) => Ok(Found::Other),
            (_, SpecialFiles::Remove) => unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)
                .map(|()| Found::Other)
                .map_err(Fault::at("remove")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions, set_permissions};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use nix::unistd::mkfifo;

    use super::super::tests::{me, owner_and_mode};
    use super::*;

    #[test]
    fn links_and_the_like_go_at_any_depth_and_special_bits_after_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("a/b");
        fs::create_dir_all(&sub).unwrap();
        fs::write(sub.join("file"), "").unwrap();
        set_permissions(&sub, Permissions::from_mode(0o3555)).unwrap();
        let make = || {
            set_permissions(&sub, Permissions::from_mode(0o3755)).unwrap();
            symlink("/etc", sub.join("link")).unwrap();
            symlink("nowhere", dir.path().join("dangling")).unwrap();
            mkfifo(&sub.join("fifo"), Mode::S_IRWXU).unwrap();
            drop(UnixListener::bind(sub.join("socket")).unwrap());
        };
        let count = || {
            let in_sub = fs::read_dir(&sub).unwrap().count();
            (in_sub, fs::read_dir(dir.path()).unwrap().count())
        };
        let top = File::open(dir.path()).unwrap();
        let sweep_all = |special, moment| {
            let how = Sweep {
                owner: me(),
                special,
                moment,
                since: None,
            };
            sweep(top.as_fd(), dir.path(), how).unwrap();
            (count(), owner_and_mode(&sub).1)
        };
        make();
        let (keep, remove) = (SpecialFiles::Keep, SpecialFiles::Remove);
        assert_eq!(sweep_all(keep, Moment::BeforeRun), ((4, 2), 0o3755));
        assert_eq!(sweep_all(remove, Moment::BeforeRun), ((1, 1), 0o3755));
        make();
        assert_eq!(sweep_all(remove, Moment::AfterRun), ((1, 1), 0o755));
    }

    #[test]
    fn what_is_below_a_directory_that_was_moved_in_is_looked_at_whatever_its_age() {
        let dir = tempfile::tempdir().unwrap();
        let [staged, top] = ["staged", "top"].map(|name| dir.path().join(name));
        fs::create_dir_all(staged.join("middle/leaf")).unwrap();
        fs::create_dir(&top).unwrap();
        symlink("/etc", staged.join("middle/leaf/link")).unwrap();
        let changed = |at: &Path| nix::sys::stat::stat(at).unwrap().st_ctime;
        // Only the times of what is moved are later than the moment, and it knows seconds.
        let since = changed(&staged.join("middle/leaf")) + 2;
        while changed(&staged) < since {
            std::thread::sleep(std::time::Duration::from_millis(100));
            set_permissions(&staged, Permissions::from_mode(0o755)).unwrap();
        }
        fs::rename(&staged, top.join("moved")).unwrap();
        let mut sweep = Sweep {
            owner: me(),
            special: SpecialFiles::Remove,
            moment: Moment::BeforeRun,
            since: Some(since),
        };
        walk(File::open(&top).unwrap().as_fd(), &top, &mut sweep).unwrap();
        let link = top.join("moved/middle/leaf/link");
        assert!(link.symlink_metadata().is_err());
    }

    /// On a file system where a directory with none below has two links.
    #[test]
    fn a_directory_that_has_not_changed_is_not_looked_into() {
        let dir = tempfile::tempdir().unwrap();
        let (outer, inner) = (dir.path().join("outer"), dir.path().join("outer/inner"));
        fs::create_dir_all(&inner).unwrap();
        let make = |at: &Path| symlink("/etc", at.join("link")).unwrap();
        let is_there = |at: &Path| at.join("link").symlink_metadata().is_ok();
        let top = File::open(dir.path()).unwrap();
        let links = nix::sys::stat::stat(&inner).unwrap().st_nlink;
        for (since, stays) in [
            (Some(i64::MAX), links == 2),
            (Some(0), false),
            (None, false),
        ] {
            drop(fs::remove_file(inner.join("link")));
            make(&inner);
            make(&outer);
            let mut sweep = Sweep {
                owner: me(),
                special: SpecialFiles::Remove,
                moment: Moment::AfterRun,
                since,
            };
            walk(top.as_fd(), dir.path(), &mut sweep).unwrap();
            assert_eq!(is_there(&inner), stays, "{since:?}");
            assert!(!is_there(&outer), "{since:?}");
        }
    }
}
