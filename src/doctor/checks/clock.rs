//! The clocks that limits are measured by, and what a run waits for.

use std::time::Duration;

use crate::doctor::change::Change;
use crate::doctor::finding::Finding;
use crate::doctor::machine::Machine;

const CLOCK: &str = "/sys/devices/system/clocksource/clocksource0";
/// Clocks that a process reads without a system call, and finely.
const GOOD: [&str; 7] = [
    "tsc",
    "tsc-early",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "arch_sys_counter",
    "timebase",
    "riscv_clocksource",
];
/// Clocks that are slow to read wherever they are.
const SLOW: [&str; 7] = [
    "hpet",
    "acpi_pm",
    "pit",
    "jiffies",
    "refined-jiffies",
    "hyperv_clocksource_msr",
    "xen",
];
/// A look at the clock that takes no longer is one without a system call.
const QUICK: Duration = Duration::from_nanos(250);
/// Programs that timedatectl(1) can switch on.
const KEEPERS_OF_TIME: [&str; 3] = [
    "/usr/lib/systemd/systemd-timesyncd",
    "/usr/sbin/chronyd",
    "/usr/sbin/ntpd",
];
/// What a run may wait for its control group without a note.
const SHORT: Duration = Duration::from_millis(3);
/// Options of cgroup2, which a remount has to repeat, or they are gone.
const CGROUP_OPTIONS: [&str; 6] = [
    "nsdelegate",
    "memory_localevents",
    "memory_recursiveprot",
    "memory_hugetlb_accounting",
    "pids_localevents",
    "favordynmods",
];

pub(in super::super) fn clock_source(machine: &Machine) -> Finding {
    let file = format!("{CLOCK}/current_clocksource");
    let Some(current) = machine.tree.text(&file) else {
        return Finding::not_applicable("the kernel does not say");
    };
    // What was measured counts more than the name: kernels have many clocks.
    let is_quick = machine
        .facts
        .look_at_clock
        .is_some_and(|took| took <= QUICK);
    if is_quick || GOOD.contains(&&*current) {
        return Finding::ok(current);
    }
    let available = machine.tree.text(format!("{CLOCK}/available_clocksource"));
    let available = available.unwrap_or_default();
    let mut better = available.split(' ').filter(|name| GOOD.contains(name));
    let finding = match better.clone().next().is_some() || SLOW.contains(&&*current) {
        true => Finding::warning(format!("{current}; there are {available}")),
        false => {
            return Finding::note(format!(
                "{current}, and there is no better one: {available}"
            ));
        }
    };
    match better.next() {
        Some(better) => finding.change(Change::write(&file, current, better)),
        None => {
            finding.advise("see why the kernel gave the better one up: dmesg | grep -i clocksource")
        }
    }
}

pub(in super::super) fn time_sync(machine: &Machine) -> Finding {
    match machine.facts.is_synchronized {
        Some(true) => Finding::ok("the clock is kept right"),
        Some(false) => {
            let finding = Finding::note("nobody keeps the clock right");
            let is_installed = KEEPERS_OF_TIME.iter().any(|file| machine.tree.has(file));
            match (is_installed, machine.tree.has("/usr/bin/apt")) {
                (true, _) => finding.command("timedatectl set-ntp true"),
                (false, true) => finding
                    .advise("chrony will do as well; a virtual machine's host needs one, too")
                    .command("apt install systemd-timesyncd"),
                (false, false) => finding.advise(
                    "install chrony or systemd-timesyncd, on a virtual machine on its host as well",
                ),
            }
        }
        None => Finding::not_applicable("the kernel was not asked"),
    }
}

pub(in super::super) fn migration(machine: &Machine) -> Finding {
    let mounts = machine.mounts();
    let Some(mount) = mounts.iter().find(|mount| mount.kind == "cgroup2") else {
        return Finding::not_applicable("cgroup v2 is not mounted");
    };
    let favors = mount.has("favordynmods");
    let expedited = machine.tree.text("/sys/kernel/rcu_expedited").as_deref() == Some("1");
    let how = match (favors, expedited) {
        (true, _) => "favordynmods",
        (false, true) => "rcu_expedited",
        (false, false) => "no favordynmods",
    };
    let measured = match &machine.facts.migration {
        None if machine.facts.looker.is_root => None,
        None => return Finding::for_root_only(),
        Some(Err(reason)) => {
            return Finding::not_applicable(format!("cannot be measured: {reason}"));
        }
        Some(Ok(time)) => Some(*time),
    };
    let value = match measured {
        Some(time) => format!("{:.1} ms; {how}", time.as_secs_f64() * 1000.0),
        None => how.to_owned(),
    };
    if favors || measured.is_none_or(|time| time < SHORT) {
        return Finding::ok(value);
    }
    let mut options = mount.those_of(&CGROUP_OPTIONS);
    let target = mount.target.to_string_lossy();
    let remount = |options: &[&str]| {
        let options = ["remount"].iter().chain(options).copied();
        let options = options.collect::<Vec<_>>().join(",");
        vec![
            "mount".to_owned(),
            "-o".to_owned(),
            options,
            target.to_string(),
        ]
    };
    let mut back = options.clone();
    back.push("nofavordynmods");
    let undo = remount(&back);
    options.push("favordynmods");
    Finding::note(value)
        .advise("or set [cgroup] keep_ready, so that a box's next run does not wait")
        .change(Change::Run {
            command: remount(&options),
            undo,
            lasts: false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;
    use crate::doctor::machine::tests::with;

    #[test]
    fn a_slow_clock_gives_way_to_a_good_one() {
        let current = format!("{CLOCK}/current_clocksource");
        let available = format!("{CLOCK}/available_clocksource");
        let of = |now: &str, all: &str| clock_source(&with(&[(&current, now), (&available, all)]));
        assert_eq!(of("tsc", "tsc hpet").verdict, Verdict::Ok);
        let slow = of("hpet", "tsc hpet acpi_pm");
        assert_eq!(slow.commands(), [format!("echo tsc >{current}")]);
        let only = of("acpi_pm", "acpi_pm");
        assert_eq!((only.verdict, only.changes.len()), (Verdict::Warning, 0));
        assert_eq!(of("kvm-clock", "kvm-clock acpi_pm").verdict, Verdict::Ok);
        assert_eq!(of("sched-clock", "sched-clock").verdict, Verdict::Note);
        let mut quick = with(&[(&current, "sched-clock"), (&available, "sched-clock")]);
        quick.machine.facts.look_at_clock = Some(Duration::from_nanos(30));
        assert_eq!(clock_source(&quick).verdict, Verdict::Ok);
    }

    #[test]
    fn a_clock_that_nobody_keeps_is_a_note() {
        let mut made_up = with(&[]);
        for (known, verdict) in [
            (None, Verdict::NotApplicable),
            (Some(true), Verdict::Ok),
            (Some(false), Verdict::Note),
        ] {
            made_up.machine.facts.is_synchronized = known;
            assert_eq!(time_sync(&made_up).verdict, verdict);
        }
    }

    #[test]
    fn a_remount_keeps_the_options_that_are_there() {
        let mounts =
            "30 21 0:26 / /cg rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
        let mut made_up = with(&[("/proc/self/mountinfo", mounts)]);
        let mut of = |millis| {
            made_up.machine.facts.migration = Some(Ok(Duration::from_millis(millis)));
            migration(&made_up)
        };
        assert_eq!(of(1).verdict, Verdict::Ok);
        let slow = of(9);
        assert_eq!(
            (slow.verdict, &*slow.value),
            (Verdict::Note, "9.0 ms; no favordynmods")
        );
        let all = "nsdelegate,memory_recursiveprot";
        assert_eq!(
            slow.commands(),
            [format!("mount -o remount,{all},favordynmods /cg")]
        );
        let undo = format!("mount -o remount,{all},nofavordynmods /cg");
        assert_eq!(slow.changes[0].undo_command(), undo);
        made_up.machine.facts.migration = None;
        made_up.machine.facts.looker.is_root = false;
        assert!(migration(&made_up).needs_root);
    }
}
