//! What happens to the calling process by signals: their dispositions (signal(7)).

use std::io;

use nix::sys::signal::Signal;

use super::check;

/// Whether the calling process ignores a signal, as a caller may have arranged who wants no effect
/// of it: nohup(1), or a shell without job control for what it starts in the background.
pub(crate) fn is_ignored(signal: Signal) -> io::Result<bool> {
    // SAFETY: sigaction is plain integers and pointers, for which all zeroes is a value.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is set, and the structure outlives the call.
    let result = unsafe { libc::sigaction(signal as i32, std::ptr::null(), &raw mut now) };
    check(result.into())?;
    Ok(now.sa_sigaction == libc::SIG_IGN)
}

/// Sets the default disposition of SIGCHLD. If a caller ignores the signal and passes that on, the
/// kernel takes our children away before we can wait for them (waitpid(2), NOTES).
pub(crate) fn wait_for_children() {
    // SAFETY: SIG_DFL runs no code of ours, and SIGCHLD may have any disposition.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Sets the default disposition of every signal of the calling process that can have another one.
/// This needs the raw system call: libc refuses its own two signals, which a caller may have left
/// ignored.
pub(crate) fn reset_signal_dispositions() {
    // The kernel's struct sigaction: handler SIG_DFL, no flags, no restorer, an empty mask.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: SIG_DFL runs no code; the array has the kernel's layout and outlives the call.
        // KILL and STOP are refused, and have the default disposition anyway.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                0_usize,
                8_usize,
            )
        };
    }
}
