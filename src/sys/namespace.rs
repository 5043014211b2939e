//! The namespaces of other processes: setns(2), ioctl_ns(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_ulong};
use nix::sched::{CloneFlags, setns};

use super::check;

/// From linux/nsfs.h.
const NS_GET_USERNS: c_ulong = 0xb701;

/// Goes into the mount namespace of the process behind this descriptor (Linux 5.8), with its root
/// as root and working directory. Takes what ptrace(2) takes, and CAP_SYS_ADMIN in the user
/// namespace that owns it. ESRCH when the process has ended.
pub(crate) fn enter_mounts_of(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setns(pidfd, CloneFlags::CLONE_NEWNS)?)
}

/// The user namespace that owns this namespace. EPERM when it is not ours or one below.
pub(crate) fn owner(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the call takes no argument and touches no memory.
    let result = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS as _) };
    let raw = check(result.into())? as c_int;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
