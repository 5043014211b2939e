//! The slice that all runs are in, and what it takes from them.

use std::collections::BTreeSet;

use crate::doctor::finding::{Finding, Verdict};
use crate::doctor::machine::Machine;
use crate::quantity::{Bytes, CpuList, numbers};

/// With fewer processes for all runs than this, one of exec's (256) beside a compiler is at the
/// limit.
const FEW_TASKS: u64 = 512;
/// With less memory for all runs than this, in bytes, common compilers fail.
const LITTLE_MEMORY: u64 = 512 << 20;

pub(in super::super) fn slice(machine: &Machine) -> Finding {
    let Some(limits) = &machine.facts.slice else {
        return Finding::not_applicable("systemd was not asked, or does not answer");
    };
    let settings = &machine.settings;
    let name = settings.cgroup.slice.as_str();
    let mut found = Vec::new();
    if let Some(memory) = limits.memory {
        let promised = settings.ceilings.user.memory.map_or(0, |Bytes(most)| most);
        let verdict = match memory < LITTLE_MEMORY.max(promised) {
            true => Verdict::Warning,
            false => Verdict::Note,
        };
        found.push((verdict, format!("memory {}", Bytes(memory))));
    }
    if let Some(tasks) = limits.tasks.filter(|tasks| *tasks < FEW_TASKS) {
        found.push((Verdict::Warning, format!("{tasks} processes and threads")));
    }
    if let Some(allowed) = &limits.cpus {
        let allowed: BTreeSet<u32> = allowed.iter().copied().collect();
        let online = machine.tree.text("/sys/devices/system/cpu/online");
        let online = numbers(&online.unwrap_or_default());
        let pinned = settings.pins.iter().filter_map(|pin| pin.cpus.as_ref());
        let is_outside = |pin: &CpuList| !pin.numbers().is_subset(&allowed);
        let words = CpuList::of(&allowed);
        let words = words.map_or_else(String::new, |list| list.as_str().to_owned());
        match pinned.into_iter().find(|pin| is_outside(pin)) {
            Some(pin) => found.push((
                Verdict::Error,
                format!("CPUs {words}, but a [[pin]] names {}", pin.as_str()),
            )),
            None if !online.is_subset(&allowed) => {
                found.push((Verdict::Note, format!("CPUs {words}")));
            }
            None => {}
        }
    }
    let worst = found.iter().map(|(verdict, _)| *verdict).max();
    let Some(worst) = worst else {
        return Finding::ok(format!("{name} leaves runs their own limits"));
    };
    let words: Vec<_> = found.into_iter().map(|(_, words)| words).collect();
    let whose = match machine.facts.looker.is_rootless {
        true => "--user ",
        false => "",
    };
    Finding::new(
        worst,
        format!("{name}, for all runs together: {}", words.join("; ")),
    )
    .advise("who put it there? systemctl cat shows it; this takes back what is not of isolate-run")
    .command(format!("systemctl {whose}revert {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::box_set::BoxSet;
    use crate::config::settings::Pin;
    use crate::doctor::machine::tests::with;
    use crate::systemd::SliceLimits;

    #[test]
    fn a_limit_that_cuts_runs_is_told_by_how_much_it_cuts() {
        let mut here = with(&[("/sys/devices/system/cpu/online", "0-3")]);
        assert_eq!(slice(&here).verdict, Verdict::NotApplicable);
        here.machine.settings.pins = vec![Pin {
            boxes: BoxSet::parse("0").unwrap(),
            cpus: Some(CpuList::parse("1").unwrap()),
            mems: None,
        }];
        for (memory, tasks, cpus, verdict, words) in [
            (
                None,
                Some(20_000),
                None,
                Verdict::Ok,
                "isolate.slice leaves",
            ),
            (Some(64 << 20), None, None, Verdict::Warning, "memory 64M"),
            (Some(4 << 30), None, None, Verdict::Note, "memory 4G"),
            (None, Some(10), None, Verdict::Warning, "10 processes"),
            (None, None, Some(vec![0, 1, 2, 3]), Verdict::Ok, "leaves"),
            (None, None, Some(vec![0, 1]), Verdict::Note, "CPUs 0-1"),
            (
                None,
                None,
                Some(vec![2]),
                Verdict::Error,
                "a [[pin]] names 1",
            ),
        ] {
            here.machine.facts.slice = Some(SliceLimits {
                memory,
                tasks,
                cpus,
            });
            let found = slice(&here);
            assert_eq!(found.verdict, verdict, "{found:?}");
            assert!(found.value.contains(words), "{found:?}");
        }
    }
}
