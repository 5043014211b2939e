//! `/dev`, as nearly all programs find it, made once by the process that keeps a scope: init shows
//! its program a copy of the mount, which is read-only, and need not make all the names in it for
//! each run.
//!
//! The file system is the same for all runs in the scope. Nothing of one comes to the next by it:
//! no program can write to it, and the times of its names do not change where it is read-only. The
//! kernel changes those of `/dev/tty` all the same when the terminal of a session is used, so runs
//! with terminals have a `/dev` of their own.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use libc::{MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};

use super::file_systems::{self, DEV_DIRECTORIES, OfHost};
use super::mount_point::{make_mount_point, resolve};
use super::root::{Mount, MountSource};
use crate::dir_rule::FileSystem;
use crate::sys::mount;

/// Where it is among the mounts of that process.
const PLACE: &CStr = c"/dev";

/// What is needed for it of the host.
#[derive(Debug)]
pub(super) struct SpareDev(OfHost);

impl SpareDev {
    /// Takes that. This process must be among the host's mounts.
    pub(super) fn take() -> io::Result<Self> {
        file_systems::take_dev().map(Self)
    }

    /// Makes it below `root`, the root of a mount namespace to be.
    pub(super) fn put_below(self, root: BorrowedFd<'_>) -> io::Result<()> {
        let inside = Path::new("dev");
        make_mount_point(root, inside, true)?;
        let made = match &self.0 {
            OfHost::Whole(made) => made.try_clone()?,
            _ => file_systems::make_dev()?,
        };
        mount::attach(made.as_fd(), resolve(root, inside)?.as_fd(), c"")?;
        file_systems::finish(FileSystem::Dev, &self.0, root, inside)?;
        let seal = mount::Change {
            set: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID,
            ..mount::Change::default()
        };
        mount::change(made.as_fd(), c"", seal)
    }
}

/// A copy of it with all that is mounted there, for a process that is among those mounts.
pub(super) fn copy() -> io::Result<OwnedFd> {
    mount::copy_tree_at(PLACE, true)
}

/// Whether it is what the rule with this number asks for: not where it is writable, or is to have
/// further mount points for later rules, or where the program can have a terminal.
pub(super) fn fits(mounts: &[Option<Mount>], index: usize) -> bool {
    let Some((Some(dev), later)) = mounts[index..].split_first() else {
        return false;
    };
    let has_place = |mount: &Mount| match mount.inside.strip_prefix(&dev.inside) {
        Ok(below) => {
            let mut directories = DEV_DIRECTORIES.iter().map(Path::new);
            mount.source.is_directory() && directories.any(|directory| directory == below)
        }
        Err(_) => true,
    };
    let all = mounts.iter().flatten();
    let mut kinds = all.map(|mount| &mount.source);
    let has_terminals =
        kinds.any(|source| matches!(source, MountSource::FileSystem(FileSystem::Devpts)));
    !dev.flags.writable && !has_terminals && later.iter().flatten().all(has_place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dir_rule::DirFlags;

    #[test]
    fn it_fits_unless_it_is_written_to_or_lacks_a_mount_point() {
        let rule = |inside: &str, kind, writable| {
            Some(Mount {
                inside: inside.into(),
                source: MountSource::FileSystem(kind),
                flags: DirFlags {
                    writable,
                    ..DirFlags::default()
                },
            })
        };
        let dev = |writable| rule("dev", FileSystem::Dev, writable);
        let tmp = |inside| rule(inside, FileSystem::Tmpfs(None), true);
        for (rules, expected) in [
            (vec![dev(false)], true),
            (vec![dev(true)], false),
            (vec![dev(false), None, tmp("device")], true),
            (vec![dev(false), tmp("dev/shm"), tmp("dev/pts")], true),
            (
                vec![dev(false), rule("dev/pts", FileSystem::Devpts, false)],
                false,
            ),
            (
                vec![dev(false), rule("pts", FileSystem::Devpts, false)],
                false,
            ),
            (vec![dev(false), tmp("dev/shm"), tmp("dev/other")], false),
            (vec![dev(false), tmp("dev/shm/below")], false),
            (vec![dev(false), tmp("dev")], false),
            (vec![None], false),
            (vec![], false),
        ] {
            assert_eq!(fits(&rules, 0), expected, "{rules:?}");
        }
        assert!(fits(&[tmp("dev/other"), dev(false)], 1));
    }
}
