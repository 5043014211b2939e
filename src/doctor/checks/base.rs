//! Whether runs are possible: the configuration, the kernel, and what a control group needs.

use crate::config::settings::LeaseUnit;
use crate::doctor::finding::Finding;
use crate::doctor::machine::Machine;
use crate::quantity::ranges;
use crate::remedy::Remedy;
use crate::systemd::manager_path;

/// The oldest kernel, and the oldest systemd.
const KERNEL: (u32, u32) = (6, 1);
const SYSTEMD: u32 = 252;
/// Files of a control group that runs use, and the kernel that brought each.
const FEATURES: [(&str, &str); 4] = [
    ("cgroup.kill", "5.14"),
    ("cgroup.freeze", "5.2"),
    ("memory.peak", "5.19"),
    ("pids.peak", "6.1"),
];

pub(in super::super) fn config(machine: &Machine) -> Finding {
    match &machine.mistake {
        None => Finding::ok("it can be used"),
        Some(mistake) => Finding::error(mistake)
            .advise("correct it; until then nothing runs, and the other checks assume the defaults")
            .command("isolate-run --check-config"),
    }
}

pub(in super::super) fn kernel(machine: &Machine) -> Finding {
    let Some(release) = machine.tree.text("/proc/sys/kernel/osrelease") else {
        return Finding::not_applicable("/proc/sys/kernel/osrelease cannot be read");
    };
    match version(&release) {
        Some(version) if version >= KERNEL => Finding::ok(release),
        _ => Finding::error(release).advise("boot Linux 6.1 or newer"),
    }
}

/// The first two numbers of a release: `6.12.3-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(in super::super) fn cgroup(machine: &Machine) -> Finding {
    let mounts = machine.mounts();
    let v2 = mounts.iter().find(|mount| mount.kind == "cgroup2");
    let v1 = mounts.iter().filter(|mount| mount.kind == "cgroup").count();
    let advice = "boot with cgroup v2 alone: systemd.unified_cgroup_hierarchy=1 on the kernel's \
                  command line; in a container, mount cgroup2 at /sys/fs/cgroup";
    match v2 {
        None => Finding::error("cgroup v2 is not mounted").advise(advice),
        Some(mount) if v1 > 0 => Finding::warning(format!(
            "cgroup v2 at {}, and {v1} hierarchies of v1, whose controllers are missing there",
            mount.target.display()
        ))
        .advise(advice),
        Some(mount) => Finding::ok(format!("cgroup v2 at {}", mount.target.display())),
    }
}

pub(in super::super) fn systemd(machine: &Machine) -> Finding {
    let survey = match &machine.facts.survey {
        None => {
            return Finding::not_applicable(
                "systemd is not process 1 here; see the check delegation",
            );
        }
        Some(Err(reason)) => {
            return Finding::error(reason)
                .advise("install dbus and start it; runs get their scopes over it")
                .command("systemctl enable --now dbus.socket");
        }
        Some(Ok(survey)) => survey,
    };
    let digits = survey.version.split(|c: char| !c.is_ascii_digit()).next();
    match digits.and_then(|digits| digits.parse::<u32>().ok()) {
        Some(version) if version >= SYSTEMD => Finding::ok(&survey.version),
        _ => Finding::error(&survey.version).advise("upgrade to systemd 252 or newer"),
    }
}

pub(in super::super) fn controllers(machine: &Machine) -> Finding {
    use crate::cgroup::Place;
    let cgroup = match &machine.facts.place {
        Some(Ok(Place::Delegated { root, .. })) => root.clone(),
        Some(Ok(Place::Systemd { mount_point, .. })) => mount_point.join(manager_path()),
        Some(Ok(Place::Nowhere { .. })) => return Finding::not_applicable("no control groups"),
        _ => {
            let mounts = machine.mounts();
            let mut mounts = mounts.into_iter();
            match mounts.find(|mount| mount.kind == "cgroup2") {
                Some(mount) => mount.target,
                None => return Finding::not_applicable("cgroup v2 is not mounted"),
            }
        }
    };
    let Some(text) = machine.tree.text(cgroup.join("cgroup.controllers")) else {
        return Finding::error(format!("{} cannot be read", cgroup.display()));
    };
    let has = |name: &str| text.split(' ').any(|other| other == name);
    let value = if text.is_empty() { "none" } else { &text };
    let leased = machine.settings.cpus.lease != LeaseUnit::None;
    let pinned = leased || !machine.settings.pins.is_empty();
    let missing = |name: &str| format!("{value}; {name} is missing");
    let is_users = machine.facts.looker.is_rootless;
    if is_users && (!has("memory") || pinned && !has("cpuset") || !has("pids")) {
        Finding::warning(format!("your systemd has: {value}")).remedy(Remedy::DelegateToUser)
    } else if !has("memory") {
        Finding::error(missing("memory")).remedy(Remedy::EnableMemory)
    } else if pinned && !has("cpuset") {
        Finding::error(missing("cpuset"))
            .advise("runs in boxes of a [[pin]], and those that lease CPUs, fail without it")
    } else if !has("pids") {
        Finding::warning(missing("pids"))
            .advise("processes are limited by RLIMIT_NPROC alone without it")
    } else if !has("cpu") {
        Finding::note(missing("cpu")).advise("[ceilings] cpu_quota needs it")
    } else {
        Finding::ok(value)
    }
}

pub(in super::super) fn delegation(machine: &Machine) -> Finding {
    use crate::cgroup::Place;
    match &machine.facts.place {
        None => Finding::not_applicable("not looked at below --root"),
        Some(Err(reason)) => Finding::error(reason),
        Some(Ok(Place::Nowhere { reason })) => {
            Finding::error(format!("no control group: {reason}"))
        }
        Some(Ok(Place::Systemd { .. })) => Finding::ok("systemd delegates the scope of each run"),
        Some(Ok(Place::Delegated { root, .. })) => {
            let shown = root.display();
            match machine.tree.text(root.join("cgroup.subtree_control")) {
                Some(_) => Finding::ok(format!("{shown} is delegated")),
                None => Finding::error(format!("{shown} is no control group that can be used"))
                    .remedy(Remedy::GiveCgroup),
            }
        }
    }
}

pub(in super::super) fn features(machine: &Machine) -> Finding {
    let mounts = machine.mounts();
    let Some(mount) = mounts.iter().find(|mount| mount.kind == "cgroup2") else {
        return Finding::not_applicable("cgroup v2 is not mounted");
    };
    // The root of the hierarchy has none of these files; any group below has those of its
    // controllers.
    let groups = machine.tree.names(&mount.target);
    let groups: Vec<_> = groups.iter().map(|name| mount.target.join(name)).collect();
    let has = |file: &str| {
        groups
            .iter()
            .any(|group| machine.tree.has(group.join(file)))
    };
    if !has("cgroup.procs") {
        return Finding::not_applicable("there is no control group yet to look at");
    }
    // A controller that is not enabled anywhere has no files, whatever the kernel can do.
    let is_enabled = |file: &str| match file.split_once('.') {
        Some(("memory", _)) => has("memory.current"),
        Some(("pids", _)) => has("pids.current"),
        _ => true,
    };
    let (there, missing): (Vec<_>, Vec<_>) = FEATURES
        .into_iter()
        .filter(|(file, _)| is_enabled(file))
        .partition(|(file, _)| has(file));
    if missing.is_empty() {
        let names: Vec<_> = there.into_iter().map(|(file, _)| file).collect();
        return Finding::ok(names.join(", "));
    }
    let missing: Vec<_> = missing
        .into_iter()
        .map(|(file, since)| format!("{file} (Linux {since})"))
        .collect();
    Finding::warning(format!("this kernel lacks {}", missing.join(", ")))
        .advise("boot a newer kernel")
}

pub(in super::super) fn pins(machine: &Machine) -> Finding {
    let pins = &machine.settings.pins;
    if pins.is_empty() {
        return Finding::not_applicable("no [[pin]] in the configuration");
    }
    for (what, file, lists) in [
        (
            "CPUs",
            "/sys/devices/system/cpu/online",
            pins.iter()
                .filter_map(|pin| pin.cpus.as_ref())
                .collect::<Vec<_>>(),
        ),
        (
            "memory nodes",
            "/sys/devices/system/node/online",
            pins.iter().filter_map(|pin| pin.mems.as_ref()).collect(),
        ),
    ] {
        let Some(online) = machine.tree.text(file) else {
            continue;
        };
        let there = ranges(&online).unwrap_or_default();
        let is_there = |number: u32| there.iter().any(|range| range.contains(&number));
        for list in lists {
            let wanted = ranges(list.as_str()).unwrap_or_default();
            if !wanted.into_iter().flatten().all(is_there) {
                return Finding::error(format!(
                    "[[pin]] names the {what} {}, but online are {online}",
                    list.as_str()
                ))
                .advise("correct the [[pin]]; runs in its boxes fail");
            }
        }
    }
    Finding::ok(format!("{} of them, all online", pins.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Place;
    use crate::config::box_set::BoxSet;
    use crate::config::settings::Pin;
    use crate::doctor::finding::Verdict;
    use crate::doctor::machine::tests::with;
    use crate::quantity::CpuList;
    use crate::systemd::Survey;

    const MOUNT: &str = "30 21 0:26 / /cg rw - cgroup2 cgroup2 rw,nsdelegate\n";
    const OLD: &str = "31 21 0:27 / /cg/memory rw - cgroup cgroup rw,memory\n";

    #[test]
    fn an_old_kernel_is_an_error() {
        for (release, verdict) in [
            ("6.1.0-13-amd64", Verdict::Ok),
            ("6.12", Verdict::Ok),
            ("10.0-rc1", Verdict::Ok),
            ("6.0.19", Verdict::Error),
            ("5.15.0", Verdict::Error),
            ("x", Verdict::Error),
        ] {
            let machine = with(&[("/proc/sys/kernel/osrelease", release)]);
            assert_eq!(kernel(&machine).verdict, verdict, "{release}");
        }
    }

    #[test]
    fn cgroup_v1_beside_v2_is_seen() {
        let of = |text: &str| cgroup(&with(&[("/proc/self/mountinfo", text)])).verdict;
        assert_eq!(of(MOUNT), Verdict::Ok);
        assert_eq!(of(&[MOUNT, OLD].concat()), Verdict::Warning);
        assert_eq!(of(OLD), Verdict::Error);
    }

    #[test]
    fn controllers_that_are_missing_are_named() {
        for (text, verdict) in [
            ("cpuset cpu io memory pids", Verdict::Ok),
            ("cpuset io memory pids", Verdict::Note),
            ("cpu memory", Verdict::Warning),
            ("cpu pids", Verdict::Error),
            ("", Verdict::Error),
        ] {
            let files = [
                ("/proc/self/mountinfo", MOUNT),
                ("/cg/cgroup.controllers", text),
            ];
            assert_eq!(controllers(&with(&files)).verdict, verdict, "{text}");
        }
    }

    #[test]
    fn a_users_own_systemd_may_have_fewer_of_them() {
        for (text, verdict) in [("cpu memory pids", Verdict::Ok), ("cpu", Verdict::Warning)] {
            let mut made_up = with(&[("/cg/cgroup.controllers", text)]);
            made_up.machine.facts.looker.is_rootless = true;
            made_up.machine.facts.place = Some(Ok(Place::Systemd {
                mount_point: "/cg".into(),
                has_memory: text.contains("memory"),
            }));
            let found = controllers(&made_up);
            assert_eq!(found.verdict, verdict, "{found:?}");
        }
    }

    #[test]
    fn an_old_systemd_and_a_dead_bus_are_errors() {
        let mut machine = with(&[]).machine;
        assert_eq!(systemd(&machine).verdict, Verdict::NotApplicable);
        let version = |version: &str| Survey {
            version: version.into(),
            ..Survey::default()
        };
        for (survey, verdict) in [
            (Ok(version("257.8-1~deb13u1")), Verdict::Ok),
            (Ok(version("251")), Verdict::Error),
            (Err("no bus".to_owned()), Verdict::Error),
        ] {
            machine.facts.survey = Some(survey);
            assert_eq!(systemd(&machine).verdict, verdict);
        }
    }

    #[test]
    fn a_delegated_cgroup_must_be_one() {
        let mut made_up = with(&[("/cg/own/cgroup.subtree_control", "")]);
        for (root, verdict) in [("/cg/own", Verdict::Ok), ("/cg/none", Verdict::Error)] {
            made_up.machine.facts.place = Some(Ok(Place::Delegated {
                root: root.into(),
                has_memory: true,
            }));
            assert_eq!(delegation(&made_up).verdict, verdict, "{root}");
        }
    }

    #[test]
    fn a_feature_is_missing_only_where_its_controller_is_enabled() {
        let base = [
            ("/proc/self/mountinfo", MOUNT),
            ("/cg/a.slice/cgroup.procs", ""),
            ("/cg/a.slice/cgroup.kill", ""),
            ("/cg/a.slice/cgroup.freeze", ""),
        ];
        assert_eq!(features(&with(&base)).value, "cgroup.kill, cgroup.freeze");
        let old = [&base[..], &[("/cg/a.slice/memory.current", "1")]].concat();
        let found = features(&with(&old));
        assert_eq!(found.verdict, Verdict::Warning);
        assert!(
            found.value.contains("memory.peak (Linux 5.19)"),
            "{found:?}"
        );
    }

    #[test]
    fn a_pin_to_a_cpu_that_is_not_there_is_an_error() {
        let mut made_up = with(&[("/sys/devices/system/cpu/online", "0-3,8")]);
        for (cpus, verdict) in [
            ("0-3", Verdict::Ok),
            ("8", Verdict::Ok),
            ("3-4", Verdict::Error),
        ] {
            made_up.machine.settings.pins = vec![Pin {
                boxes: BoxSet::parse("0").unwrap(),
                cpus: Some(CpuList::parse(cpus).unwrap()),
                mems: None,
            }];
            assert_eq!(pins(&made_up).verdict, verdict, "{cpus}");
        }
    }
}
