//! Which CPUs a run has to itself: leases of cores or of single CPUs, from one pool for all runs of
//! the machine.
//!
//! ```text
//! topology: what there is ─┐
//! [cpus], [[pin]], caller ─┼─ choice: what could be leased, and the best of it ─▶ lease
//! slots: who has what ─────┘
//! ```
//!
//! A lease is a lock of the kernel's on the slots of its CPUs, held by the keeper and by init: it
//! ends with them, whoever is killed. That a program stays on its CPUs is for its cgroup.

mod choice;
mod error;
mod lease;
mod slots;
#[cfg(test)]
mod tests;
mod topology;

use std::collections::BTreeSet;
use std::path::Path;

pub(crate) use error::CpusError;
pub(crate) use lease::Lease;
pub(crate) use topology::Topology;

use crate::config::settings::{CpuSettings, LeaseUnit};
use crate::quantity::{CpuList, numbers};
use choice::{Bounds, leases};

/// What a run may lease.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// The directory of locks.
    pub(crate) locks: &'a Path,
    /// The CPUs that runs may have, by the cgroups above theirs.
    pub(crate) granted: &'a BTreeSet<u32>,
    /// Those that the run may use, by its pin and its caller.
    pub(crate) usable: BTreeSet<u32>,
    /// Whether to wait for a lease that others have.
    pub(crate) waits: bool,
}

/// A lease that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leased {
    /// What was leased.
    pub(crate) unit: LeaseUnit,
    /// The CPUs that the program could use.
    pub(crate) cpus: CpuList,
    /// Those of its core that were kept idle.
    pub(crate) idle: Option<CpuList>,
    /// The kind of the core, where there are several.
    pub(crate) class: Option<String>,
    /// How many other leases there were meanwhile on the same core.
    pub(crate) on_core: u64,
    /// How many there were below the same last cache, those among them.
    pub(crate) on_cache: u64,
}

/// The CPUs that whatever is in this cgroup, or will be, may have, by the nearest cgroup that says
/// so: a slice without runs has no directory.
pub(crate) fn granted_in(cgroup: &Path) -> Result<BTreeSet<u32>, CpusError> {
    let files = cgroup
        .ancestors()
        .map(|dir| dir.join("cpuset.cpus.effective"));
    let mut lists = files.filter_map(|file| std::fs::read_to_string(file).ok());
    let list = lists.find(|list| !list.trim_end().is_empty());
    let list = list.ok_or_else(|| CpusError::NoCpuset {
        cgroup: cgroup.to_owned(),
    })?;
    Ok(numbers(list.trim_end()))
}

/// What can be leased at the same time, by runs that may use everything: the CPUs of each program.
pub(crate) fn all_leases(
    topology: &Topology,
    settings: &CpuSettings,
    granted: &BTreeSet<u32>,
) -> Vec<CpuList> {
    let bounds = Bounds {
        granted,
        usable: None,
    };
    let leases = leases(topology, settings, bounds);
    leases
        .iter()
        .filter_map(|choice| CpuList::of(&choice.runs_on))
        .collect()
}
