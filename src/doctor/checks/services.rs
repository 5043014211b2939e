//! The services that runs need, and those that disturb them.

use std::os::unix::fs::MetadataExt;

use crate::doctor::change::Change;
use crate::doctor::finding::Finding;
use crate::doctor::machine::Machine;
use crate::remedy::Remedy;

/// Timers of systems that work hard, or change the system, when nobody expects it.
const HEAVY: [&str; 22] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "btrfs-balance.timer",
    "btrfs-scrub.timer",
    "dnf-automatic.timer",
    "dnf-automatic-install.timer",
    "dnf-makecache.timer",
    "dnf5-automatic.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "fwupd-refresh.timer",
    "man-db.timer",
    "mdcheck_continue.timer",
    "mdcheck_start.timer",
    "mlocate-updatedb.timer",
    "packagekit-offline-update.timer",
    "pamac-mirrorlist.timer",
    "plocate-updatedb.timer",
    "raid-check.timer",
    "updatedb.timer",
    "xfs_scrub_all.timer",
    "zypper-refresh.timer",
];
/// Where the policy of our actions has to be.
const POLICY: &str = "/usr/share/polkit-1/actions/io.github.isolate_run.policy";
/// The link that enables the broker's socket.
const ENABLED: &str = "/etc/systemd/system/sockets.target.wants/isolate.socket";
/// The directory of the broker's socket.
const RUN: &str = "/run/isolate";
const NOT_ASKED: &str = "systemd was not asked";

pub(in super::super) fn broker(machine: &Machine) -> Finding {
    let Some(survey) = machine.survey() else {
        return Finding::not_applicable(NOT_ASKED);
    };
    let state = |name: &str| {
        let unit = survey.unit(name);
        unit.map_or(("not-found", "inactive"), |unit| {
            (&*unit.load, &*unit.active)
        })
    };
    let (socket, service) = (state("isolate.socket"), state("isolate.service"));
    let log = "journalctl -u isolate.service -u isolate.socket";
    match (socket, service) {
        (("not-found", _), _) => {
            Finding::note("not installed: users other than root do without it (--rootless)")
                .advise("install isolate-run as a service: its package, or ./install of its source")
        }
        (_, (_, "failed")) | ((_, "failed"), _) => Finding::error("isolate.service has failed")
            .advise("its log says why")
            .command(log),
        ((_, "active"), _) => reachable(machine),
        (("masked", _), _) => Finding::warning("isolate.socket is masked: only root can use boxes")
            .command("systemctl unmask isolate.socket"),
        (_, _) => {
            let finding = Finding::warning("isolate.socket is not active: only root can use boxes");
            // What was enabled and only stopped is not to be disabled by --undo.
            let undo: &[&str] = match machine.tree.has(ENABLED) {
                true => &["systemctl", "stop", "isolate.socket"],
                false => &["systemctl", "disable", "--now", "isolate.socket"],
            };
            let command = ["systemctl", "enable", "--now", "isolate.socket"];
            finding.change(Change::run(&command, undo, true))
        }
    }
}

/// Whether users come to the socket of a broker that listens.
fn reachable(machine: &Machine) -> Finding {
    let stat = std::fs::metadata(machine.tree.path(RUN));
    match stat.map(|stat| stat.mode() & 0o7777) {
        Ok(mode) if mode & 0o011 == 0o010 => Finding::note(format!(
            "it listens, and only the group of {RUN} may enter (mode {mode:04o})"
        )),
        Ok(mode) if mode & 0o001 == 0 => {
            let value = format!("it listens, but users may not enter {RUN} (mode {mode:04o})");
            let undo = format!("{mode:04o}");
            Finding::error(value).change(Change::run(
                &["chmod", "0755", RUN],
                &["chmod", &undo, RUN],
                false,
            ))
        }
        _ => Finding::ok("it listens"),
    }
}

pub(in super::super) fn polkit(machine: &Machine) -> Finding {
    if machine.facts.looker.is_rootless {
        return Finding::not_applicable("nobody is asked about who does without the broker");
    }
    let Some(survey) = machine.survey() else {
        return Finding::not_applicable(NOT_ASKED);
    };
    let has_broker = survey
        .unit("isolate.socket")
        .is_some_and(|unit| unit.load == "loaded");
    // Whom the broker lets in by itself.
    let members = &machine.settings.broker.groups;
    let finding = |what: &str| match (has_broker, members.is_empty()) {
        (false, _) => Finding::note(format!("{what}: only root can use boxes")),
        (true, true) => Finding::error(format!("{what}: only root can use boxes")),
        (true, false) => Finding::warning(format!(
            "{what}: only root and members of {} can use boxes",
            members.join(", ")
        )),
    };
    let service = survey.unit("polkit.service");
    let service = service.map_or(("", ""), |unit| (&*unit.load, &*unit.active));
    if let ("masked", "inactive" | "failed") = service {
        finding("polkit.service is masked").command("systemctl unmask polkit.service")
    } else if service.1 == "failed" {
        finding("polkit.service has failed")
            .remedy(Remedy::ReadPolkitLog)
            .command("systemctl restart polkit.service")
    } else if !survey.has_polkit {
        finding("not on the bus").remedy(Remedy::InstallPolkit)
    } else if !machine.tree.has(POLICY) {
        finding("it does not know the actions of isolate-run").remedy(Remedy::InstallPolicy)
    } else {
        Finding::ok("it knows the actions of isolate-run")
    }
}

pub(in super::super) fn oomd(machine: &Machine) -> Finding {
    let Some(survey) = machine.survey() else {
        return Finding::not_applicable(NOT_ASKED);
    };
    if !survey.is_active("systemd-oomd.service") {
        return Finding::ok("systemd-oomd does not run");
    }
    if survey.oomd_may_kill.is_empty() {
        return Finding::ok("systemd-oomd leaves runs alone");
    }
    let slices = survey.oomd_may_kill.join(", ");
    let names = survey.oomd_may_kill.iter();
    let mut names: Vec<_> = names.filter_map(|slice| slice.split(' ').next()).collect();
    names.dedup();
    let commands = names.iter().map(|name| {
        let properties = "ManagedOOMSwap=auto ManagedOOMMemoryPressure=auto";
        format!("systemctl set-property -- {name} {properties}")
    });
    Finding::warning(format!("systemd-oomd may kill below {slices}"))
        .command(commands.collect::<Vec<_>>().join(" && "))
}

pub(in super::super) fn timers(machine: &Machine) -> Finding {
    let Some(survey) = machine.survey() else {
        return Finding::not_applicable(NOT_ASKED);
    };
    let active = HEAVY.into_iter().filter(|name| survey.is_active(name));
    let active: Vec<_> = active.collect();
    if active.is_empty() {
        return Finding::ok("none that is known to work hard");
    }
    let change = |timer: &&str| {
        Change::run(
            &["systemctl", "disable", "--now", timer],
            &["systemctl", "enable", "--now", timer],
            true,
        )
    };
    let finding = Finding::warning(active.join(", "))
        .advise("then upgrade and clean up by hand between contests");
    active.iter().map(change).fold(finding, Finding::change)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::doctor::finding::Verdict;
    use crate::doctor::machine::tests::{MadeUp, with};
    use crate::systemd::{Survey, UnitState};

    fn unit(name: &str, load: &str, active: &str) -> UnitState {
        UnitState {
            name: name.into(),
            load: load.into(),
            active: active.into(),
        }
    }

    fn running(units: &[(&str, &str, &str)]) -> MadeUp {
        let mut made_up = with(&[(POLICY, "")]);
        made_up.machine.facts.survey = Some(Ok(Survey {
            units: units
                .iter()
                .map(|(name, load, active)| unit(name, load, active))
                .collect(),
            has_polkit: true,
            ..Survey::default()
        }));
        made_up
    }

    fn survey(made_up: &mut MadeUp) -> &mut Survey {
        made_up
            .machine
            .facts
            .survey
            .as_mut()
            .unwrap()
            .as_mut()
            .unwrap()
    }

    #[test]
    fn a_broker_that_does_not_listen_is_started() {
        let of = |socket: (&str, &str), service: &str| {
            broker(&running(&[
                ("isolate.socket", socket.0, socket.1),
                ("isolate.service", socket.0, service),
            ]))
        };
        assert_eq!(of(("loaded", "active"), "inactive").verdict, Verdict::Ok);
        assert_eq!(of(("loaded", "active"), "failed").verdict, Verdict::Error);
        let shut = running(&[("isolate.socket", "loaded", "active")]);
        shut.machine.tree.replace("/run/isolate/x", "").unwrap();
        let dir = shut.machine.tree.path(RUN);
        std::fs::set_permissions(dir, Permissions::from_mode(0o700)).unwrap();
        let found = broker(&shut);
        assert_eq!(found.verdict, Verdict::Error);
        assert_eq!(found.commands(), ["chmod 0755 /run/isolate"]);
        assert_eq!(found.changes[0].undo_command(), "chmod 0700 /run/isolate");
        assert_eq!(of(("masked", "inactive"), "inactive").changes.len(), 0);
        let stopped = of(("loaded", "inactive"), "inactive");
        assert_eq!(
            stopped.commands(),
            ["systemctl enable --now isolate.socket"]
        );
        let undone = stopped.changes[0].undo_command();
        assert_eq!(undone, "systemctl disable --now isolate.socket");
        let enabled = running(&[("isolate.socket", "loaded", "inactive")]);
        enabled.machine.tree.replace(ENABLED, "").unwrap();
        let undone = broker(&enabled).changes[0].undo_command();
        assert_eq!(undone, "systemctl stop isolate.socket");
        assert_eq!(broker(&running(&[])).verdict, Verdict::Note);
        assert_eq!(broker(&with(&[])).verdict, Verdict::NotApplicable);
    }

    #[test]
    fn polkit_matters_where_there_is_a_broker() {
        let mut here = running(&[("isolate.socket", "loaded", "active")]);
        assert_eq!(polkit(&here).verdict, Verdict::Ok);
        here.machine.tree.remove(POLICY).unwrap();
        let found = polkit(&here);
        assert_eq!(found.verdict, Verdict::Warning);
        assert!(found.value.ends_with("members of isolate can use boxes"));
        here.machine.settings.broker.groups.clear();
        assert_eq!(polkit(&here).verdict, Verdict::Error);
        survey(&mut here).has_polkit = false;
        assert!(polkit(&here).advice.unwrap().contains("install polkit"));
        let broker = ("isolate.socket", "loaded", "active");
        let masked = running(&[broker, ("polkit.service", "masked", "inactive")]);
        let found = polkit(&masked);
        assert_eq!(found.verdict, Verdict::Warning);
        let unmask = ["systemctl unmask polkit.service"];
        assert_eq!(found.commands(), unmask);
        let failed = running(&[broker, ("polkit.service", "loaded", "failed")]);
        assert_eq!(polkit(&failed).verdict, Verdict::Warning);
        let at_rest = running(&[broker, ("polkit.service", "loaded", "inactive")]);
        assert_eq!(polkit(&at_rest).verdict, Verdict::Ok);
        let mut without = running(&[]);
        survey(&mut without).has_polkit = false;
        assert_eq!(polkit(&without).verdict, Verdict::Note);
        without.machine.facts.looker.is_rootless = true;
        assert_eq!(polkit(&without).verdict, Verdict::NotApplicable);
    }

    #[test]
    fn oomd_is_told_to_leave_the_slices_alone_that_it_may_kill_in() {
        let mut here = running(&[("systemd-oomd.service", "loaded", "active")]);
        assert_eq!(oomd(&here).verdict, Verdict::Ok);
        survey(&mut here).oomd_may_kill =
            vec!["-.slice (swap)".into(), "-.slice (memory pressure)".into()];
        let found = oomd(&here);
        assert_eq!(found.verdict, Verdict::Warning);
        let command = "systemctl set-property -- -.slice ManagedOOMSwap=auto \
                       ManagedOOMMemoryPressure=auto";
        assert_eq!(found.commands(), [command]);
    }

    #[test]
    fn timers_that_work_hard_are_named_and_others_are_not() {
        let here = running(&[
            ("apt-daily.timer", "loaded", "active"),
            ("man-db.timer", "loaded", "inactive"),
            ("systemd-tmpfiles-clean.timer", "loaded", "active"),
        ]);
        let found = timers(&here);
        assert_eq!(found.value, "apt-daily.timer");
        assert_eq!(
            found.commands(),
            ["systemctl disable --now apt-daily.timer"]
        );
        assert_eq!(timers(&running(&[])).verdict, Verdict::Ok);
    }
}
