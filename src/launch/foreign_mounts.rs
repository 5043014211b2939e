//! Directories of a caller in a mount namespace of their own, such as that of a service with
//! `PrivateTmp=yes`. The kernel copies a mount only for a process in the mount's own namespace.
//!
//! A child enters that namespace for this alone, and looks up nothing there: what counts is the
//! descriptor that was opened with the caller's rights, and the kernel refuses it if it is from a
//! third namespace. The keeper itself stays where it is.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, fstat};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::barrier::Barrier;
use crate::sys::process::exit_now;
use crate::sys::vfork::vfork_into;
use crate::sys::{mount, namespace, socket};

/// Why a mount cannot be copied in the namespace of its owner.
#[derive(Debug)]
pub(super) enum ForeignError {
    /// The namespace is the keeper's own: that is not the reason.
    NotForeign,
    /// The namespace belongs to a user namespace. There the mounts may be anybody's.
    UserNamespace,
    /// A call failed.
    System(io::Error),
}

impl fmt::Display for ForeignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotForeign => f.write_str("it is in no mount namespace that can be entered"),
            Self::UserNamespace => f.write_str(
                "the calling process is in a user namespace (a container without root, bwrap, unshare -U), and what is \
                 mounted there is not shown to programs: call isolate-run outside of it",
            ),
            Self::System(error) => write!(
                f,
                "the calling process has a mount namespace of its own, and a copy cannot be made there: {error}"
            ),
        }
    }
}

impl std::error::Error for ForeignError {}

impl From<Errno> for ForeignError {
    fn from(errno: Errno) -> Self {
        Self::System(errno.into())
    }
}

impl From<io::Error> for ForeignError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Copies the mount at `at`, if `recursive` with everything below, in the mount namespace of the
/// process behind `pidfd`. The calling process must have one thread only.
pub(super) fn copy_tree(
    at: BorrowedFd<'_>,
    pidfd: BorrowedFd<'_>,
    recursive: bool,
) -> Result<OwnedFd, ForeignError> {
    let (ours, childs) = socket::pair()?;
    // What is true of a child that is killed.
    let mut outcome = Err(io::Error::from_raw_os_error(libc::ECHILD).into());
    let child = vfork_into(None, &mut || {
        outcome = copy_as(at, pidfd, recursive)
            .and_then(|tree| Ok(socket::send(childs.as_fd(), &[0], Some(tree.as_fd()))?));
        exit_now(0)
    })?;
    waitpid(Pid::from_raw(child), None)?;
    outcome?;
    drop(childs);
    let (_, tree) = socket::receive(ours.as_fd(), &mut [0])?;
    tree.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF).into())
}

/// The child's part.
fn copy_as(
    at: BorrowedFd<'_>,
    pidfd: BorrowedFd<'_>,
    recursive: bool,
) -> Result<OwnedFd, ForeignError> {
    // This directory is that of the calling process, and of the host's /proc.
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let namespaces = open("/proc/self/ns", flags, Mode::empty())?;
    let current = |name: &str| {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        openat(&namespaces, name, flags, Mode::empty())
    };
    let number = |namespace: &OwnedFd| fstat(namespace).map(|found| (found.st_dev, found.st_ino));
    let (before, users) = (number(&current("mnt")?)?, number(&current("user")?)?);
    namespace::enter_mounts_of(pidfd)?;
    let mounts = current("mnt")?;
    if number(&mounts)? == before {
        return Err(ForeignError::NotForeign);
    }
    let owner = number(&namespace::owner(mounts.as_fd())?)?;
    if owner != users && Barrier::MountsOfUsers.stands() {
        return Err(ForeignError::UserNamespace);
    }
    Ok(mount::copy_tree(at, recursive)?)
}
