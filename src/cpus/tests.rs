//! Machines of made-up files, and what is leased of them.

use std::collections::BTreeSet;
use std::fs;

use tempfile::TempDir;

use super::choice::{Bounds, best, leases};
use super::*;
use crate::config::settings::Smt;

/// A machine with these CPUs online: each with the list of its core and that of its last cache.
fn machine(online: &str, cpus: &[(u32, &str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "sys/devices/system/cpu/online", online);
    for (cpu, core, cache) in cpus {
        let of_cpu = format!("sys/devices/system/cpu/cpu{cpu}");
        write(&dir, &format!("{of_cpu}/topology/core_cpus_list"), core);
        write(
            &dir,
            &format!("{of_cpu}/cache/index0/shared_cpu_list"),
            core,
        );
        write(
            &dir,
            &format!("{of_cpu}/cache/index3/shared_cpu_list"),
            cache,
        );
    }
    dir
}

fn write(dir: &TempDir, path: &str, text: &str) {
    let path = dir.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{text}\n")).unwrap();
}

/// Two sockets with two cores each, and two CPUs in each core.
fn two_sockets() -> TempDir {
    let of = |cpu: u32| match cpu % 4 {
        0 => (cpu, "0,4", "0-1,4-5"),
        1 => (cpu, "1,5", "0-1,4-5"),
        2 => (cpu, "2,6", "2-3,6-7"),
        _ => (cpu, "3,7", "2-3,6-7"),
    };
    machine("0-7", &(0..8).map(of).collect::<Vec<_>>())
}

fn settings(lease: LeaseUnit, smt: Smt, reserve: Option<&str>) -> CpuSettings {
    CpuSettings {
        lease,
        smt,
        reserve: reserve.map(|list| CpuList::parse(list).unwrap()),
    }
}

const ALONE: CpuSettings = CpuSettings {
    lease: LeaseUnit::Core,
    smt: Smt::Alone,
    reserve: None,
};

/// The CPUs of the programs, in the order in which they are leased when nobody gives any back; and
/// the kind of core of each.
fn in_turn(
    machine: &TempDir,
    settings: &CpuSettings,
    granted: &str,
    usable: Option<&str>,
) -> Vec<(String, Option<String>)> {
    let topology = Topology::read(machine.path()).unwrap();
    let usable = usable.map(numbers);
    let bounds = Bounds {
        granted: &numbers(granted),
        usable: usable.as_ref(),
    };
    let mut held = BTreeSet::new();
    let mut found = Vec::new();
    while let Some(choice) = best(leases(&topology, settings, bounds), &held) {
        assert!(choice.holds.is_disjoint(&held));
        assert!(choice.runs_on.is_subset(&choice.holds));
        held.extend(&choice.holds);
        let list = CpuList::of(&choice.runs_on).unwrap();
        found.push((list.as_str().to_owned(), choice.class.name));
    }
    found
}

fn lists(machine: &TempDir, settings: &CpuSettings, granted: &str) -> String {
    let found = in_turn(machine, settings, granted, None);
    let found: Vec<_> = found.into_iter().map(|(list, _)| list).collect();
    found.join(" ")
}

#[test]
fn two_sockets_are_leased_in_turn_and_cores_before_threads_of_one() {
    let machine = two_sockets();
    assert_eq!(lists(&machine, &ALONE, "0-7"), "0 2 1 3");
    let share = settings(LeaseUnit::Core, Smt::Share, None);
    assert_eq!(lists(&machine, &share, "0-7"), "0,4 2,6 1,5 3,7");
    let thread = settings(LeaseUnit::Thread, Smt::Alone, None);
    assert_eq!(lists(&machine, &thread, "0-7"), "0 2 1 3 4 6 5 7");
}

#[test]
fn what_is_reserved_keeps_its_core_or_its_cpu() {
    let machine = two_sockets();
    let core = settings(LeaseUnit::Core, Smt::Alone, Some("4,3"));
    assert_eq!(lists(&machine, &core, "0-7"), "1 2");
    let thread = settings(LeaseUnit::Thread, Smt::Alone, Some("4,3"));
    assert_eq!(lists(&machine, &thread, "0-7"), "0 2 1 7 5 6");
    let all = settings(LeaseUnit::Core, Smt::Alone, Some("0-7"));
    assert_eq!(lists(&machine, &all, "0-7"), "");
}

#[test]
fn a_pin_and_a_caller_leave_a_part_of_the_leases() {
    let machine = two_sockets();
    let found = |settings: &CpuSettings, usable| {
        let found = in_turn(&machine, settings, "0-7", Some(usable));
        found.into_iter().map(|(list, _)| list).collect::<Vec<_>>()
    };
    // The rest of the core is held for it all the same.
    assert_eq!(found(&ALONE, "4-5"), ["4", "5"]);
    let share = settings(LeaseUnit::Core, Smt::Share, None);
    assert_eq!(found(&share, "0,4-5"), ["0,4", "5"]);
    let thread = settings(LeaseUnit::Thread, Smt::Alone, None);
    assert_eq!(found(&thread, "3"), ["3"]);
    assert!(found(&ALONE, "9").is_empty());
}

#[test]
fn a_container_with_half_of_the_cpus_leases_cores_that_are_all_its_own() {
    let machine = two_sockets();
    assert_eq!(lists(&machine, &ALONE, "0,2,4,6"), "0 2");
    // The other CPU of each core belongs to somebody else.
    assert_eq!(lists(&machine, &ALONE, "0-3"), "");
    let thread = settings(LeaseUnit::Thread, Smt::Alone, None);
    assert_eq!(lists(&machine, &thread, "0-3"), "0 2 1 3");
}

#[test]
fn a_cpu_that_is_offline_is_not_there() {
    let machine = machine(
        "0-2,4-5",
        &[
            (0, "0,4", "0-5"),
            (1, "1,5", "0-5"),
            (2, "2", "0-5"),
            (4, "0,4", "0-5"),
            (5, "1,5", "0-5"),
        ],
    );
    // Its directory stays, without what it says of the core.
    write(&machine, "sys/devices/system/cpu/cpu3/online", "0");
    let share = settings(LeaseUnit::Core, Smt::Share, None);
    assert_eq!(lists(&machine, &share, "0-5"), "0,4 1,5 2");
    // The kernel was not told yet that a sibling has gone.
    write(
        &machine,
        "sys/devices/system/cpu/cpu2/topology/core_cpus_list",
        "2,3",
    );
    assert_eq!(lists(&machine, &share, "0-5"), "0,4 1,5 2");
}

#[test]
fn fast_cores_of_a_hybrid_processor_come_first_and_no_lease_has_both_kinds() {
    let machine = machine(
        "0-7",
        &[
            (0, "0-1", "0-7"),
            (1, "0-1", "0-7"),
            (2, "2-3", "0-7"),
            (3, "2-3", "0-7"),
            (4, "4", "0-7"),
            (5, "5", "0-7"),
            (6, "6", "0-7"),
            (7, "7", "0-7"),
        ],
    );
    write(&machine, "sys/devices/cpu_core/cpus", "0-3");
    write(&machine, "sys/devices/cpu_atom/cpus", "4-7");
    let found = in_turn(&machine, &ALONE, "0-7", None);
    let class = |name: &str| Some(name.to_owned());
    assert_eq!(found[0], ("0".to_owned(), class("cpu_core")));
    assert_eq!(found[1], ("2".to_owned(), class("cpu_core")));
    assert_eq!(found[2], ("4".to_owned(), class("cpu_atom")));
    assert_eq!(found.len(), 6);
    let fast = settings(LeaseUnit::Core, Smt::Alone, Some("4-7"));
    assert_eq!(lists(&machine, &fast, "0-7"), "0 2");
}

#[test]
fn big_cores_come_before_little_ones_by_their_capacity() {
    let cpus: Vec<_> = (0..8).map(|cpu| (cpu, cpu.to_string())).collect();
    let cpus: Vec<_> = cpus
        .iter()
        .map(|(cpu, list)| (*cpu, list.as_str(), "0-7"))
        .collect();
    let machine = machine("0-7", &cpus);
    let give = |capacities: [&str; 3]| {
        for cpu in 0..8 {
            let capacity = match cpu {
                0..4 => capacities[0],
                4..7 => capacities[1],
                _ => capacities[2],
            };
            let file = format!("sys/devices/system/cpu/cpu{cpu}/cpu_capacity");
            write(&machine, &file, capacity);
        }
    };
    give(["446", "871", "1024"]);
    assert_eq!(lists(&machine, &ALONE, "0-7"), "7 4 5 6 0 1 2 3");
    let first = in_turn(&machine, &ALONE, "0-7", None).swap_remove(0);
    assert_eq!(first.1.as_deref(), Some("cpu_capacity 1024"));
    give(["1024"; 3]);
    let first = in_turn(&machine, &ALONE, "0-7", None).swap_remove(0);
    assert_eq!(first, ("0".to_owned(), None));
}

#[test]
fn a_machine_that_hides_its_caches_may_share_one_in_each_package() {
    let machine = tempfile::tempdir().unwrap();
    write(&machine, "sys/devices/system/cpu/online", "0-1");
    for cpu in 0..2 {
        let of_cpu = format!("sys/devices/system/cpu/cpu{cpu}/topology");
        write(
            &machine,
            &format!("{of_cpu}/thread_siblings_list"),
            &cpu.to_string(),
        );
        write(&machine, &format!("{of_cpu}/package_cpus_list"), "0-1");
    }
    let topology = Topology::read(machine.path()).unwrap();
    assert_eq!(topology.cores.len(), 2);
    assert_eq!(topology.cores[0].cache, BTreeSet::from([0, 1]));
    let empty = tempfile::tempdir().unwrap();
    let error = Topology::read(empty.path()).unwrap_err().to_string();
    assert!(error.contains("cpu/online'"), "{error}");
}

#[test]
fn the_nearest_cgroup_that_says_so_grants_cpus() {
    let dir = tempfile::tempdir().unwrap();
    let slice = dir.path().join("a.slice/a-b.slice");
    let error = granted_in(&slice).unwrap_err().to_string();
    assert!(error.contains("no cpuset controller"), "{error}");
    write(&dir, "cpuset.cpus.effective", "0-7");
    assert_eq!(granted_in(&slice).unwrap().len(), 8);
    write(&dir, "a.slice/cpuset.cpus.effective", "2-3");
    assert_eq!(granted_in(&slice).unwrap(), BTreeSet::from([2, 3]));
}

/// A run that wants to lease from all of this machine.
fn lease(machine: &TempDir, settings: &CpuSettings, waits: bool) -> Result<Lease, CpusError> {
    let topology = Topology::read(machine.path()).unwrap();
    let granted = topology.online();
    let wanted = Wanted {
        locks: &machine.path().join("locks"),
        granted: &granted,
        usable: granted.clone(),
        waits,
    };
    Lease::take(&topology, settings, &wanted)
}

#[test]
fn leases_are_counted_that_were_beside_another_one_at_any_time() {
    let machine = two_sockets();
    let thread = settings(LeaseUnit::Thread, Smt::Alone, Some("1-3,5-7"));
    let first = lease(&machine, &thread, false).unwrap();
    assert_eq!(first.cpus().as_str(), "0");
    // Two came beside it, one after the other, and the second was there for a part of the third.
    lease(&machine, &thread, false).unwrap().finish().unwrap();
    let second = lease(&machine, &thread, false).unwrap();
    assert_eq!(second.cpus().as_str(), "4");
    let first = first.finish().unwrap();
    assert_eq!((first.on_core, first.on_cache), (2, 2));
    let second = second.finish().unwrap();
    assert_eq!((second.on_core, second.on_cache), (1, 1));
    let alone = lease(&machine, &thread, false).unwrap().finish().unwrap();
    assert_eq!((alone.on_core, alone.on_cache), (0, 0));
    // Cores: 0 and 1 share a cache, 2 and 3 do not share that.
    let leases: Vec<_> = (0..4)
        .map(|_| lease(&machine, &ALONE, false).unwrap())
        .collect();
    for lease in leases {
        let leased = lease.finish().unwrap();
        assert_eq!((leased.on_core, leased.on_cache), (0, 1), "{leased:?}");
        assert!(leased.idle.is_some());
    }
}

#[test]
fn who_finds_none_free_is_refused_or_waits_until_one_is_given_back_or_its_holder_dies() {
    let machine = machine("0", &[(0, "0", "0")]);
    let holder = lease(&machine, &ALONE, false).unwrap();
    let refused = lease(&machine, &ALONE, false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no core is free: all 1 that this run can lease are in use by other runs; --wait waits for one"
    );
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| lease(&machine, &ALONE, true).unwrap().finish());
        std::thread::sleep(std::time::Duration::from_millis(30));
        // Its slot still says that it goes on.
        drop(holder);
        waiting.join().unwrap().unwrap();
    });
    lease(&machine, &ALONE, false).unwrap().finish().unwrap();
}

#[test]
fn many_at_once_never_have_the_same_cpu() {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    let machine = two_sockets();
    let taken = [const { AtomicBool::new(false) }; 8];
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (machine, taken) = (&machine, &taken);
            scope.spawn(move || {
                for _ in 0..10 {
                    let lease = lease(machine, &ALONE, true).unwrap();
                    let cpu = lease.cpus().numbers().first().copied().unwrap() as usize;
                    assert!(!taken[cpu].swap(true, SeqCst), "CPU {cpu}");
                    lease.begin(4_000_000_000 + thread).unwrap();
                    std::thread::yield_now();
                    taken[cpu].store(false, SeqCst);
                    lease.finish().unwrap();
                }
            });
        }
    });
}
