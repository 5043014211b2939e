//! A process that shares its parent's memory until it becomes another program.
//!
//! fork(2) copies the page tables, faults at every page that either of the two touches afterwards, and drops the copy
//! at execve(2): all of that would be in the program's CPU time and in its cgroup's memory, and it takes longer than
//! everything else between the two. vfork(2) does none of it, but cannot put the child straight into a cgroup.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_void, clone_args, pid_t};

use super::process::CLONE_INTO_CGROUP;

/// What the child does; it must end by execve(2) or `_exit`.
type Life<'a> = &'a mut dyn FnMut() -> Infallible;

/// Makes a child, straight in a cgroup if one is given (`CLONE_INTO_CGROUP`, Linux 5.7), and returns when it has become
/// another program or has ended: its number in the caller's PID namespace.
///
/// Until then `life` runs in it, in the caller's memory and on the caller's stack, below what the caller has there, while
/// the caller stands still in the kernel, where only SIGKILL reaches it. Descriptors, ids, limits, working directory,
/// signal dispositions and mask are the child's own. What it changes in memory stays changed; what it allocates and does
/// not free stays allocated. The caller must have one thread only: nothing else may run in this memory meanwhile.
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
    let result = unsafe { raw_clone(&raw mut args, (&raw mut life).cast(), live) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(
            i32::try_from(-result).unwrap_or(libc::EINVAL),
        ));
    }
    Ok(result as pid_t)
}

/// In the child.
extern "C" fn live(life: *mut c_void) -> ! {
    // SAFETY: it is what vfork_into passed on, whose caller stands still.
    let life = unsafe { &mut *life.cast::<Life<'_>>() };
    match life() {}
}

/// clone3(2) without a stack for the child: its stack pointer is the caller's. It calls `child(data)` right there, and so
/// writes to nothing that the caller still has on the stack; were clone3 a function that returns twice, as libc's
/// `syscall` would be, the child would write over the caller's way back. Returns as the kernel does: -1 to -4095 is an
/// errno.
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
    // SAFETY: the kernel changes rax, rcx and r11 alone. The stack is aligned for a call, and what lies below the stack
    // pointer is free: without `nostack` the compiler keeps nothing there.
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

/// The same.
///
/// # Safety
///
/// The same.
#[cfg(target_arch = "aarch64")]
unsafe fn raw_clone(
    args: *mut clone_args,
    data: *mut c_void,
    child: extern "C" fn(*mut c_void) -> !,
) -> i64 {
    let result;
    // SAFETY: the kernel changes x0 alone; the rest as above.
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
