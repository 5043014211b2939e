//! What makes the memory of a run, or the time that it takes to get it, differ from run to run.

use crate::doctor::change::Change;
use crate::doctor::finding::Finding;
use crate::doctor::machine::Machine;

/// A file or device that the kernel swaps to, from `/proc/swaps`; sizes in KiB.
#[derive(Debug)]
struct Swap {
    device: String,
    size: u64,
    used: u64,
    priority: i32,
}

impl Swap {
    fn is_zram(&self) -> bool {
        self.device.starts_with("/dev/zram")
    }

    fn shown(&self) -> String {
        let Self {
            device, size, used, ..
        } = self;
        format!("{device} ({} MiB, {} in use)", size / 1024, used / 1024)
    }
}

fn swaps(machine: &Machine) -> Vec<Swap> {
    let text = machine.tree.text("/proc/swaps").unwrap_or_default();
    let swap = |line: &str| {
        let mut fields = line.split_whitespace();
        let device = fields.next()?.replace("\\040", " ");
        let mut numbers = fields.skip(1);
        Some(Swap {
            device,
            size: numbers.next()?.parse().ok()?,
            used: numbers.next()?.parse().ok()?,
            priority: numbers.next()?.parse().ok()?,
        })
    };
    text.lines().filter_map(swap).collect()
}

/// The memory that can be had, in KiB.
fn available(machine: &Machine) -> u64 {
    let text = machine.tree.text("/proc/meminfo").unwrap_or_default();
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("MemAvailable:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

/// Ends the use of these, if what is in them has room in memory twice.
fn without(finding: Finding, machine: &Machine, swaps: &[&Swap]) -> Finding {
    let used: u64 = swaps.iter().map(|swap| swap.used).sum();
    if used.saturating_mul(2) > available(machine) {
        return finding.advise("there is too little memory free to swap off: end programs first");
    }
    let off = |finding: Finding, swap: &&Swap| {
        let priority = swap.priority.to_string();
        let undo = match swap.priority {
            0.. => vec!["swapon", "-p", &priority, &swap.device],
            // The kernel chose it.
            _ => vec!["swapon", &swap.device],
        };
        finding.change(Change::run(&["swapoff", &swap.device], &undo, false))
    };
    swaps.iter().fold(finding, off)
}

pub(in super::super) fn swap(machine: &Machine) -> Finding {
    let all = swaps(machine);
    let swaps: Vec<_> = all.iter().filter(|swap| !swap.is_zram()).collect();
    if swaps.is_empty() {
        return Finding::ok("none on a disk");
    }
    let shown: Vec<_> = swaps.iter().map(|swap| swap.shown()).collect();
    let finding = Finding::warning(shown.join(", ")).advise(
        "for good: take it out of /etc/fstab, or mask its unit (systemctl list-units '*.swap')",
    );
    without(finding, machine, &swaps)
}

pub(in super::super) fn zram(machine: &Machine) -> Finding {
    let all = swaps(machine);
    let zram: Vec<_> = all.iter().filter(|swap| swap.is_zram()).collect();
    if !zram.is_empty() {
        let shown: Vec<_> = zram.iter().map(|swap| swap.shown()).collect();
        let finding = Finding::warning(shown.join(", ")).advise(
            "for good: remove the package (zram-generator, zram-tools) or its configuration",
        );
        return without(finding, machine, &zram);
    }
    let zswap = "/sys/module/zswap/parameters/enabled";
    match machine.tree.text(zswap).as_deref() {
        Some("Y" | "1") if !all.is_empty() => {
            Finding::warning("zswap compresses pages on their way to the swap")
                .change(Change::write(zswap, "Y", "N"))
        }
        _ => Finding::ok("no compressed memory"),
    }
}

pub(in super::super) fn huge_pages(machine: &Machine) -> Finding {
    let file = |name: &str| format!("/sys/kernel/mm/transparent_hugepage/{name}");
    let Some(enabled) = machine.tree.choice(&file("enabled")) else {
        return Finding::not_applicable("this kernel has no transparent huge pages");
    };
    let defrag = machine.tree.choice(&file("defrag")).unwrap_or_default();
    let value = format!("{enabled}; made by waiting for them (defrag): {defrag}");
    if enabled != "always" {
        return Finding::ok(value);
    }
    Finding::warning(value).change(Change::write(&file("enabled"), enabled, "madvise"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;
    use crate::doctor::machine::tests::with;

    const HEAD: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
    const DISK: &str = "/dev/sda2   partition\t4194300\t\t2048\t\t-2\n";
    const ZRAM: &str = "/dev/zram0  partition\t1048572\t\t0\t\t100\n";
    const ROOMY: (&str, &str) = ("/proc/meminfo", "MemFree: 1 kB\nMemAvailable:  900000 kB\n");

    #[test]
    fn swap_on_a_disk_and_in_memory_are_told_apart() {
        let none = with(&[("/proc/swaps", HEAD)]);
        assert_eq!(swap(&none).verdict, Verdict::Ok);
        assert_eq!(zram(&none).verdict, Verdict::Ok);
        let both = with(&[("/proc/swaps", &[HEAD, DISK, ZRAM].concat()), ROOMY]);
        let found = swap(&both);
        assert_eq!(found.value, "/dev/sda2 (4095 MiB, 2 in use)");
        assert_eq!(found.commands(), ["swapoff /dev/sda2"]);
        assert_eq!(found.changes[0].undo_command(), "swapon /dev/sda2");
        let found = zram(&both);
        assert_eq!(found.commands(), ["swapoff /dev/zram0"]);
        assert_eq!(found.changes[0].undo_command(), "swapon -p 100 /dev/zram0");
    }

    #[test]
    fn swap_stays_where_its_pages_have_no_room() {
        let tight = ("/proc/meminfo", "MemAvailable: 4095 kB\n");
        let found = swap(&with(&[("/proc/swaps", &[HEAD, DISK].concat()), tight]));
        assert_eq!((found.verdict, found.changes.len()), (Verdict::Warning, 0));
        assert!(found.advice.unwrap().contains("too little memory"));
    }

    #[test]
    fn huge_pages_for_all_become_those_that_programs_ask_for() {
        let enabled = "/sys/kernel/mm/transparent_hugepage/enabled";
        let of = |text: &str| huge_pages(&with(&[(enabled, text)]));
        assert_eq!(of("always madvise [never]").verdict, Verdict::Ok);
        assert_eq!(of("always [madvise] never").verdict, Verdict::Ok);
        let found = of("[always] madvise never");
        assert_eq!(found.verdict, Verdict::Warning);
        assert_eq!(found.commands(), [format!("echo madvise >{enabled}")]);
        assert_eq!(huge_pages(&with(&[])).verdict, Verdict::NotApplicable);
    }
}
