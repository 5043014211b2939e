//! Removes what has no place in a box whose files stay their owner's: links, devices, FIFOs and
//! sockets. Reads directories and looks at no file that the directory says is a regular one.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::sys::stat::{FileStat, Mode, fchmod, fstat};
use nix::unistd::{UnlinkatFlags, unlinkat};

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

/// Sweeps everything below `top`, which is at `path` in a box of `owner`.
pub(super) fn sweep(
    top: BorrowedFd<'_>,
    path: &Path,
    owner: Owner,
    special: SpecialFiles,
    moment: Moment,
) -> Result<(), BoxDirError> {
    let mut sweep = Sweep {
        owner,
        special,
        moment,
    };
    walk(top, path, &mut sweep)
}

struct Sweep {
    owner: Owner,
    special: SpecialFiles,
    moment: Moment,
}

impl Visitor for Sweep {
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
            sweep(top.as_fd(), dir.path(), me(), special, moment).unwrap();
            (count(), owner_and_mode(&sub).1)
        };
        make();
        let (keep, remove) = (SpecialFiles::Keep, SpecialFiles::Remove);
        assert_eq!(sweep_all(keep, Moment::BeforeRun), ((4, 2), 0o3755));
        assert_eq!(sweep_all(remove, Moment::BeforeRun), ((1, 1), 0o3755));
        make();
        assert_eq!(sweep_all(remove, Moment::AfterRun), ((1, 1), 0o755));
    }
}
