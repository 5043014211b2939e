//! Which leases a machine has, and which of them a run takes. Pure.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::topology::{Class, Core, Topology};
use crate::config::settings::{CpuSettings, LeaseUnit, Smt};
use crate::quantity::CpuList;

/// What a lease is chosen from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds<'a> {
    /// The CPUs that runs may have, by the cgroups above theirs.
    pub(super) granted: &'a BTreeSet<u32>,
    /// The CPUs that this run may have, by its pin and its caller; `None`: all.
    pub(super) usable: Option<&'a BTreeSet<u32>>,
}

/// A lease that there can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// The CPUs that the run may use.
    pub(super) runs_on: BTreeSet<u32>,
    /// The CPUs that nobody else gets meanwhile, those among them.
    pub(super) holds: BTreeSet<u32>,
    /// The other CPUs of the same core: others may have them.
    pub(super) beside: BTreeSet<u32>,
    /// The other CPUs that share the last cache, those among them.
    pub(super) around: BTreeSet<u32>,
    /// The kind of the core.
    pub(super) class: Class,
}

/// All leases of this kind; no two hold the same CPU.
pub(super) fn leases(
    topology: &Topology,
    settings: &CpuSettings,
    bounds: Bounds<'_>,
) -> Vec<Choice> {
    let reserved = settings.reserve.as_ref().map(CpuList::numbers);
    let is_free = |cpu: &u32| {
        let is_reserved = reserved.as_ref().is_some_and(|cpus| cpus.contains(cpu));
        bounds.granted.contains(cpu) && !is_reserved
    };
    let is_usable = |cpu: &u32| bounds.usable.is_none_or(|cpus| cpus.contains(cpu));
    let mut leases = Vec::new();
    for core in &topology.cores {
        match settings.lease {
            LeaseUnit::None => {}
            LeaseUnit::Core => {
                // Somebody else's program on a part of it would be in the way of ours.
                let runs_on = core.cpus.iter().copied().filter(is_usable);
                let runs_on: BTreeSet<u32> = match settings.smt {
                    Smt::Alone => runs_on.take(1).collect(),
                    Smt::Share => runs_on.collect(),
                };
                if core.cpus.iter().all(is_free) && !runs_on.is_empty() {
                    leases.push(Choice::of(core, runs_on, core.cpus.clone()));
                }
            }
            LeaseUnit::Thread => {
                let free = core
                    .cpus
                    .iter()
                    .filter(|cpu| is_free(cpu) && is_usable(cpu));
                leases.extend(free.map(|cpu| {
                    let only = BTreeSet::from([*cpu]);
                    Choice::of(core, only.clone(), only)
                }));
            }
        }
    }
    leases
}

/// The best of these leases of which nobody holds anything: on the fastest kind of core, then
/// with the fewest neighbours.
pub(super) fn best(leases: Vec<Choice>, held: &BTreeSet<u32>) -> Option<Choice> {
    let busy = |cpus: &BTreeSet<u32>| cpus.intersection(held).count();
    let free = leases.into_iter().filter(|choice| busy(&choice.holds) == 0);
    // Of equals, the first one.
    free.min_by_key(|choice| {
        let speed = Reverse(choice.class.clone());
        (speed, busy(&choice.beside), busy(&choice.around))
    })
}

impl Choice {
    fn of(core: &Core, runs_on: BTreeSet<u32>, holds: BTreeSet<u32>) -> Self {
        Self {
            beside: &core.cpus - &holds,
            around: &core.cache - &holds,
            class: core.class.clone(),
            runs_on,
            holds,
        }
    }

    /// The CPU that stands for the whole lease, where leases are counted.
    pub(super) fn first(&self) -> u32 {
        self.holds.first().copied().unwrap_or_default()
    }
}
