//! How much a box holds on disk. Nobody is kept waiting, and nothing is changed.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, fstatat};

use super::BoxDir;
use super::tree::walk;
use super::visitor::{Fault, Found, Visitor};

/// What a box holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DiskUsage {
    /// The space that is taken, in bytes.
    pub(crate) bytes: u64,
    /// Files, directories and everything else that has a name; one with several counts once.
    pub(crate) files: u64,
    /// Whether this is all of it: there was time to look at everything, and nothing was in the way.
    pub(crate) complete: bool,
}

impl BoxDir {
    /// What is in this box, as far as there is time until `end`.
    pub(crate) fn usage(&self, end: Instant) -> DiskUsage {
        let mut sum = Sum {
            end,
            usage: DiskUsage::default(),
            linked: HashSet::new(),
        };
        let walked = walk(self.fd.as_fd(), &self.path, &mut sum);
        DiskUsage {
            complete: walked.is_ok(),
            ..sum.usage
        }
    }
}

/// Adds up what a walk finds.
struct Sum {
    end: Instant,
    usage: DiskUsage,
    /// The files with several names that were seen.
    linked: HashSet<(u64, u64)>,
}

impl Sum {
    fn add(&mut self, stat: &FileStat) {
        // It is in units of 512 bytes, whatever st_blksize says (stat(3type)).
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
        self.usage.bytes = self.usage.bytes.saturating_add(blocks.saturating_mul(512));
        self.usage.files += 1;
    }

    fn check_time(&self) -> Result<(), Fault> {
        match Instant::now() < self.end {
            true => Ok(()),
            false => Err(Fault::at("look at")(Errno::ETIME)),
        }
    }
}

impl Visitor for Sum {
    fn changes(&self) -> bool {
        false
    }

    fn begin(&mut self) {
        self.usage = DiskUsage::default();
        self.linked.clear();
    }

    fn enter(&mut self, _dir: BorrowedFd<'_>, stat: &FileStat) -> Result<(), Fault> {
        self.check_time()?;
        self.add(stat);
        Ok(())
    }

    fn entry(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<Found, Fault> {
        self.check_time()?;
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_NO_AUTOMOUNT;
        let stat = fstatat(parent, name, flags).map_err(Fault::at("examine"))?;
        if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
            return Ok(Found::Directory);
        }
        if stat.st_nlink < 2 || self.linked.insert((stat.st_dev, stat.st_ino)) {
            self.add(&stat);
        }
        Ok(Found::Other)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::super::Owner;
    use super::*;
    use crate::quantity::BoxId;

    #[test]
    fn files_are_added_up_once_each_and_not_without_time() {
        let dir = tempfile::tempdir().unwrap();
        let own = Owner {
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
        };
        let made = BoxDir::create(dir.path(), BoxId(3), own).unwrap();
        let inner = dir.path().join("3/box");
        let before = made.usage(Instant::now() + Duration::from_secs(60));
        // Its own two directories.
        assert_eq!((before.files, before.complete), (2, true));
        fs::create_dir(inner.join("a")).unwrap();
        fs::write(inner.join("a/b"), vec![7; 200_000]).unwrap();
        fs::hard_link(inner.join("a/b"), inner.join("c")).unwrap();
        std::os::unix::fs::symlink("/etc", inner.join("link")).unwrap();
        let after = made.usage(Instant::now() + Duration::from_secs(60));
        assert_eq!((after.files, after.complete), (5, true));
        let added = after.bytes - before.bytes;
        assert!((200_000..400_000).contains(&added), "{added}");
        assert!(!made.usage(Instant::now()).complete);
    }
}
