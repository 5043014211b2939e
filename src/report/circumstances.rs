//! How a run was held, and what was in force: what the report says beside the verdict and the
//! figures.

use std::path::PathBuf;

use nix::sys::resource::{RLIM_INFINITY, Resource};

use crate::box_dir::Handover;
use crate::cgroup::LeafLimits;
use crate::clock::Moment;
use crate::config::settings::Manager;
use crate::cpus::Leased;
use crate::plan::Rlimit;
use crate::quantity::{BoxId, DiskQuota, Ids};
use crate::syscall_set::SyscallSet;

/// How a run was held.
#[derive(Debug, Clone)]
pub(crate) struct Circumstances {
    /// The box.
    pub(crate) box_id: BoxId,
    /// The ids of the program.
    pub(crate) ids: Ids,
    /// What made the files of the box the program's.
    pub(crate) handover: Handover,
    /// Who made the cgroup.
    pub(crate) manager: Manager,
    /// Why nobody did, and what to do about it.
    pub(crate) why_no_cgroup: Option<String>,
    /// The unit of the scope.
    pub(crate) unit: Option<String>,
    /// The cgroup of the run, which holds those of init and the program.
    pub(crate) cgroup: Option<PathBuf>,
    /// Limits that the cgroup kept.
    pub(crate) leaf: LeafLimits,
    /// The CPUs that the run had to itself.
    pub(crate) leased: Option<Leased>,
    /// Limits that the kernel kept for each process.
    pub(crate) rlimits: Vec<Rlimit>,
    /// Disk quota.
    pub(crate) quota: Option<DiskQuota>,
    /// System calls that were denied.
    pub(crate) syscalls: SyscallSet,
    /// Whether the program had the caller's network.
    pub(crate) share_net: bool,
    /// When the run was asked for.
    pub(crate) asked: Moment,
    /// When each stage was reached.
    pub(crate) stages: Stages,
}

/// When the stages of a run were reached; `None` for those that were not.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stages {
    /// Everything was opened and decided, and init was cloned.
    pub(crate) laid_out: Option<Moment>,
    /// init had built the root file system of a program that began.
    pub(crate) root_built: Option<Moment>,
    /// systemd had made the scope, and the leaf was there.
    pub(crate) cgroup_ready: Option<Moment>,
    /// The program began.
    pub(crate) begun: Option<Moment>,
    /// The program's main process had ended.
    pub(crate) ended: Option<Moment>,
}

/// The limit of a resource; `None` if there is none.
pub(crate) fn limit_of(rlimits: &[Rlimit], which: Resource) -> Option<u64> {
    let found = rlimits.iter().find(|rlimit| rlimit.resource == which);
    found
        .map(|rlimit| rlimit.hard)
        .filter(|limit| *limit != RLIM_INFINITY)
}

impl Circumstances {
    /// What held the program, in words.
    pub(crate) fn holder(&self) -> String {
        match (&self.unit, &self.cgroup) {
            (Some(unit), _) => format!("the systemd scope {unit}"),
            (None, Some(path)) => format!("the cgroup {}", path.display()),
            (None, None) => match &self.why_no_cgroup {
                Some(why) => format!("namespaces and rlimits, no cgroup: {why}"),
                None => "namespaces and rlimits, no cgroup".to_owned(),
            },
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A run without a cgroup and without limits.
    pub(in crate::report) fn circumstances() -> Circumstances {
        Circumstances {
            box_id: BoxId(0),
            ids: Ids { uid: 1, gid: 1 },
            handover: Handover::Given,
            manager: Manager::None,
            why_no_cgroup: None,
            unit: None,
            cgroup: None,
            leaf: LeafLimits::default(),
            leased: None,
            rlimits: Vec::new(),
            quota: None,
            syscalls: SyscallSet::default(),
            share_net: false,
            asked: Moment::now().unwrap(),
            stages: Stages::default(),
        }
    }
}
