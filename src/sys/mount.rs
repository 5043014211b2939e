//! The mount calls that work on descriptors: open_tree(2), move_mount(2), fsopen(2), fsmount(2),
//! mount_setattr(2) (Linux 5.2 and 5.12).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use libc::{c_int, c_uint};

use super::{check, owned};

/// Mount attributes, `MOUNT_ATTR_…` of mount_setattr(2).
pub(crate) type Attributes = u64;

const FSCONFIG_SET_STRING: c_uint = 1;
const FSCONFIG_CMD_CREATE: c_uint = 6;
const FSOPEN_CLOEXEC: c_uint = 1;
const FSMOUNT_CLOEXEC: c_uint = 1;
const MOVE_MOUNT_F_EMPTY_PATH: c_uint = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: c_uint = 0x40;

/// Copies the mount at the directory or file `at` as a detached tree, if `recursive` with what is
/// mounted below it. The mount must be in the caller's mount namespace.
pub(crate) fn copy_tree(at: BorrowedFd<'_>, recursive: bool) -> io::Result<OwnedFd> {
    open_tree(at.as_raw_fd(), c"", libc::AT_EMPTY_PATH, recursive)
}

/// Copies the mount at an absolute path that nobody untrusted chose, if `recursive` with all that
/// is mounted below.
pub(crate) fn copy_tree_at(path: &CStr, recursive: bool) -> io::Result<OwnedFd> {
    open_tree(libc::AT_FDCWD, path, libc::AT_SYMLINK_NOFOLLOW, recursive)
}

fn open_tree(dir: c_int, path: &CStr, flags: c_int, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = flags as c_uint | libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= libc::AT_RECURSIVE as c_uint;
    }
    // SAFETY: path is null-terminated and outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, dir, path.as_ptr(), flags) })
}

/// Attaches a detached mount on the directory or file `path` below `dir`, or on `dir` itself when
/// `path` is empty.
pub(crate) fn attach(mount: BorrowedFd<'_>, dir: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    // SAFETY: both paths are null-terminated and outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            dir.as_raw_fd(),
            path.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    };
    check(result).map(drop)
}

/// Makes a file system of the kernel with these options, as a detached mount.
pub(crate) fn new_file_system(
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: Attributes,
) -> io::Result<OwnedFd> {
    // SAFETY: kind is null-terminated and outlives the call.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    for (key, value) in options {
        configure(&context, FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())?;
    }
    configure(
        &context,
        FSCONFIG_CMD_CREATE,
        std::ptr::null(),
        std::ptr::null(),
    )?;
    // SAFETY: all arguments are integers.
    owned(unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            attributes as c_uint,
        )
    })
}

/// fsconfig(2). It takes pointers because two of its forms have no strings, and is private for that
/// reason.
fn configure(
    context: &OwnedFd,
    command: c_uint,
    key: *const libc::c_char,
    value: *const libc::c_char,
) -> io::Result<()> {
    // SAFETY: the two callers above pass null-terminated strings that outlive the call, or null
    // where the command takes none.
    let result = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            command,
            key,
            value,
            0,
        )
    };
    check(result).map(drop)
}

/// What to change about a mount.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Change {
    /// Attributes to set.
    pub(crate) set: Attributes,
    /// Attributes to clear.
    pub(crate) clear: Attributes,
    /// Whether the mounts below change too: all of them, or none if one of them cannot.
    pub(crate) recursive: bool,
}

/// Changes the attributes of the mount whose root is `path` below `dir`, and cuts it off from
/// propagation in both directions (`MS_PRIVATE`): what is mounted outside later does not show up
/// inside, nor the reverse.
pub(crate) fn change(dir: BorrowedFd<'_>, path: &CStr, change: Change) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    set_attributes(dir, path, attributes, change.recursive)
}

/// Shows the files of a detached tree with other owners: those that the map of this user namespace
/// makes of those on disk. Needs a file system that can (EINVAL otherwise), and a mount without
/// such a map. If `recursive`, the mounts below are mapped too: all of them, or none if one cannot.
pub(crate) fn map_ids(
    tree: BorrowedFd<'_>,
    users: BorrowedFd<'_>,
    recursive: bool,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: users.as_raw_fd() as u64,
    };
    set_attributes(tree, c"", attributes, recursive)
}

/// mount_setattr(2).
fn set_attributes(
    dir: BorrowedFd<'_>,
    path: &CStr,
    attributes: libc::mount_attr,
    recursive: bool,
) -> io::Result<()> {
    let mut flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: path is null-terminated; attributes has the size given and outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    check(result).map(drop)
}
