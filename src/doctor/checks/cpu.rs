//! What makes a CPU faster at one time than at another.

use crate::config::settings::LeaseUnit;
use crate::cpus::{Topology, all_leases, granted_in};
use crate::doctor::change::Change;
use crate::doctor::finding::Finding;
use crate::doctor::machine::Machine;
use crate::error::chain;
use crate::home::cgroup_of_runs;
use crate::quantity::CpuList;
use crate::remedy::Remedy;

const CPUS: &str = "/sys/devices/system/cpu";

/// The numbered directories of CPUs.
fn cpus(machine: &Machine) -> impl Iterator<Item = String> {
    let names = machine.tree.names(CPUS).into_iter();
    names.filter_map(|name| {
        let number = name.strip_prefix("cpu")?;
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| format!("{CPUS}/{name}"))
    })
}

pub(in super::super) fn governor(machine: &Machine) -> Finding {
    let mut found: Vec<(String, usize)> = Vec::new();
    let mut changes = Vec::new();
    for cpu in cpus(machine) {
        let file = format!("{cpu}/cpufreq/scaling_governor");
        let Some(governor) = machine.tree.text(&file) else {
            continue;
        };
        match found.iter_mut().find(|(name, _)| *name == governor) {
            Some((_, count)) => *count += 1,
            None => found.push((governor.clone(), 1)),
        }
        let choices = format!("{cpu}/cpufreq/scaling_available_governors");
        let choices = machine.tree.text(choices).unwrap_or_default();
        let can = choices.split(' ').any(|name| name == "performance");
        if governor != "performance" && can {
            changes.push(Change::write(&file, governor, "performance"));
        }
    }
    let shown: Vec<_> = found
        .iter()
        .map(|(name, count)| format!("{name} on {count}"))
        .collect();
    if found.is_empty() {
        return Finding::not_applicable("the speed of the CPUs is not this system's to set");
    }
    if found.iter().all(|(name, _)| name == "performance") {
        return Finding::ok(shown.join(", "));
    }
    changes
        .into_iter()
        .fold(Finding::warning(shown.join(", ")), Finding::change)
}

pub(in super::super) fn boost(machine: &Machine) -> Finding {
    for (file, on, off) in [
        ("intel_pstate/no_turbo", "0", "1"),
        ("cpufreq/boost", "1", "0"),
    ] {
        let file = format!("{CPUS}/{file}");
        match machine.tree.text(&file) {
            Some(value) if value == on => {
                return Finding::warning("on").change(Change::write(&file, value, off));
            }
            Some(_) => return Finding::ok("off"),
            None => {}
        }
    }
    Finding::not_applicable("nothing here to switch on or off")
}

pub(in super::super) fn smt(machine: &Machine) -> Finding {
    let file = format!("{CPUS}/smt/control");
    match machine.tree.text(&file) {
        Some(on) if on == "on" && machine.settings.cpus.lease == LeaseUnit::Core => {
            Finding::ok("on; each run has a whole core to itself ([cpus] lease)")
        }
        Some(on) if on == "on" => Finding::warning("on: CPUs share cores")
            .advise(
                "or give each run a whole core: [cpus] lease = \"core\", or a [[pin]] for each box",
            )
            .change(Change::write(&file, on, "off")),
        Some(other) => Finding::ok(other),
        None => Finding::not_applicable("the kernel says nothing about it"),
    }
}

pub(in super::super) fn leases(machine: &Machine) -> Finding {
    let settings = &machine.settings;
    let unit = settings.cpus.lease;
    if unit == LeaseUnit::None {
        return Finding::not_applicable("runs have no CPUs to themselves ([cpus] lease)");
    }
    if machine.facts.looker.is_rootless {
        return Finding::error("CPUs cannot be leased without root: every run is refused")
            .remedy(Remedy::AskRoot);
    }
    let topology = match Topology::read(&machine.tree.path("/")) {
        Ok(topology) => topology,
        Err(error) => return Finding::error(chain(&error)),
    };
    let granted = match &machine.facts.place {
        Some(Ok(place)) => cgroup_of_runs(place, &settings.cgroup)
            .map_err(|error| chain(&error))
            .and_then(|cgroup| granted_in(&cgroup).map_err(|error| chain(&error))),
        Some(Err(_)) | None => Ok(topology.online()),
    };
    let granted = match granted {
        Ok(granted) => granted,
        Err(reason) => return Finding::error(reason),
    };
    let leases = all_leases(&topology, &settings.cpus, &granted);
    let lists: Vec<_> = leases.iter().map(CpuList::as_str).collect();
    let shown = format!(
        "{} of \"{}\": CPUs {}",
        lists.len(),
        unit.name(),
        lists.join(" ")
    );
    match lists.is_empty() {
        false => Finding::ok(shown),
        true => Finding::error(format!("there is no {} to lease: every run fails", unit.name()))
            .advise("take CPUs out of [cpus] reserve, or give isolate.slice all CPUs of a core (AllowedCPUs=)"),
    }
}

pub(in super::super) fn hybrid(machine: &Machine) -> Finding {
    let kind = |name: &str| machine.tree.text(format!("/sys/devices/{name}/cpus"));
    let kinds = match (kind("cpu_core"), kind("cpu_atom")) {
        (Some(fast), Some(slow)) => format!("fast CPUs {fast}, slow CPUs {slow}"),
        _ => {
            let capacities =
                cpus(machine).filter_map(|cpu| machine.tree.text(cpu + "/cpu_capacity"));
            let mut capacities: Vec<_> = capacities.collect();
            capacities.sort_unstable();
            capacities.dedup();
            if capacities.len() < 2 {
                return Finding::ok("all CPUs are alike");
            }
            format!("CPUs of {} speeds (cpu_capacity)", capacities.len())
        }
    };
    let advice = "bind all boxes to CPUs of one kind by [[pin]]";
    if machine.settings.cpus.lease != LeaseUnit::None {
        Finding::note(kinds).advise("keep CPUs of one kind out of leases: [cpus] reserve")
    } else if machine.settings.pins.is_empty() {
        Finding::warning(kinds).advise(advice)
    } else {
        Finding::note(kinds).advise(format!("make sure that the [[pin]]s do: {advice}"))
    }
}

pub(in super::super) fn steal(machine: &Machine) -> Finding {
    let text = machine.tree.text("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks = line
        .split_whitespace()
        .skip(1)
        .map(|word| word.parse().unwrap_or(0));
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is in the first two.
    let ticks: Vec<u64> = ticks.take(8).collect();
    let all: u64 = ticks.iter().sum();
    let Some(stolen) = ticks.get(7).filter(|_| all > 0) else {
        return Finding::not_applicable("/proc/stat does not say");
    };
    let permille = stolen.saturating_mul(1000) / all;
    let value = format!("{}.{} % since boot", permille / 10, permille % 10);
    let advice = "give the virtual machine CPUs of its own, or judge on another one";
    match permille {
        0 => Finding::ok(value),
        1..10 => Finding::note(value).advise(advice),
        _ => Finding::warning(value).advise(advice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;
    use crate::doctor::machine::tests::with;

    #[test]
    fn governors_are_counted_and_set_where_they_can_be() {
        let file = |cpu: u32, name: &str| format!("{CPUS}/cpu{cpu}/cpufreq/{name}");
        let (zero, one) = (file(0, "scaling_governor"), file(1, "scaling_governor"));
        let can = file(1, "scaling_available_governors");
        let found = governor(&with(&[
            (&zero, "performance\n"),
            (&one, "powersave\n"),
            (&can, "performance powersave\n"),
            (&format!("{CPUS}/cpufreq/x"), ""),
        ]));
        assert_eq!(found.verdict, Verdict::Warning);
        assert_eq!(found.value, "performance on 1, powersave on 1");
        assert_eq!(found.commands(), [format!("echo performance >{one}")]);
        assert_eq!(
            governor(&with(&[(&zero, "performance")])).verdict,
            Verdict::Ok
        );
        assert_eq!(governor(&with(&[])).verdict, Verdict::NotApplicable);
    }

    #[test]
    fn boost_is_off_by_one_or_by_zero() {
        for (file, text, verdict) in [
            ("intel_pstate/no_turbo", "0", Verdict::Warning),
            ("intel_pstate/no_turbo", "1", Verdict::Ok),
            ("cpufreq/boost", "1", Verdict::Warning),
            ("cpufreq/boost", "0", Verdict::Ok),
            ("x", "", Verdict::NotApplicable),
        ] {
            let found = boost(&with(&[(&format!("{CPUS}/{file}"), text)]));
            assert_eq!(found.verdict, verdict, "{file} {text}");
            assert_eq!(
                found.changes.len(),
                usize::from(verdict == Verdict::Warning)
            );
        }
    }

    #[test]
    fn threads_of_a_core_are_a_warning_only_when_they_are_on() {
        let file = format!("{CPUS}/smt/control");
        for (text, verdict) in [
            ("on", Verdict::Warning),
            ("off", Verdict::Ok),
            ("forceoff", Verdict::Ok),
            ("notsupported", Verdict::Ok),
        ] {
            assert_eq!(smt(&with(&[(&file, text)])).verdict, verdict, "{text}");
        }
    }

    #[test]
    fn what_can_be_leased_is_counted_and_nothing_is_an_error() {
        let core = |cpu: u32| format!("{CPUS}/cpu{cpu}/topology/core_cpus_list");
        let (online, zero, one) = (format!("{CPUS}/online"), core(0), core(1));
        let files = [(&*online, "0-1"), (&*zero, "0"), (&*one, "1")];
        let mut made_up = with(&files);
        assert_eq!(leases(&made_up).verdict, Verdict::NotApplicable);
        made_up.machine.settings.cpus.lease = LeaseUnit::Core;
        assert_eq!(leases(&made_up).value, "2 of \"core\": CPUs 0 1");
        made_up.machine.settings.cpus.reserve = CpuList::parse("0-1").ok();
        assert_eq!(leases(&made_up).verdict, Verdict::Error);
        let mut made_up = with(&[]);
        made_up.machine.settings.cpus.lease = LeaseUnit::Thread;
        assert_eq!(leases(&made_up).verdict, Verdict::Error);
    }

    #[test]
    fn cores_of_two_kinds_are_seen_by_their_devices_or_their_capacity() {
        assert_eq!(hybrid(&with(&[])).verdict, Verdict::Ok);
        let intel = [
            ("/sys/devices/cpu_core/cpus", "0-7"),
            ("/sys/devices/cpu_atom/cpus", "8-15"),
        ];
        assert_eq!(hybrid(&with(&intel)).value, "fast CPUs 0-7, slow CPUs 8-15");
        let capacity = |cpu: u32| format!("{CPUS}/cpu{cpu}/cpu_capacity");
        let (zero, one) = (capacity(0), capacity(1));
        assert_eq!(
            hybrid(&with(&[(&zero, "1024"), (&one, "1024")])).verdict,
            Verdict::Ok
        );
        assert_eq!(
            hybrid(&with(&[(&zero, "1024"), (&one, "446")])).verdict,
            Verdict::Warning
        );
    }

    #[test]
    fn time_that_the_hypervisor_took_is_a_share_of_all() {
        for (stolen, verdict, value) in [
            (0, Verdict::Ok, "0.0 % since boot"),
            (50, Verdict::Note, "0.5 % since boot"),
            (2000, Verdict::Warning, "16.8 % since boot"),
        ] {
            let text = format!("cpu  5000 0 2000 2800 100 0 0 {stolen} 0 0\ncpu0 1\n");
            let found = steal(&with(&[("/proc/stat", &text)]));
            assert_eq!((found.verdict, &*found.value), (verdict, value));
        }
        assert_eq!(steal(&with(&[])).verdict, Verdict::NotApplicable);
    }
}
