//! The leaf: the cgroup that holds the program and nothing else, made anew for every run, with its
//! limits, its figures and its end.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::pin::{Kind, Pin};
use super::{Cgroup, CgroupError, value_of};
use crate::barrier::Barrier;
use crate::quantity::{Bytes, CpuList};

/// What the leaf has to enforce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeafLimits {
    /// `--cg`: the leaf accounts for memory and processes and limits them. Without it, the leaf
    /// serves only to kill and to count CPU time.
    pub(crate) controlled: bool,
    /// memory.max; `None` is no limit.
    pub(crate) memory: Option<Bytes>,
    /// pids.max, where there is that controller; `None` is no limit.
    pub(crate) processes: Option<u32>,
    /// cpuset.cpus.
    pub(crate) cpus: Option<CpuList>,
    /// cpuset.mems.
    pub(crate) mems: Option<CpuList>,
    /// Whether the CPUs are leased to the run; of the next run it is not known yet which they are.
    pub(crate) leases_cpus: bool,
}

/// The controllers that these limits can do without: an rlimit takes the place of pids, and cpu
/// sets no limit here. Runtimes look for it, and Java finds no limit of memory without it either.
const OPTIONAL: [&str; 2] = ["pids", "cpu"];

impl LeafLimits {
    /// The controllers that keep these limits. All that are required ([`Self::requires`]) must be
    /// there.
    pub(crate) fn controllers(&self) -> Vec<&'static str> {
        let mut controllers = Vec::new();
        if self.controlled {
            controllers.push("memory");
        }
        if self.cpus.is_some() || self.mems.is_some() || self.leases_cpus {
            controllers.push("cpuset");
        }
        if self.controlled {
            controllers.extend(OPTIONAL);
        }
        controllers
    }

    /// Whether these limits cannot be kept without the controller.
    pub(super) fn requires(controller: &str) -> bool {
        !OPTIONAL.contains(&controller)
    }
}

/// CPU time of all processes of a leaf, including dead ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    /// User and system time together.
    pub(crate) total: Duration,
    /// Time in user mode.
    pub(crate) user: Duration,
    /// Time in the kernel.
    pub(crate) system: Duration,
}

impl CpuTime {
    /// What came on top of `earlier`. The total is exact, and its parts add up to it. The kernel
    /// only estimates the split (proc_stat(5)), perhaps differently for a process than for its
    /// cgroup.
    pub(crate) fn since(self, earlier: Self) -> Self {
        let total = self.total.saturating_sub(earlier.total);
        let system = self.system.saturating_sub(earlier.system).min(total);
        Self {
            total,
            user: total.saturating_sub(system),
            system,
        }
    }
}

/// What only the cgroup knows of a run's usage. `None` where this kernel or mode has no figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LeafUsage {
    /// memory.peak (Linux 5.19).
    pub(crate) memory_peak: Option<Bytes>,
    /// How many times the kernel killed a process for lack of memory, by memory.events.local. It
    /// counts the first victim of a group twice, mostly.
    pub(crate) oom_kills: Option<u64>,
    /// How many times it killed all processes of the leaf together (Linux 5.17).
    pub(crate) oom_group_kills: Option<u64>,
    /// How often the leaf was out of memory by its own limit (`oom`). If this is zero although
    /// there were kills, the machine or the slice ran out of memory.
    pub(crate) oom_events: Option<u64>,
    /// pids.peak (Linux 6.1): processes and threads.
    pub(crate) processes_peak: Option<u64>,
    /// How often a process could not be made because of a limit of processes (pids.events).
    pub(crate) processes_refused: Option<u64>,
    /// Whether there was not enough memory for the program to begin with. The kernel kills nobody
    /// then: it spares a process that still shares its memory with its parent.
    pub(crate) starved: bool,
}

impl LeafUsage {
    /// Whether the kernel killed any process for the memory limit of the leaf.
    pub(crate) fn was_oom(&self) -> bool {
        let kills = self.oom_kills.is_some_and(|kills| kills > 0);
        (kills && !self.was_oom_outside()) || (self.starved && self.has_run_out())
    }

    /// Whether the leaf was out of memory by its own limit, whatever came of it.
    pub(crate) fn has_run_out(&self) -> bool {
        self.oom_events.is_some_and(|events| events > 0)
    }

    /// Whether the kernel killed any process because others, or all together, had used the memory
    /// up.
    pub(crate) fn was_oom_outside(&self) -> bool {
        self.oom_kills.is_some_and(|kills| kills > 0) && self.oom_events == Some(0)
    }
}

/// The kernel's largest number of PIDs (PID_MAX_LIMIT); it refuses a pids.max above.
const PIDS_MAX: u64 = 1 << 22;

/// The attribute in which systemd-oomd counts its decisions to kill, before it kills (systemd:
/// src/oom/oomd-util.c, oomd_cgroup_kill).
const OOMD_DECISIONS: &str = "user.oomd_ooms";

/// The name of the leaf below the run's cgroup.
pub(super) const NAME: &str = "box";

/// A fresh leaf, with its limits in force.
#[derive(Debug)]
pub(crate) struct Leaf {
    cgroup: Cgroup,
    cpu_stat: File,
    controlled: bool,
    pins: Vec<Pin>,
}

impl Leaf {
    /// Makes the leaf and sets all its limits; one that cannot be set is an error.
    pub(crate) fn create(parent: &Cgroup, limits: &LeafLimits) -> Result<Self, CgroupError> {
        let cgroup = parent.create(NAME)?;
        let or_max =
            |limit: Option<u64>| limit.map_or_else(|| "max".to_owned(), |value| value.to_string());
        if limits.controlled {
            let memory = Barrier::MemoryLimit.of(limits.memory);
            cgroup.write("memory.max", &or_max(memory.map(|bytes| bytes.0)))?;
            // All die together: nobody can explain a verdict on half a process tree.
            Barrier::KilledTogether.raise(|| cgroup.write("memory.oom.group", "1"))?;
            // The file is absent without swap accounting; a cgroup cannot use swap then either.
            if limits.memory.is_some() && cgroup.has("memory.swap.max") {
                Barrier::SwapLimit.raise(|| cgroup.write("memory.swap.max", "0"))?;
            }
            if cgroup.has("pids.max") {
                let limit = Barrier::ProcessLimit.of(limits.processes.map(u64::from));
                cgroup.write("pids.max", &or_max(limit.filter(|limit| *limit < PIDS_MAX)))?;
            }
        }
        let cpus = match limits.leases_cpus {
            true => Kind::LeasedCpus,
            false => Kind::Cpus,
        };
        let pins = [(cpus, &limits.cpus), (Kind::Nodes, &limits.mems)];
        let pins = pins
            .into_iter()
            .filter_map(|(kind, list)| Some((kind, list.as_ref()?)))
            .map(|(kind, list)| Pin::set(&cgroup, kind, list))
            .collect::<Result<_, _>>()?;
        let cpu_stat = cgroup.file("cpu.stat").map_err(|error| {
            CgroupError::new(
                format!("cannot open cpu.stat of {}", cgroup.path().display()),
                error,
            )
        })?;
        Ok(Self {
            cgroup,
            cpu_stat,
            controlled: limits.controlled,
            pins,
        })
    }

    /// Removes an empty leaf below `parent`.
    pub(super) fn remove(parent: &Cgroup) -> Result<(), CgroupError> {
        parent.remove_child(NAME)
    }

    /// The directory, for CLONE_INTO_CGROUP.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.cgroup.as_fd()
    }

    /// Whether the leaf with this descriptor limits its processes; no when in doubt.
    pub(crate) fn counts_processes(leaf: BorrowedFd<'_>) -> bool {
        let file = nix::unistd::AccessFlags::F_OK;
        nix::unistd::faccessat(leaf, "pids.max", file, nix::fcntl::AtFlags::empty()).is_ok()
    }

    /// Whether systemd-oomd has killed the leaf for lack of memory outside of it; no when in doubt.
    pub(crate) fn was_killed_by_oomd(&self) -> bool {
        matches!(xattr::get(self.cgroup.path(), OOMD_DECISIONS), Ok(Some(_)))
    }

    /// Kills everything in the leaf. A leaf that is gone holds nothing, which is no error.
    pub(crate) fn kill(&self) -> Result<(), CgroupError> {
        match Barrier::LeafKill.raise(|| self.cgroup.kill()) {
            Err(_) if !self.is_there() => Ok(()),
            other => other,
        }
    }

    /// Whether the leaf still exists. systemd removes it together with its scope when init, the
    /// last process of the scope, is gone.
    pub(crate) fn is_there(&self) -> bool {
        self.cgroup.has("cgroup.procs")
    }

    /// The threads in the leaf, by their numbers in this process's PID namespace.
    pub(crate) fn threads(&self) -> Result<Vec<i32>, CgroupError> {
        Ok(self
            .cgroup
            .read("cgroup.threads")?
            .split_whitespace()
            .filter_map(|thread| thread.parse().ok())
            .collect())
    }

    /// CPU time since the leaf was made. cpu.stat has these three figures even without the cpu
    /// controller.
    pub(crate) fn cpu_time(&self) -> Result<CpuTime, CgroupError> {
        let error = |error| {
            CgroupError::new(
                format!("cannot read cpu.stat of {}", self.cgroup.path().display()),
                error,
            )
        };
        let mut buffer = [0; 1024];
        let length = self.cpu_stat.read_at(&mut buffer, 0).map_err(error)?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        let time = |key| {
            value_of(&text, key)
                .map(Duration::from_micros)
                .ok_or_else(|| error(std::io::Error::other(format!("it has no {key}"))))
        };
        Ok(CpuTime {
            total: time("usage_usec")?,
            user: time("user_usec")?,
            system: time("system_usec")?,
        })
    }

    /// Fails unless the run was where its pins bind it. A slice that was changed, or a CPU that
    /// went offline, has moved it elsewhere.
    pub(crate) fn check_pins(&self) -> Result<(), CgroupError> {
        self.pins.iter().try_for_each(|pin| pin.check(&self.cgroup))
    }

    /// The figures of the run, once it is over.
    pub(crate) fn usage(&self) -> Result<LeafUsage, CgroupError> {
        if !self.controlled {
            return Ok(LeafUsage::default());
        }
        let number = |name: &str| -> Result<Option<u64>, CgroupError> {
            if !self.cgroup.has(name) {
                return Ok(None);
            }
            let text = self.cgroup.read(name)?;
            text.trim().parse().map(Some).map_err(|_| {
                let path = self.cgroup.path().display();
                CgroupError::new(
                    format!("cannot read {name} of {path}"),
                    std::io::Error::other("it is not a number"),
                )
            })
        };
        // This is the local file: memory.events also counts what happened in cgroups below.
        let events = self.cgroup.read("memory.events.local")?;
        let refused = match self.cgroup.has("pids.events") {
            true => value_of(&self.cgroup.read("pids.events")?, "max"),
            false => None,
        };
        Ok(LeafUsage {
            memory_peak: number("memory.peak")?.map(Bytes),
            oom_kills: value_of(&events, "oom_kill"),
            oom_group_kills: value_of(&events, "oom_group_kill"),
            oom_events: value_of(&events, "oom"),
            processes_peak: number("pids.peak")?,
            processes_refused: refused,
            starved: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu_time(total: u64, user: u64, system: u64) -> CpuTime {
        let [total, user, system] = [total, user, system].map(Duration::from_micros);
        CpuTime {
            total,
            user,
            system,
        }
    }

    #[test]
    fn the_parts_of_a_cpu_time_add_up_to_it() {
        let before = cpu_time(1000, 300, 700);
        for (now, since) in [
            // cpu.stat rounds each number down by itself.
            (cpu_time(5001, 2000, 3000), cpu_time(4001, 1701, 2300)),
            // The kernel's estimate of the system's part has become lower.
            (cpu_time(1500, 1400, 100), cpu_time(500, 500, 0)),
            (cpu_time(1100, 100, 1000), cpu_time(100, 0, 100)),
        ] {
            assert_eq!(now.since(before), since);
        }
    }
}
