//! What a run uses now, as anybody can read it who only looks.

use std::path::Path;
use std::time::Duration;

use super::leaf::NAME;
use super::{Cgroup, value_of};

/// The figures of a run that goes on; those that no file has are `None`, and so are limits that
/// there are not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// CPU time of all processes.
    pub(crate) cpu_time: Option<Duration>,
    /// Memory, in bytes.
    pub(crate) memory: Option<u64>,
    /// What it may use.
    pub(crate) memory_limit: Option<u64>,
    /// Processes and threads.
    pub(crate) processes: Option<u64>,
    /// How many there may be.
    pub(crate) processes_limit: Option<u64>,
}

impl Reading {
    /// Reads the leaf of the run with this cgroup; `None` when it has none.
    pub(crate) fn of_run(top: &Path) -> Option<Self> {
        let leaf = Cgroup::open(&top.join(NAME)).ok()?;
        // A limit that is "max" is no number.
        let number = |name| leaf.read(name).ok()?.trim().parse().ok();
        let threads = || {
            let threads = leaf.read("cgroup.threads").ok()?;
            u64::try_from(threads.lines().count()).ok()
        };
        let cpu = leaf.read("cpu.stat").ok();
        let cpu = cpu.and_then(|text| value_of(&text, "usage_usec"));
        Some(Self {
            cpu_time: cpu.map(Duration::from_micros),
            memory: number("memory.current"),
            memory_limit: number("memory.max"),
            processes: number("pids.current").or_else(threads),
            processes_limit: number("pids.max"),
        })
    }
}
