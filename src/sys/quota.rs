//! quotactl_fd(2): disk quotas of the file system that a descriptor lies on, without knowing its
//! device.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// Quotas of users. `libc` has the commands, but not this.
const USRQUOTA: libc::c_int = 0;

/// Sets the limits of `uid` on the file system of `fd`: blocks of 1 KiB and inodes; 0 is no limit.
/// Soft and hard limits are the same, so that there is no time of grace.
pub(crate) fn set_user_quota(
    fd: BorrowedFd<'_>,
    uid: u32,
    blocks: u64,
    inodes: u64,
) -> io::Result<()> {
    let quota = libc::dqblk {
        dqb_bhardlimit: blocks,
        dqb_bsoftlimit: blocks,
        dqb_ihardlimit: inodes,
        dqb_isoftlimit: inodes,
        dqb_valid: libc::QIF_LIMITS,
        ..no_quota()
    };
    // SAFETY: Q_SETQUOTA reads a `struct if_dqblk`, which `quota` is for the length of the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            fd.as_raw_fd(),
            libc::QCMD(libc::Q_SETQUOTA, USRQUOTA),
            uid,
            &raw const quota,
        )
    };
    check(result).map(drop)
}

/// Whether `uid` has a limit on the file system of `fd`; ESRCH and the like where nobody has one.
pub(crate) fn has_user_quota(fd: BorrowedFd<'_>, uid: u32) -> io::Result<bool> {
    let mut quota = no_quota();
    // SAFETY: Q_GETQUOTA writes a `struct if_dqblk`, which `quota` is for the length of the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            fd.as_raw_fd(),
            libc::QCMD(libc::Q_GETQUOTA, USRQUOTA),
            uid,
            &raw mut quota,
        )
    };
    check(result)?;
    Ok(quota.dqb_bhardlimit > 0 || quota.dqb_ihardlimit > 0)
}

/// Whether quotas of users are in force on the file system of `fd`: an error says why not. Anybody
/// may ask.
pub(crate) fn look_for_user_quotas(fd: BorrowedFd<'_>) -> io::Result<()> {
    // As large as `struct if_dqinfo`: two 64-bit numbers, then two of 32 bits.
    let mut info = [0_u64; 3];
    // SAFETY: Q_GETINFO writes a `struct if_dqinfo`, for which there is room for the length of the
    // call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            fd.as_raw_fd(),
            libc::QCMD(libc::Q_GETINFO, USRQUOTA),
            0,
            &raw mut info,
        )
    };
    check(result).map(drop)
}

/// A `struct if_dqblk` in which nothing is set.
fn no_quota() -> libc::dqblk {
    // SAFETY: a plain C structure of integers, for which all zeros is a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_file_system_without_quotas_refuses_them() {
        let proc = File::open("/proc").unwrap();
        assert!(set_user_quota(proc.as_fd(), 60_000, 1, 1).is_err());
        assert!(look_for_user_quotas(proc.as_fd()).is_err());
        assert!(has_user_quota(proc.as_fd(), 60_000).is_err());
    }
}
