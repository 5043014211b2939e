//! Places in the root file system of the sandbox where something is mounted.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, mkdirat};

use crate::barrier::Barrier;

/// Opens the target of a mount. Symlinks in earlier mounts resolve as they will for the program:
/// below the new root and nowhere else.
pub(super) fn resolve(root: BorrowedFd<'_>, inside: &Path) -> io::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(if Barrier::MountPointsInside.stands() {
            ResolveFlag::RESOLVE_IN_ROOT
        } else {
            ResolveFlag::empty()
        });
    Ok(openat2(root, inside, how)?)
}

/// Makes a directory or an empty file, and the directories above it, in a file system that only
/// trusted code has written to. What exists already stays.
pub(super) fn make_mount_point(
    root: BorrowedFd<'_>,
    inside: &Path,
    is_directory: bool,
) -> io::Result<()> {
    let directories = if is_directory {
        Some(inside)
    } else {
        inside.parent()
    };
    let mut path = PathBuf::new();
    for component in directories.into_iter().flat_map(Path::components) {
        path.push(component);
        match mkdirat(root, &path, Mode::from_bits_truncate(0o755)) {
            Err(error) if error != nix::errno::Errno::EEXIST => return Err(error.into()),
            _ => {}
        }
    }
    if !is_directory {
        let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        openat(root, inside, flags, Mode::from_bits_truncate(0o644))?;
    }
    Ok(())
}
