//! Whether the ids of the boxes belong to nobody else.

use std::ops::RangeInclusive;

use crate::doctor::finding::Finding;
use crate::doctor::machine::Machine;

/// What systemd-homed gives out (systemd: docs/UIDS-GIDS.md).
const HOMED: RangeInclusive<u32> = 60_001..=60_513;
/// What systemd gives to services with DynamicUser=, there as well.
const DYNAMIC: RangeInclusive<u32> = 61_184..=65_519;
/// Two numbers that are nobody's: the kernel's overflow id, and a 16-bit "none".
const NOBODY: RangeInclusive<u32> = 65_534..=65_535;
/// How many names are told.
const NAMES: usize = 5;
const ADVICE: &str = "set [boxes] first_uid and first_gid, or subid_user, to ids that nobody has";

/// The uids and the gids of the boxes.
fn own(machine: &Machine) -> [RangeInclusive<u32>; 2] {
    let boxes = &machine.settings.boxes;
    let last = |first: u32| first.saturating_add(boxes.count.saturating_sub(1));
    [
        boxes.first_uid..=last(boxes.first_uid),
        boxes.first_gid..=last(boxes.first_gid),
    ]
}

fn overlap(one: &RangeInclusive<u32>, other: &RangeInclusive<u32>) -> bool {
    one.start() <= other.end() && other.start() <= one.end()
}

fn shown(range: &RangeInclusive<u32>) -> String {
    format!("{}-{}", range.start(), range.end())
}

/// What holds for who has no root and no broker: the kernel maps ids of boxes to theirs.
fn of_namespace() -> Finding {
    Finding::not_applicable("programs have your own subordinate ids")
}

pub(in super::super) fn ids(machine: &Machine) -> Finding {
    if machine.facts.looker.is_rootless {
        return of_namespace();
    }
    let [uids, gids] = own(machine);
    let mut taken = Vec::new();
    for (file, what, range) in [
        ("/etc/passwd", "user", &uids),
        ("/etc/group", "group", &gids),
    ] {
        let text = machine.tree.text(file).unwrap_or_default();
        for line in text.lines() {
            let mut fields = line.split(':');
            let name = fields.next().unwrap_or_default();
            let id = fields.nth(1).and_then(|id| id.parse().ok());
            if let Some(id) = id.filter(|id| range.contains(id)) {
                taken.push(format!("{what} {name} ({id})"));
            }
        }
    }
    let range = format!("uids {}, gids {}", shown(&uids), shown(&gids));
    if !taken.is_empty() {
        let more = taken.len().saturating_sub(NAMES);
        taken.truncate(NAMES);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        return Finding::error(format!("{range}; taken: {}{more}", taken.join(", ")))
            .advise(ADVICE);
    }
    for (theirs, whose) in [
        (DYNAMIC, "systemd's services with DynamicUser="),
        (NOBODY, "nobody"),
    ] {
        if overlap(&uids, &theirs) || overlap(&gids, &theirs) {
            let theirs = shown(&theirs);
            return Finding::warning(format!("{range}; {theirs} are those of {whose}"))
                .advise(ADVICE);
        }
    }
    Finding::ok(range)
}

pub(in super::super) fn subids(machine: &Machine) -> Finding {
    if machine.facts.looker.is_rootless {
        return of_namespace();
    }
    let [uids, gids] = own(machine);
    let mut found = Vec::new();
    for (file, range) in [("/etc/subuid", &uids), ("/etc/subgid", &gids)] {
        let text = machine.tree.text(file).unwrap_or_default();
        for line in text.lines() {
            let mut fields = line.trim().split(':');
            let user = fields.next().unwrap_or_default();
            if machine.settings.boxes.subid_user.as_deref() == Some(user) {
                continue;
            }
            let mut number = || fields.next()?.parse::<u32>().ok();
            let Some((first, count)) = number().zip(number()).filter(|(_, count)| *count > 0)
            else {
                continue;
            };
            if overlap(range, &(first..=first.saturating_add(count - 1))) {
                found.push(format!("{file}: {}", line.trim()));
            }
        }
    }
    if found.is_empty() {
        return Finding::ok("no range of another user has ids of boxes");
    }
    Finding::error(found.join("; ")).advise(ADVICE)
}

pub(in super::super) fn homed(machine: &Machine) -> Finding {
    if machine.facts.looker.is_rootless {
        return of_namespace();
    }
    let Some(survey) = machine.survey() else {
        return Finding::not_applicable("systemd was not asked");
    };
    if !survey.is_active("systemd-homed.service") {
        return Finding::ok("systemd-homed does not run");
    }
    let [uids, gids] = own(machine);
    if overlap(&uids, &HOMED) || overlap(&gids, &HOMED) {
        let text = format!(
            "systemd-homed gives out the ids {} to users; boxes have uids {} and gids {}",
            shown(&HOMED),
            shown(&uids),
            shown(&gids)
        );
        return Finding::error(text).advise(ADVICE);
    }
    Finding::ok("systemd-homed runs, and gives out other ids")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;
    use crate::doctor::machine::tests::with;
    use crate::systemd::{Survey, UnitState};

    #[test]
    fn a_user_or_group_with_an_id_of_a_box_is_named() {
        let root = "root:x:0:0::/:/bin/sh\n";
        let found = |passwd: &str, group: &str| {
            ids(&with(&[("/etc/passwd", passwd), ("/etc/group", group)]))
        };
        assert_eq!(found(root, "root:x:0:\n").verdict, Verdict::Ok);
        let taken = found("ann:x:60999:1::/:/bin/sh\n", "judges:x:60000:\n");
        assert_eq!(taken.verdict, Verdict::Error);
        assert!(
            taken
                .value
                .contains("user ann (60999), group judges (60000)"),
            "{taken:?}"
        );
        assert_eq!(
            found("bob:x:61000:1::/:/bin/sh\n", "x\n:\n").verdict,
            Verdict::Ok
        );
    }

    #[test]
    fn who_has_a_namespace_has_ids_of_their_own() {
        let mut made_up = with(&[("/etc/passwd", "ann:x:60003:60003::/:\n")]);
        assert_eq!(ids(&made_up).verdict, Verdict::Error);
        made_up.machine.facts.looker.is_rootless = true;
        for check in [ids, subids, homed] {
            assert_eq!(check(&made_up).verdict, Verdict::NotApplicable);
        }
    }

    #[test]
    fn ids_of_services_and_nobody_are_no_ones_to_take() {
        let mut made_up = with(&[]);
        for (first, count, verdict) in [
            (61_000, 184, Verdict::Ok),
            (61_000, 185, Verdict::Warning),
            (65_520, 14, Verdict::Ok),
            (65_520, 15, Verdict::Warning),
        ] {
            made_up.machine.settings.boxes.first_uid = first;
            made_up.machine.settings.boxes.count = count;
            assert_eq!(ids(&made_up).verdict, verdict, "{first} {count}");
        }
    }

    #[test]
    fn subordinate_ids_of_others_are_not_ours() {
        let mut made_up = with(&[
            (
                "/etc/subuid",
                "ann:100000:65536\nisolate:60000:1000\nbroken:1\n",
            ),
            ("/etc/subgid", "ann:100000:65536\n"),
        ]);
        assert_eq!(subids(&made_up).verdict, Verdict::Error);
        made_up.machine.settings.boxes.subid_user = Some("isolate".into());
        assert_eq!(subids(&made_up).verdict, Verdict::Ok);
        made_up.machine.settings.boxes.first_gid = 165_000;
        assert!(
            subids(&made_up)
                .value
                .contains("/etc/subgid: ann:100000:65536")
        );
    }

    #[test]
    fn homed_matters_where_it_runs() {
        let mut made_up = with(&[]);
        assert_eq!(homed(&made_up).verdict, Verdict::NotApplicable);
        for (active, verdict) in [("inactive", Verdict::Ok), ("active", Verdict::Error)] {
            let unit = UnitState {
                name: "systemd-homed.service".into(),
                load: "loaded".into(),
                active: active.into(),
            };
            made_up.machine.facts.survey = Some(Ok(Survey {
                units: vec![unit],
                ..Survey::default()
            }));
            assert_eq!(homed(&made_up).verdict, verdict);
        }
        made_up.machine.settings.boxes.first_uid = 70_000;
        made_up.machine.settings.boxes.first_gid = 70_000;
        assert_eq!(homed(&made_up).verdict, Verdict::Ok);
    }
}
