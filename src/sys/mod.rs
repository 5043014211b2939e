//! System calls that libc or nix do not wrap, or wrap too widely: the only place with `unsafe`.
//!
//! Each function makes one call, takes and returns descriptors as owned or borrowed types, and
//! returns the errno as an [`io::Error`]. Its caller says what the call was *for*.
#![allow(unsafe_code)]

pub(crate) mod bpf;
pub(crate) mod credentials;
pub(crate) mod descriptors;
pub(crate) mod exec;
pub(crate) mod file;
pub(crate) mod idler;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod network;
pub(crate) mod packet;
pub(crate) mod poll;
pub(crate) mod priority;
pub(crate) mod process;
pub(crate) mod quota;
pub(crate) mod range_lock;
pub(crate) mod signals;
pub(crate) mod socket;
pub(crate) mod start;
pub(crate) mod time;
pub(crate) mod vfork;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use libc::c_long;

/// Turns what the kernel itself returns of a clone, where no libc is in between, into the number of
/// the process or the errno, which is -1 to -4095.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn cloned(result: i64) -> io::Result<libc::pid_t> {
    match libc::pid_t::try_from(result) {
        Ok(pid) if pid >= 0 => Ok(pid),
        Ok(errno) => Err(io::Error::from_raw_os_error(-errno)),
        Err(_) => Err(io::Error::from_raw_os_error(libc::EOVERFLOW)),
    }
}

/// Turns the result of a raw system call into its value or the errno.
fn check(result: c_long) -> io::Result<c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Takes the descriptor out of the result of a raw system call that makes one.
fn owned(result: c_long) -> io::Result<OwnedFd> {
    let made = check(result)?;
    let made = RawFd::try_from(made).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}
