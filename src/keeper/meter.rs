//! How much CPU time the program has used so far, and at the end.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::cgroup::{CgroupError, CpuTime, Leaf};
use crate::sys::process::ResourceUsage;

/// Where the CPU time of a run is read.
#[derive(Debug)]
pub(super) enum Meter {
    /// From the leaf: every process that ever was in it.
    Leaf {
        /// What the program's process had used before it began, which the leaf has counted as well.
        before: CpuTime,
    },
    /// From the program's main process and the children that it waited for, as isolate does without
    /// control groups. What escapes this is in the figure at the end, when init has reaped
    /// everything; what a program that ignores SIGCHLD has run is in neither.
    Process {
        /// In the keeper's PID namespace; `None` when it has gone already.
        pid: Option<Pid>,
        /// What it had used before it began.
        before: CpuTime,
    },
}

impl Meter {
    /// Counts what comes on top of `before`.
    pub(super) fn start(
        leaf: Option<&Leaf>,
        program: Option<BorrowedFd<'_>>,
        before: ResourceUsage,
    ) -> Self {
        let before = cpu_time(&before);
        match leaf {
            Some(_) => Self::Leaf { before },
            None => Self::Process {
                pid: program.and_then(pid_of),
                before,
            },
        }
    }

    /// What the program has used until now. None when its process has gone and its end will tell.
    pub(super) fn so_far(&self, leaf: Option<&Leaf>) -> Result<Option<Duration>, CgroupError> {
        Ok(match (self, leaf) {
            (Self::Leaf { before }, Some(leaf)) => {
                settle(leaf.threads()?);
                Some(leaf.cpu_time()?.since(*before).total)
            }
            (
                Self::Process {
                    pid: Some(pid),
                    before,
                },
                _,
            ) => {
                settle(threads_of(*pid));
                process_time(*pid).map(|used| used.saturating_sub(before.total))
            }
            (Self::Process { pid: None, .. } | Self::Leaf { .. }, _) => None,
        })
    }

    /// What the program used in all, when everything has been waited for.
    pub(super) fn total(
        &self,
        leaf: Option<&Leaf>,
        processes: &ResourceUsage,
    ) -> Result<CpuTime, CgroupError> {
        Ok(match (self, leaf) {
            (Self::Leaf { before }, Some(leaf)) => leaf.cpu_time()?.since(*before),
            (Self::Process { before, .. } | Self::Leaf { before }, _) => {
                cpu_time(processes).since(*before)
            }
        })
    }
}

/// How many threads are looked at. With more of them, each has run only briefly since the kernel
/// counted last.
const SETTLED: usize = 256;

/// Brings the count of running threads up to this moment. The kernel updates it at events and at
/// ticks, so cpu.stat and process clocks are up to a tick (4 ms with HZ=250) behind for each CPU.
/// Waking up on such a CPU makes the kernel count (kernel/sched/fair.c, check_preempt_wakeup:
/// update_curr), so this process visits each of them once. Where it may not go, the count stays
/// behind.
fn settle(threads: impl IntoIterator<Item = i32>) {
    let mut cpus: Vec<usize> = threads
        .into_iter()
        .take(SETTLED)
        .filter_map(|thread| running_on(&fs::read_to_string(format!("/proc/{thread}/stat")).ok()?))
        .collect();
    cpus.sort_unstable();
    cpus.dedup();
    let own = Pid::from_raw(0);
    let Ok(before) = sched_getaffinity(own) else {
        return;
    };
    for cpu in cpus {
        let mut only = CpuSet::new();
        if only.set(cpu).is_ok() {
            sched_setaffinity(own, &only).ok();
        }
    }
    sched_setaffinity(own, &before).ok();
}

/// The CPU that a thread is running on, from its line in /proc/PID/stat: fields 3 (state) and 39
/// (processor) of proc_pid_stat(5). `None` when it is not running.
fn running_on(stat: &str) -> Option<usize> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    (fields.next()? == "R").then_some(())?;
    fields.nth(35)?.parse().ok()
}

fn threads_of(pid: Pid) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    entries.filter_map(name).collect()
}

/// The CPU time in the answer of getrusage(2).
fn cpu_time(usage: &ResourceUsage) -> CpuTime {
    CpuTime {
        total: usage.user + usage.system,
        user: usage.user,
        system: usage.system,
    }
}

/// The number of a process in our PID namespace, from the line `Pid:` in the fdinfo of its pidfd
/// (proc(5)).
fn pid_of(pidfd: BorrowedFd<'_>) -> Option<Pid> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    let number: i32 = text
        .lines()
        .find_map(|line| line.strip_prefix("Pid:"))?
        .trim()
        .parse()
        .ok()?;
    (number > 0).then(|| Pid::from_raw(number))
}

fn process_time(pid: Pid) -> Option<Duration> {
    let own = clock_gettime(ClockId::pid_cpu_clock_id(pid).ok()?).ok()?;
    let children = children_time(pid).ok()?;
    Some(Duration::from(own) + children)
}

/// `cutime` and `cstime` of /proc/PID/stat, in ticks of 10 ms: proc_pid_stat(5).
fn children_time(pid: Pid) -> io::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = child_ticks(&text).ok_or_else(|| io::Error::other("unexpected format"))?;
    let per_second = sysconf(SysconfVar::CLK_TCK)?
        .and_then(|ticks| u32::try_from(ticks).ok())
        .unwrap_or(100);
    Ok(Duration::from_secs(ticks) / per_second.max(1))
}

/// The command name may contain anything, so fields are counted from its closing parenthesis.
fn child_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(13);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    user.checked_add(system)
}

/// What a file of any content goes through; see `src/lib.rs`.
#[cfg(fuzzing)]
pub(crate) fn read_any(text: &str) {
    running_on(text);
    child_ticks(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_children_are_found_behind_any_command_name() {
        let stat = "12 (a) R 1 (b) S 1 12 12 0 -1 4194304 1 2 3 4 50 60 7 8 20 0 1 0 100";
        assert_eq!(child_ticks(stat), Some(15));
        assert_eq!(child_ticks("12 (a) S 1"), None);
        let most = format!("12 (a) S{} {1} {1}", " 1".repeat(12), u64::MAX);
        assert_eq!(child_ticks(&most), None);
    }

    #[test]
    fn a_running_thread_has_a_cpu() {
        let fields = (4..=52)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        assert_eq!(running_on(&format!("1 (a) R 1) R {fields}")), Some(39));
        assert_eq!(running_on(&format!("1 (a) S {fields}")), None);
        assert_eq!(running_on("1 (a) R 1 2"), None);
        let own = fs::read_to_string("/proc/thread-self/stat").unwrap();
        assert!(running_on(&own).is_some());
        settle([Pid::this().as_raw()]);
    }

    #[test]
    fn a_process_is_found_by_its_descriptor_and_its_time_grows() {
        let own = Pid::this();
        let before = process_time(own).unwrap();
        let mut sum = 0_u64;
        while process_time(own).unwrap() == before {
            sum = std::hint::black_box(sum + 1);
        }
    }
}
