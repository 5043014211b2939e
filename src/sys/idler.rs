//! A process that is there for the namespaces it is in, and does nothing.
//!
//! It shares the memory of the process that made it, whose page tables are not copied for it, and
//! writes nowhere: it has no stack of its own, and calls nothing that would use one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libc::{c_int, pid_t};

#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
use super::process::{Cloned, clone, exit_now};

/// From linux/sched.h; libc's constant of this name has the wrong type.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// The process.
#[derive(Debug)]
pub(crate) struct Idler {
    /// Its number in the PID namespace of its maker.
    pub(crate) pid: pid_t,
    /// A descriptor of it; readable when it has ended.
    pub(crate) pidfd: OwnedFd,
}

impl Idler {
    /// Makes one in the new namespaces that these `CLONE_NEW…` flags name. It ends when nobody has
    /// `writes` open any more, which is the other end of the pipe `reads`: when the calling process
    /// has closed it, or has ended. Nothing may be written there.
    ///
    /// It is to be waited for as a child. Where there is no assembly language for the machine, it
    /// has a copy of the memory, and the calling process must have one thread.
    pub(crate) fn until_closed(
        namespaces: c_int,
        reads: OwnedFd,
        writes: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let (pid, pidfd) = clone_off(namespaces, reads.as_fd(), writes)?;
        Ok(Self { pid, pidfd })
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn clone_off(
    namespaces: c_int,
    reads: BorrowedFd<'_>,
    writes: BorrowedFd<'_>,
) -> io::Result<(pid_t, OwnedFd)> {
    use std::os::fd::FromRawFd;

    let mut pidfd: c_int = -1;
    // SAFETY: clone_args is plain integers, for which all zeroes is a value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    // A handler of the caller's would run on the caller's stack.
    let flags = libc::CLONE_VM | libc::CLONE_PIDFD;
    args.flags = flags as u64 | namespaces as u32 as u64 | CLONE_CLEAR_SIGHAND;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: args and the pidfd that it points to live until the call returns here.
    let result = unsafe { raw_clone(&raw mut args, reads.as_raw_fd(), writes.as_raw_fd()) };
    let pid = super::cloned(result)?;
    // SAFETY: the kernel stored a new descriptor, which nobody else has.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// clone3(2), and in the child close(2) of `writes`, read(2) of `reads` until its end, and
/// exit_group(2): calls that take no memory. What is read has nowhere to go, so there must be
/// nothing.
///
/// Returns as the kernel does: -1 to -4095 is an errno.
///
/// # Safety
///
/// `args` must be without a stack, and with CLONE_VM and CLONE_CLEAR_SIGHAND.
#[cfg(target_arch = "x86_64")]
unsafe fn raw_clone(args: *mut libc::clone_args, reads: c_int, writes: c_int) -> i64 {
    let result;
    // SAFETY: the kernel changes only rax, rcx and r11. The child uses registers alone, and does
    // not return.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov eax, {close}",
            "mov edi, {writes:e}",
            "syscall",
            "xor eax, eax", // SYS_read
            "mov edi, {reads:e}",
            "xor esi, esi",
            "mov edx, 1",
            "syscall",
            "mov eax, {exit}",
            "xor edi, edi",
            "syscall",
            "ud2",
            "2:",
            close = const libc::SYS_close,
            exit = const libc::SYS_exit_group,
            reads = in(reg) reads,
            writes = in(reg) writes,
            inout("rax") libc::SYS_clone3 => result,
            inout("rdi") args => _,
            inout("rsi") size_of::<libc::clone_args>() => _,
            out("rdx") _,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result
}

/// As for the other machine.
///
/// # Safety
///
/// As for the other machine.
#[cfg(target_arch = "aarch64")]
unsafe fn raw_clone(args: *mut libc::clone_args, reads: c_int, writes: c_int) -> i64 {
    let result;
    // SAFETY: the kernel changes only x0; the rest is as for the other machine.
    unsafe {
        std::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov w0, {writes:w}",
            "mov x8, {close}",
            "svc #0",
            "mov w0, {reads:w}",
            "mov x1, #0",
            "mov x2, #1",
            "mov x8, {read}",
            "svc #0",
            "mov x0, #0",
            "mov x8, {exit}",
            "svc #0",
            "brk #1",
            "2:",
            close = const libc::SYS_close,
            read = const libc::SYS_read,
            exit = const libc::SYS_exit_group,
            reads = in(reg) reads,
            writes = in(reg) writes,
            inout("x8") libc::SYS_clone3 => _,
            inout("x0") args => result,
            inout("x1") size_of::<libc::clone_args>() => _,
            out("x2") _,
            options(nostack),
        );
    }
    result
}

/// The same with a copy of the memory, on machines for which there is no assembly language here.
#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn fork_off(
    namespaces: c_int,
    reads: BorrowedFd<'_>,
    writes: BorrowedFd<'_>,
) -> io::Result<(pid_t, OwnedFd)> {
    match clone(namespaces, None)? {
        Cloned::Child => {
            // SAFETY: this process has nothing more to do with it.
            unsafe { libc::close(writes.as_raw_fd()) };
            nix::unistd::read(reads, &mut [0]).ok();
            exit_now(0)
        }
        Cloned::Parent { pid, pidfd } => Ok((pid, pidfd)),
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use fork_off as clone_off;

#[cfg(test)]
mod tests {
    use nix::fcntl::OFlag;
    use nix::unistd::pipe2;

    use super::*;
    use crate::sys::process::{Exit, has_ended, wait_for};

    #[test]
    fn it_ends_when_the_other_end_is_closed_and_not_before() {
        for make in [clone_off, fork_off] {
            let (reads, writes) = pipe2(OFlag::O_CLOEXEC).unwrap();
            let (pid, pidfd) = make(0, reads.as_fd(), writes.as_fd()).unwrap();
            assert!(pid > 0);
            drop(reads);
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!has_ended(pidfd.as_fd()).unwrap());
            drop(writes);
            assert_eq!(wait_for(pidfd.as_fd()).unwrap(), Exit::Code(0));
        }
    }

    #[test]
    fn namespaces_that_cannot_be_made_are_an_error() {
        let (reads, writes) = pipe2(OFlag::O_CLOEXEC).unwrap();
        // The kernel makes no process that shares a directory with one of another user namespace.
        let both = libc::CLONE_NEWUSER | libc::CLONE_FS;
        assert!(Idler::until_closed(both, reads, writes.as_fd()).is_err());
    }
}
