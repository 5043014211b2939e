//! A run that goes on, seen by way of its keeper: keeper, its child init, and in the leaf of the
//! cgroup that init is in the program (crate documentation).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

use super::RunSeen;
use crate::cgroup::{Reading, hierarchy};
use crate::clock::since_epoch;
use crate::error::printable;
use crate::sys::process;

/// What is seen of the run of this keeper.
pub(super) fn run_of(keeper: i32) -> RunSeen {
    let mut seen = RunSeen {
        keeper_pid: keeper,
        ..RunSeen::default()
    };
    let children = children(keeper);
    let mount_point = hierarchy::mount_point().ok().flatten();
    // Without cgroups the program is a child of init, and otherwise what is in the leaf.
    let found = mount_point.and_then(|mount_point| find_leaf(&mount_point, &children));
    if let Some((top, reading)) = found {
        seen.cpu_time_us = reading.cpu_time.map(micros);
        seen.memory_bytes = reading.memory;
        seen.memory_limit_bytes = reading.memory_limit;
        seen.processes = reading.processes;
        seen.processes_limit = reading.processes_limit;
        let name = top.file_name().and_then(|name| name.to_str());
        seen.scope = name
            .filter(|name| name.ends_with(".scope"))
            .map(str::to_owned);
        seen.cgroup = Some(top.display().to_string());
    }
    let program = children.iter().find_map(|init| {
        let of_init = self::children(*init);
        of_init.first().copied()
    });
    if let Some(pid) = program {
        seen.pid = Some(pid);
        seen.program = executed(pid, keeper);
        seen.begun_us = started(pid).map(since_epoch);
    }
    seen
}

/// The file that a process of the program executes, by its name inside.
fn executed(pid: i32, keeper: i32) -> Option<String> {
    let link = |pid: i32, name: &str| fs::read_link(format!("/proc/{pid}/{name}")).ok();
    let file = link(pid, "exe")?;
    // Before it executes the program, it still is one of ours.
    if Some(&file) == link(keeper, "exe").as_ref() {
        return None;
    }
    // Both are told as if nothing was above the root of the program's file system.
    let inside = link(pid, "root").and_then(|root| Some(file.strip_prefix(root).ok()?.to_owned()));
    let name = inside.map_or(file, |inside| Path::new("/").join(inside));
    Some(printable(&name.to_string_lossy()))
}

/// The cgroup of the run that one of these processes is the init of, and what its leaf shows.
fn find_leaf(mount_point: &Path, children: &[i32]) -> Option<(PathBuf, Reading)> {
    children.iter().find_map(|child| {
        let own = hierarchy::cgroup_of(&child.to_string()).ok()??;
        let top = match own.ends_with(crate::cgroup::INIT) {
            true => own.parent()?.to_owned(),
            false => own,
        };
        let top = mount_point.join(top);
        Some((top.clone(), Reading::of_run(&top)?))
    })
}

/// Whether a process is the keeper of a run: it has a child that is the first process of a PID
/// namespace (`NSpid` in proc_pid_status(5)).
pub(super) fn is_keeper(pid: i32) -> bool {
    children(pid).into_iter().any(|child| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        let numbers: Vec<_> = numbers.unwrap_or_default().split_whitespace().collect();
        numbers.len() > 1 && numbers.last() == Some(&"1")
    })
}

/// The children of a process, the oldest first (proc_pid_task(5)).
fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// When a process was made.
fn started(pid: i32) -> Option<SystemTime> {
    let ticks = process::start_time(pid).ok()?;
    let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    let since_boot = Duration::from_millis(ticks.checked_mul(1000)? / per_second);
    let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
    SystemTime::now()
        .checked_sub(now.saturating_sub(since_boot))
        .filter(|time| *time > UNIX_EPOCH)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
