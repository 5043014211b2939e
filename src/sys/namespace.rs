//! Namespaces of other processes, and user namespaces for their maps of ids: setns(2), ioctl_ns(2),
//! user_namespaces(7).

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libc::c_ulong;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};
use nix::unistd::pipe2;

use super::idler::Idler;
use super::process::Ending;
use super::{check, owned};

/// From linux/nsfs.h.
const NS_GET_USERNS: c_ulong = 0xb701;

/// Goes into the mount namespace of the process behind this descriptor (Linux 5.8), with its root
/// as root and working directory. Takes what ptrace(2) takes, and CAP_SYS_ADMIN in the user
/// namespace that owns it. ESRCH when the process has ended.
pub(crate) fn enter_mounts_of(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setns(pidfd, CloneFlags::CLONE_NEWNS)?)
}

/// Sets the name of the domain in the UTS namespace of this process (setdomainname(2)): EINVAL
/// above 64 bytes, EPERM without rights over the namespace.
///
/// Whoever reads the name of the host from /proc is woken when that is set, in whichever namespace,
/// and services such as systemd-journald do. Nobody waits for this one.
pub(crate) fn set_domain_name(name: &str) -> io::Result<()> {
    // SAFETY: the call reads as many bytes as it is told, which live until it returns.
    let result = unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) };
    check(result.into()).map(drop)
}

/// The user namespace that owns this namespace. EPERM when it is not ours or one below.
pub(crate) fn owner(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the call takes no argument and touches no memory.
    let result = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS as _) };
    owned(result.into())
}

/// A user namespace with these maps, each a text for `/proc/PID/uid_map` and `gid_map`. It has no
/// processes, or one that is ending.
///
/// The process in it shares the memory of the calling one, whose page tables need not be copied.
pub(crate) fn with_ids(uids: &str, gids: &str) -> io::Result<UserNamespace> {
    // The maps are written from outside, by somebody with rights over all these ids.
    let (theirs, ours) = pipe2(OFlag::O_CLOEXEC)?;
    let Idler { pid, pidfd } = Idler::until_closed(libc::CLONE_NEWUSER, theirs, ours.as_fd())?;
    // Whatever fails from here on, it ends when `ours` is closed, and is waited for after that.
    let ending = Ending(pidfd);
    let at = |name: &str| format!("/proc/{pid}/{name}");
    let namespace = fs::write(at("uid_map"), uids)
        .and_then(|()| fs::write(at("gid_map"), gids))
        .and_then(|()| File::open(at("ns/user")));
    drop(ours);
    Ok(UserNamespace {
        namespace: namespace?.into(),
        _maker: ending,
    })
}

/// A user namespace that was made for its maps.
#[derive(Debug)]
pub(crate) struct UserNamespace {
    namespace: OwnedFd,
    _maker: Ending,
}

impl AsFd for UserNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}
