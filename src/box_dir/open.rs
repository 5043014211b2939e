//! Opens single names below an open directory and never crosses a symbolic link or a mount, bind
//! mounts included. Comparing `st_dev` instead would fail where a file system has several:
//! overlayfs, btrfs with subvolumes.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, fstat};

use crate::barrier::Barrier;
use crate::sys::file::{SUBVOLUME_TOP, make_subvolume_writable};

/// The flags beside each kind of access.
const FLAGS: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_CLOEXEC);
/// The flags to open a directory in order to list it.
const DIRECTORY: OFlag = FLAGS.union(OFlag::O_RDONLY).union(OFlag::O_DIRECTORY);
/// What is never crossed.
const RESOLVE: ResolveFlag = ResolveFlag::RESOLVE_NO_SYMLINKS.union(ResolveFlag::RESOLVE_NO_XDEV);

/// The identity of a file for as long as it is held open: device and inode number.
pub(super) type FileId = (u64, u64);

/// The identity in a file's status.
pub(super) fn file_id(stat: &FileStat) -> FileId {
    (stat.st_dev, stat.st_ino)
}

/// Opens the directory `name` in `parent` for reading. EXDEV is for a mount point, ELOOP or ENOTDIR
/// for a symbolic link, ENOTDIR for anything else.
pub(super) fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    open_beneath(parent, name, DIRECTORY)
}

/// Makes a directory that was just opened writable: the owner of a subvolume of btrfs may have made
/// it read-only.
pub(super) fn make_writable(dir: BorrowedFd<'_>, stat: &FileStat) {
    if stat.st_ino == SUBVOLUME_TOP {
        // ENOTTY says that this is no subvolume. Any other failure shows at the first change.
        make_subvolume_writable(dir).ok();
    }
}

/// Takes hold of `name` in `parent` without opening it: a FIFO does not block, a device does
/// nothing.
pub(super) fn open_entry(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    open_beneath(parent, name, FLAGS | OFlag::O_PATH)
}

fn open_beneath(parent: BorrowedFd<'_>, name: &CStr, flags: OFlag) -> Result<OwnedFd, Errno> {
    if !Barrier::WalkWithoutLinks.stands() {
        let how = OpenHow::new().flags(flags - OFlag::O_NOFOLLOW);
        return openat2(parent, name, how);
    }
    let resolve = RESOLVE | ResolveFlag::RESOLVE_BENEATH;
    openat2(parent, name, OpenHow::new().flags(flags).resolve(resolve))
}

/// Opens the parent of `dir`, which must be the directory `id`: `dir` may have been moved
/// elsewhere.
pub(super) fn open_parent(dir: BorrowedFd<'_>, id: FileId) -> Option<OwnedFd> {
    let parent = openat2(dir, c"..", OpenHow::new().flags(DIRECTORY).resolve(RESOLVE)).ok()?;
    let stat = fstat(&parent).ok()?;
    (file_id(&stat) == id).then_some(parent)
}
