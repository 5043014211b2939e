//! The table of the checks: what each looks at, why that matters for judging, and what `--fix` may
//! do about it. `--undo` takes every change back, by what [`Change`](super::change::Change) says.

use super::checks::{
    base, clock, cpu, disk, groups, ids, kernel, memory, removal, rootless, services, slice,
};
use super::finding::Finding;
use super::machine::Machine;
use crate::check_name::CheckName;

/// Whether `--fix` may do something about what a check finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fixing {
    /// Nothing that a program should do.
    Never,
    /// It costs the machine something else, so only when the check is named by `--only`.
    Named,
    /// It is safe.
    Always,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check {
    /// Its name.
    pub(super) name: CheckName,
    /// What it looks at.
    pub(super) looks_at: &'static str,
    /// Why that matters.
    pub(super) why: &'static str,
    /// What `--fix` may do.
    pub(super) fixing: Fixing,
    /// Decides.
    pub(super) examine: fn(&Machine) -> Finding,
}

use CheckName as Is;
use Fixing::{Always, Named, Never};

/// Every check, in the order of [`CheckName::ALL`].
#[rustfmt::skip]
pub(super) const TABLE: [Check; 41] = [
    row(Is::Config, Never, base::config, "the configuration",
        "With a mistake in it nothing runs."),
    row(Is::Kernel, Never, base::kernel, "the version of Linux",
        "Runs use what Linux 6.1 has."),
    row(Is::Cgroup, Never, base::cgroup, "the mount of cgroup v2",
        "Limits on memory and processes, exact CPU time and the end of every process come from it."),
    row(Is::Systemd, Never, base::systemd, "the version of systemd, and whether it can be asked",
        "systemd makes the scopes of runs."),
    row(Is::Controllers, Never, base::controllers, "the controllers of cgroup v2",
        "Without memory there is no --cg; without pids a fork bomb is held by its user's limit alone; pins and leases of CPUs need cpuset."),
    row(Is::Delegation, Never, base::delegation, "who makes the control groups of runs",
        "Without one, a run has rlimits alone, and --cg is refused."),
    row(Is::Features, Never, base::features, "files of control groups that newer kernels have",
        "The peak of memory and the kill of a whole group are read and written there."),
    row(Is::Slice, Never, slice::slice, "limits of the slice that all runs are in",
        "A run that meets a limit that is not its own fails or is slow by what others do, and the verdict blames it."),
    row(Is::Broker, Always, services::broker, "isolate.socket and isolate.service",
        "Users who are not root run programs by the broker, or without it by their own systemd (--rootless)."),
    row(Is::Polkit, Never, services::polkit, "polkit, and whether it knows isolate-run's actions",
        "polkit says which user may do what."),
    row(Is::Group, Never, groups::group, "the group isolate",
        "Its members may use boxes without polkit being asked."),
    row(Is::Rootless, Never, rootless::rootless, "a user's own systemd, subordinate ids and user namespace, where there is no broker",
        "Without them, a user who is not root runs nothing (--rootless)."),
    row(Is::Ids, Never, ids::ids, "/etc/passwd and /etc/group, beside the ids of the boxes",
        "A program could read and kill what belongs to another user with its id."),
    row(Is::Subids, Never, ids::subids, "/etc/subuid and /etc/subgid, beside the ids of the boxes",
        "A container of a user would have the ids of a box, and could read and kill what is in it."),
    row(Is::Homed, Never, ids::homed, "systemd-homed, which gives ids to users",
        "A new user of the machine could get the id of a box."),
    row(Is::Pins, Never, base::pins, "the CPUs and memory nodes of each [[pin]]",
        "A run in a box that is bound to a CPU that is offline fails."),
    row(Is::Leases, Never, cpu::leases, "the CPUs that runs can lease ([cpus] lease)",
        "So many programs can run at a time; the others wait or are refused."),
    row(Is::Boxes, Always, disk::boxes, "who may write into the directories of the boxes and of their locks, and who owns them",
        "Where others could put something of their own in the place of a box, nothing runs."),
    row(Is::Removal, Always, removal::removal, "what large boxes have left to be deleted in the background, and isolate-removal.path",
        "It takes space until somebody deletes it."),
    row(Is::Space, Never, disk::space, "free space and files where the boxes are",
        "On a full disk a correct program fails, and the verdict blames it."),
    row(Is::Quota, Never, disk::quota, "disk quotas for users where the boxes are",
        "Without them one program can fill the disk for all others (--quota, [ceilings] disk)."),
    row(Is::IdMaps, Never, disk::id_maps, "mounts with a map of ids where the boxes are",
        "With them the files of a user's box stay the user's on disk; otherwise each run gives all of them to its program and back, which takes time for each file."),
    row(Is::MountOptions, Never, disk::mount_options, "the mount that the boxes are on",
        "On a file system with noexec no compiled program runs."),
    row(Is::Swap, Always, memory::swap, "swap on disks",
        "A program whose pages are on a disk waits for them: its wall time depends on what else runs. A limit by --cg-mem keeps the run's own pages in memory, but not what it shares with others."),
    row(Is::Zram, Always, memory::zram, "swap in compressed memory (zram, zswap)",
        "Compressing and decompressing takes CPU time from runs, at moments that nobody chooses."),
    row(Is::HugePages, Always, memory::huge_pages, "transparent huge pages",
        "Whether a program gets pages of 2 MiB depends on how fragmented memory is: time and memory of the same program differ from run to run."),
    row(Is::Governor, Always, cpu::governor, "the governor that sets the speed of each CPU",
        "A short program may end before a slow CPU has become fast."),
    row(Is::Boost, Named, cpu::boost, "boost (Turbo)",
        "How fast a boosted CPU is depends on its heat and on how many others work."),
    row(Is::Smt, Named, cpu::smt, "two or more threads in one core (SMT, Hyper-Threading)",
        "A program is slower by a third while another one runs on the same core, and can see by its caches what that does."),
    row(Is::Hybrid, Never, cpu::hybrid, "CPUs of different kinds",
        "The same program takes twice the time on a slow CPU."),
    row(Is::Steal, Never, cpu::steal, "time that the hypervisor gave to others",
        "Wall time goes on meanwhile; CPU time may count it, too."),
    row(Is::Aslr, Named, kernel::aslr, "random addresses (ASLR)",
        "Addresses decide which data share a place in the caches: times differ by some percent, and a program with a wrong pointer fails only now and then."),
    row(Is::ClockSource, Always, clock::clock_source, "the clock of the kernel",
        "With a slow one every look at the clock costs a microsecond or more, for programs and for limits."),
    row(Is::TimeSync, Never, clock::time_sync, "whether somebody keeps the clock right",
        "Logs of several machines can be compared only then. Limits do not depend on it."),
    row(Is::Timers, Named, services::timers, "timers of upgrades, indexes and checks of disks",
        "They take CPU and disk from runs at night or after a boot, and an upgrade may replace a compiler in a contest."),
    row(Is::Migration, Named, clock::migration, "the time to move a process into a control group",
        "Every run whose scope was not made ahead waits that long before it begins; its own time does not count it."),
    row(Is::CorePattern, Always, kernel::core_pattern, "what a crash starts (kernel.core_pattern)",
        "A crash of any program starts a handler outside of its box, as root: it takes CPU and disk from other runs, and keeps memory of the program."),
    row(Is::HardLinks, Always, kernel::hard_links, "the protection of links (fs.protected_hardlinks, fs.protected_symlinks)",
        "Without it a user can link a file of another user's to where root or a service will write."),
    row(Is::Oomd, Never, services::oomd, "systemd-oomd",
        "It kills runs when the machine is short of memory: they end as internal errors."),
    row(Is::Modules, Never, kernel::modules, "kernel modules that a program could have loaded",
        "A socket of a rare kind loads code into the kernel that nobody else uses, and most holes are there."),
    row(Is::UserNamespaces, Never, kernel::user_namespaces, "user namespaces for users",
        "In one, a program is root over large parts of the kernel, which has led to many holes."),
];

const fn row(
    name: CheckName,
    fixing: Fixing,
    examine: fn(&Machine) -> Finding,
    looks_at: &'static str,
    why: &'static str,
) -> Check {
    Check {
        name,
        looks_at,
        why,
        fixing,
        examine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_its_row_and_every_text_is_a_text() {
        for (check, name) in TABLE.iter().zip(CheckName::ALL) {
            assert_eq!(check.name, name);
            assert!(check.why.ends_with('.'), "{name}");
            assert!(
                !check.looks_at.is_empty() && !check.looks_at.ends_with('.'),
                "{name}"
            );
        }
    }
}
