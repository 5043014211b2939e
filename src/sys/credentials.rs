//! Acting for the caller, and giving up root for good.

use std::io;

use libc::{gid_t, uid_t};

use super::check;

/// The last capability that any kernel of today knows is CAP_CHECKPOINT_RESTORE (40); asking about
/// one that it does not know fails with EINVAL, which ends the loop in [`drop_bounding_set`].
const HIGHEST_CAPABILITY: i32 = 63;

/// Runs `action` with the file-system identity of another user: fsuid, fsgid, no supplementary
/// groups. Leaving fsuid 0 takes CAP_DAC_OVERRIDE and its like away until it is 0 again
/// (capabilities(7), "Effect of user ID changes"), so paths are resolved with that user's rights.
///
/// Only for a process with one thread. If root's identity cannot be taken back, the process aborts.
pub(crate) fn act_as<T>(uid: uid_t, gid: gid_t, action: impl FnOnce() -> T) -> io::Result<T> {
    let groups = nix::unistd::getgroups()?;
    nix::unistd::setgroups(&[])?;
    set_fsgid(gid);
    set_fsuid(uid);
    let taken = (fsuid() == uid) && (fsgid() == gid);
    let result = taken.then(action);
    set_fsuid(0);
    set_fsgid(0);
    if fsuid() != 0 || nix::unistd::setgroups(&groups).is_err() {
        // Going on with half an identity would open root's files for the caller or the reverse.
        std::process::abort();
    }
    result.ok_or_else(|| io::Error::from_raw_os_error(libc::EPERM))
}

fn set_fsuid(uid: uid_t) -> uid_t {
    // SAFETY: takes and returns integers; it has no error, hence the check by fsuid().
    (unsafe { libc::setfsuid(uid) }) as uid_t
}

fn set_fsgid(gid: gid_t) -> gid_t {
    // SAFETY: takes and returns integers; it has no error, hence the check by fsgid().
    (unsafe { libc::setfsgid(gid) }) as gid_t
}

/// The current fsuid: an impossible id changes nothing and returns it (setfsuid(2)).
fn fsuid() -> uid_t {
    set_fsuid(uid_t::MAX)
}

fn fsgid() -> gid_t {
    set_fsgid(gid_t::MAX)
}

/// Empties the capability bounding set. Needs CAP_SETPCAP, so it comes before the uid changes.
pub(crate) fn drop_bounding_set() -> io::Result<()> {
    for capability in 0..=HIGHEST_CAPABILITY {
        // SAFETY: all arguments are integers.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        match check(result.into()) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && capability > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Empties the permitted, effective and inheritable sets of the calling thread.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    set_capabilities(0)
}

/// Keeps CAP_KILL and nothing else.
pub(crate) fn keep_only_kill() -> io::Result<()> {
    const CAP_KILL: u32 = 5;
    set_capabilities(1 << CAP_KILL)
}

/// Sets the permitted and effective sets to the given ones of the first 32 capabilities, and the
/// inheritable set to none (capset(2)).
fn set_capabilities(kept: u32) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    let header = Header {
        version: LINUX_CAPABILITY_VERSION_3,
        pid: 0,
    };
    // Effective, permitted, inheritable, and the same for capabilities 32 and up.
    let data: [u32; 6] = [kept, kept, 0, 0, 0, 0];
    // SAFETY: header and data have the layout that version 3 prescribes and outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    check(result).map(drop)
}

/// Installs a system call filter for the calling thread and all its descendants (seccomp(2)). Needs
/// no_new_privs or CAP_SYS_ADMIN.
pub(crate) fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel only reads the program, which has `len` instructions and outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    check(result).map(drop)
}
