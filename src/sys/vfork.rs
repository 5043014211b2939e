//! A process that shares its parent's memory until it becomes another program.
//!
//! fork(2) copies the page tables, faults at every page that either process touches afterwards, and
//! drops the copy at execve(2). All of that would count in the program's CPU time and in its
//! cgroup's memory, and it takes longer than everything else in between. vfork(2) avoids it, but
//! cannot put the child straight into a cgroup.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_void, clone_args, pid_t};

use super::process::CLONE_INTO_CGROUP;
#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
use super::process::{Cloned, clone};

/// What the child does. It must end by execve(2) or `_exit`.
type Life<'a> = &'a mut dyn FnMut() -> Infallible;

/// Makes a child, straight in a cgroup if one is given (`CLONE_INTO_CGROUP`, Linux 5.7). Returns
/// its number in the caller's PID namespace once it has become another program or has ended. Until
/// then the caller stands still in the kernel, where only SIGKILL reaches it.
///
/// Meanwhile `life` runs in the child, in the caller's memory and on its stack, below what the
/// caller has there. What it changes in memory stays changed, and what it allocates and does not
/// free stays allocated. Descriptors, ids, limits, working directory, signal dispositions and mask
/// are its own.
///
/// The caller must have one thread: another one would go on in the same memory, and the child would
/// wait for its locks.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) fn vfork_into(cgroup: Option<BorrowedFd<'_>>, life: Life<'_>) -> io::Result<pid_t> {
    // SAFETY: clone_args is plain integers, for which all zeroes is a value.
    let mut args: clone_args = unsafe { std::mem::zeroed() };
    args.flags = (libc::CLONE_VM | libc::CLONE_VFORK) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    let mut life = life;
    // SAFETY: args and life outlive the call, during which nobody else touches them.
    super::cloned(unsafe { raw_clone(&raw mut args, (&raw mut life).cast(), live) })
}

/// Makes a child with a copy of the memory, on machines for which there is no assembly language
/// here.
#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn fork_into(cgroup: Option<BorrowedFd<'_>>, life: Life<'_>) -> io::Result<pid_t> {
    match clone(libc::CLONE_VFORK, cgroup)? {
        Cloned::Child => live_on(life),
        Cloned::Parent { pid, .. } => Ok(pid),
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use fork_into as vfork_into;

/// Runs in the child.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
extern "C" fn live(life: *mut c_void) -> ! {
    // SAFETY: this is what vfork_into passed on, whose caller stands still.
    live_on(unsafe { &mut *life.cast::<Life<'_>>() })
}

#[allow(unreachable_code, reason = "older compilers warn of what is the proof")]
fn live_on(life: Life<'_>) -> ! {
    match life() {}
}

/// clone3(2) without a stack for the child, whose stack pointer is the caller's. It calls
/// `child(data)` right there, so the child writes to nothing that the caller has on the stack;
/// after a function that returns twice, like libc's `syscall`, it would overwrite the caller's
/// return address.
///
/// Returns as the kernel does: -1 to -4095 is an errno.
///
/// # Safety
///
/// `args` must be without a stack and with CLONE_VM and CLONE_VFORK; `child` must take `data`.
#[cfg(target_arch = "x86_64")]
unsafe fn raw_clone(
    args: *mut clone_args,
    data: *mut c_void,
    child: extern "C" fn(*mut c_void) -> !,
) -> i64 {
    let result;
    // SAFETY: the kernel changes only rax, rcx and r11. The stack is aligned for a call, and
    // everything below the stack pointer is free: without `nostack` the compiler keeps nothing
    // there.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov rdi, {data}",
            "call {child}",
            "ud2",
            "2:",
            data = in(reg) data,
            child = in(reg) child,
            inout("rax") libc::SYS_clone3 => result,
            in("rdi") args,
            in("rsi") size_of::<clone_args>(),
            out("rcx") _,
            out("r11") _,
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
unsafe fn raw_clone(
    args: *mut clone_args,
    data: *mut c_void,
    child: extern "C" fn(*mut c_void) -> !,
) -> i64 {
    let result;
    // SAFETY: the kernel changes only x0; the rest is as for the other machine.
    unsafe {
        std::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x0, {data}",
            "blr {child}",
            "brk #1",
            "2:",
            data = in(reg) data,
            child = in(reg) child,
            in("x8") libc::SYS_clone3,
            inout("x0") args => result,
            in("x1") size_of::<clone_args>(),
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;

    use super::*;
    use crate::sys::process::exit_now;

    // Other tests go on in other threads, which do not harm a child that takes none of their locks.
    #[test]
    fn the_child_lives_in_the_callers_memory_until_it_ends() {
        let mut told = vec![1];
        let pid = vfork_into(None, &mut || {
            told.push(2);
            exit_now(7)
        });
        let pid = Pid::from_raw(pid.unwrap());
        assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 7)));
        assert_eq!(told, [1, 2]);
    }

    #[test]
    fn a_child_with_memory_of_its_own_does_the_same() {
        let mut told = vec![1];
        let pid = fork_into(None, &mut || {
            told.push(2);
            exit_now(told.len().try_into().unwrap())
        });
        let pid = Pid::from_raw(pid.unwrap());
        assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 2)));
        assert_eq!(told, [1]);
    }

    #[test]
    fn what_is_no_cgroup_is_refused() {
        use std::os::fd::AsFd;
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert!(vfork_into(Some(file.as_fd()), &mut || exit_now(0)).is_err());
    }
}
