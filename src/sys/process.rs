//! Making, waiting for and killing processes by descriptor.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use libc::{c_int, pid_t};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use serde::{Deserialize, Serialize};

use super::poll::{self, readable};
use super::{check, owned};

/// From linux/sched.h; libc's constant of this name has the wrong type.
pub(super) const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The two sides of a [`clone`].
#[derive(Debug)]
pub(crate) enum Cloned {
    /// This is the new process.
    Child,
    /// This is the process that called.
    Parent {
        /// The new process, as seen in the caller's PID namespace.
        pid: pid_t,
        /// A descriptor of the new process; readable when it has ended (pidfd_open(2)).
        pidfd: OwnedFd,
    },
}

/// Clones the calling process with these `CLONE_NEW…` flags (clone(2)), straight into a cgroup if
/// one is given (`CLONE_INTO_CGROUP`, Linux 5.7): nothing is charged elsewhere first, and unlike a
/// write to `cgroup.procs` it waits for no grace period.
///
/// The child has a copy of everything, as with fork(2). The caller must have one thread: the locks
/// of another one would stay taken in the child for ever.
pub(crate) fn clone(flags: c_int, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: c_int = -1;
    // SAFETY: clone_args is plain integers, for which all zeroes is a value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags as u32 as u64 | libc::CLONE_PIDFD as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child runs on its own copy of this stack, as after fork(2); args
    // and the pidfd that it points to live until the call returns.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) })?;
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: the kernel stored a new descriptor, which nobody else has.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent {
        pid: pid as pid_t,
        pidfd,
    })
}

/// A descriptor of a process (pidfd_open(2), Linux 5.3). Another process may have the number by
/// now.
pub(crate) fn pidfd_of(pid: pid_t) -> io::Result<OwnedFd> {
    // SAFETY: all arguments are integers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Sends a signal to exactly the process behind `pidfd`; ESRCH when it is gone
/// (pidfd_send_signal(2)).
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: c_int) -> io::Result<()> {
    // SAFETY: all arguments are integers; a null siginfo means that of kill(2).
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(result).map(drop)
}

/// Waits for the end of a child and reaps it (waitid(2), P_PIDFD).
pub(crate) fn wait_for(pidfd: BorrowedFd<'_>) -> io::Result<Exit> {
    match waitid(Id::PIDFd(pidfd), WaitPidFlag::WEXITED)? {
        WaitStatus::Exited(_, code) => Ok(Exit::Code(code)),
        WaitStatus::Signaled(_, signal, _) => Ok(Exit::Signal(signal as i32)),
        // The call did not ask for anything else.
        _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
    }
}

/// A child that has ended, or ends soon: dropping this waits for it and reaps it.
#[derive(Debug)]
pub(crate) struct Ending(pub(crate) OwnedFd);

impl Drop for Ending {
    fn drop(&mut self) {
        wait_for(self.0.as_fd()).ok();
    }
}

/// Whether a process has ended (pidfd_open(2)).
pub(crate) fn has_ended(pidfd: BorrowedFd<'_>) -> io::Result<bool> {
    poll::is_so(readable(pidfd))
}

/// When a process was made, in ticks since the boot (proc_pid_stat(5)): together with its number
/// this is no other one.
pub(crate) fn start_time(pid: pid_t) -> io::Result<u64> {
    start_and_name(pid).map(|(start, _)| start)
}

/// The same, and the name of the process (prctl(2), PR_SET_NAME).
pub(crate) fn start_and_name(pid: pid_t) -> io::Result<(u64, Vec<u8>)> {
    // With room for all of it, or it would be asked for in pieces.
    let mut stat = Vec::with_capacity(1024);
    File::open(format!("/proc/{pid}/stat"))?.read_to_end(&mut stat)?;
    let unreadable = || io::Error::other("/proc is not readable");
    start_and_name_in(&stat).ok_or_else(unreadable)
}

fn start_and_name_in(stat: &[u8]) -> Option<(u64, Vec<u8>)> {
    let begin = stat.iter().position(|byte| *byte == b'(')? + 1;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let start = stat_field(std::str::from_utf8(&stat[end..]).ok()?, 22)?;
    Some((start, stat.get(begin..end)?.to_vec()))
}

/// A field of `/proc/PID/stat`, from the third on. The second one, the name, may hold anything.
pub(crate) fn stat_field(stat: &str, number: usize) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name
        .split_ascii_whitespace()
        .nth(number.checked_sub(3)?)?
        .parse()
        .ok()
}

/// Overwrites the arguments and the environment of the calling process, where others see them in
/// `/proc`.
pub(crate) fn forget_words() -> io::Result<()> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Fields 48 to 51: arg_start, arg_end, env_start, env_end.
    for first in [48, 50] {
        let (Some(start), Some(end)) = (stat_field(&stat, first), stat_field(&stat, first + 1))
        else {
            return Err(io::Error::other("/proc is not readable"));
        };
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
        // SAFETY: the kernel has put strings there, which stay writable; whoever reads them later
        // finds empty ones, each of which ends where it began.
        unsafe { std::ptr::write_bytes(start as *mut u8, 0, length) };
    }
    Ok(())
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

impl Exit {
    /// The exit code, if that is how it ended.
    pub(crate) fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(_) => None,
        }
    }

    /// The signal, if that is how it ended.
    pub(crate) fn signal(self) -> Option<i32> {
        match self {
            Self::Code(_) => None,
            Self::Signal(signal) => Some(signal),
        }
    }
}

/// Whether [`wait_any`] waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until a child ends.
    Block,
    /// Not at all.
    Look,
}

/// The result of waiting for any child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// This one ended, like this.
    Ended(pid_t, Exit),
    /// There are children, and none of them has ended.
    NotYet,
    /// There is none left.
    NoChild,
}

/// Waits for any child and reaps it (waitpid(2)).
pub(crate) fn wait_any(wait: Wait) -> io::Result<Waited> {
    let options = match wait {
        Wait::Block => 0,
        Wait::Look => libc::WNOHANG,
    };
    loop {
        let mut status: c_int = 0;
        // SAFETY: status is written before the call returns and outlives it.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, options) };
        if pid == 0 {
            return Ok(Waited::NotYet);
        }
        if pid < 0 {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::ECHILD) => return Ok(Waited::NoChild),
                Some(libc::EINTR) => continue,
                _ => return Err(error),
            }
        }
        if libc::WIFEXITED(status) {
            return Ok(Waited::Ended(pid, Exit::Code(libc::WEXITSTATUS(status))));
        }
        if libc::WIFSIGNALED(status) {
            return Ok(Waited::Ended(pid, Exit::Signal(libc::WTERMSIG(status))));
        }
    }
}

/// The figures of getrusage(2) that are used here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResourceUsage {
    /// CPU time in user mode.
    pub(crate) user: Duration,
    /// CPU time in the kernel.
    pub(crate) system: Duration,
    /// The largest resident set of any one process, in KiB.
    pub(crate) max_rss_kib: u64,
    /// Context switches by waiting.
    pub(crate) voluntary_switches: u64,
    /// Context switches by the scheduler.
    pub(crate) forced_switches: u64,
}

/// Whose usage [`resource_usage`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UsageOf {
    /// The calling process.
    Myself,
    /// All descendants that were waited for.
    Children,
}

/// Reads getrusage(2).
pub(crate) fn resource_usage(of: UsageOf) -> io::Result<ResourceUsage> {
    let who = match of {
        UsageOf::Myself => libc::RUSAGE_SELF,
        UsageOf::Children => libc::RUSAGE_CHILDREN,
    };
    // SAFETY: rusage is plain integers, for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: usage is written before the call returns and outlives it.
    let result = unsafe { libc::getrusage(who, &raw mut usage) };
    check(result.into())?;
    let count = |value: libc::c_long| u64::try_from(value).unwrap_or(0);
    let time = |value: libc::timeval| {
        Duration::from_secs(count(value.tv_sec)) + Duration::from_micros(count(value.tv_usec))
    };
    Ok(ResourceUsage {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        max_rss_kib: count(usage.ru_maxrss),
        voluntary_switches: count(usage.ru_nvcsw),
        forced_switches: count(usage.ru_nivcsw),
    })
}

/// Closes every descriptor from 3 up except those in `kept` and `one_more` (close_range(2), Linux
/// 5.9). Their owners do not learn of it: the process must not use the others afterwards. Allocates
/// nothing.
pub(crate) fn close_all_but(kept: &[RawFd], one_more: BorrowedFd<'_>) -> io::Result<()> {
    let mut first = 3_u32;
    loop {
        let next_kept = kept
            .iter()
            .chain([&one_more.as_raw_fd()])
            .filter_map(|fd| u32::try_from(*fd).ok())
            .filter(|fd| *fd >= first)
            .min();
        let end = next_kept.unwrap_or(u32::MAX);
        if first < end {
            // SAFETY: all arguments are integers; the caller vouches for the descriptors.
            let result = unsafe { libc::syscall(libc::SYS_close_range, first, end - 1, 0) };
            check(result)?;
        }
        match next_kept.and_then(|kept| kept.checked_add(1)) {
            Some(next) => first = next,
            None => return Ok(()),
        }
    }
}

/// Makes a terminal that no session has the controlling terminal of the session that the calling
/// process leads (ioctl_tty(2), TIOCSCTTY). EPERM when another session has it.
pub(crate) fn take_terminal(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer and touches no memory; 0 means not to steal it.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }.into()).map(drop)
}

/// The descriptors above 2 that a program started by this process would inherit: those without
/// FD_CLOEXEC.
pub(crate) fn inheritable_descriptors() -> io::Result<Vec<RawFd>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // SAFETY: F_GETFD takes an integer and touches no memory; a number that is not open is an
        // error.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if number > 2 && flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            found.push(number);
        }
    }
    Ok(found)
}

/// Whether a process of our PID namespace, or of one below it, has this real uid (getpriority(2)).
/// The kernel knows at once of a user that has none; otherwise it looks at each thread, some 50 ns.
pub(crate) fn has_processes(uid: u32) -> io::Result<bool> {
    // SAFETY: no memory is passed. 0 would be the caller's own uid, which is 0 where that matters.
    let result = check(unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_USER, uid) });
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Ends the calling process at once, without running anything that the process it was cloned from
/// registered for its exit.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) does not return and touches no memory.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let numbers: Vec<String> = (4..=22).map(|number| number.to_string()).collect();
        for name in ["a", "a) S 1", "((", ") )"] {
            let stat = format!("17 ({name}) S {}\n", numbers.join(" "));
            assert_eq!(stat_field(&stat, 22), Some(22), "{name}");
        }
        for bad in [
            "",
            "1 (a",
            "1 (a) S 1 2 3",
            "1 (a) S x x x x x x x x x x x x x x x x x x x",
        ] {
            assert_eq!(stat_field(bad, 22), None, "{bad}");
        }
    }
}
