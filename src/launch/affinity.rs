//! The CPUs of keeper and init while the sandbox is built: sched_setaffinity(2).

use std::io;
use std::sync::OnceLock;

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// The calling thread.
const OWN: Pid = Pid::from_raw(0);

/// Where keeper and init run while the sandbox is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cpu {
    /// Both on the CPU where the keeper was.
    Keepers,
    /// Wherever the kernel puts them.
    Any,
}

/// Keeps the calling thread, and children that it makes, on the CPU where it is, until
/// [`leave_cpu`].
///
/// A thread that may not run on every CPU is left alone: whether its user or its cgroup decided
/// that is unknown, and so is what to go back to.
pub(super) fn stay_on_cpu() -> Cpu {
    let stay = || -> nix::Result<bool> {
        let allowed = sched_getaffinity(OWN)?;
        let allowed = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true));
        if allowed.count() != online_cpus()? {
            return Ok(false);
        }
        let mut here = CpuSet::new();
        here.set(sched_getcpu()?)?;
        sched_setaffinity(OWN, &here)?;
        Ok(true)
    };
    // musl counts only the CPUs of the thread. An error means more CPUs than a set holds (1024), or
    // one that has just gone offline.
    if cfg!(target_env = "gnu") && stay().unwrap_or(false) {
        Cpu::Keepers
    } else {
        Cpu::Any
    }
}

/// How many CPUs are online. This is looked up once, before systemd is asked, because libc reads a
/// file for it.
pub(crate) fn online_cpus() -> nix::Result<usize> {
    static ONLINE: OnceLock<usize> = OnceLock::new();
    if let Some(known) = ONLINE.get() {
        return Ok(*known);
    }
    let online = sysconf(SysconfVar::_NPROCESSORS_ONLN)?;
    let online = online.and_then(|number| usize::try_from(number).ok());
    Ok(*ONLINE.get_or_init(|| online.unwrap_or(usize::MAX)))
}

/// The calling thread may run on every CPU of its cgroup again.
pub(super) fn leave_cpu() -> io::Result<()> {
    let mut all = CpuSet::new();
    for cpu in 0..CpuSet::count() {
        all.set(cpu)?;
    }
    Ok(sched_setaffinity(OWN, &all)?)
}
