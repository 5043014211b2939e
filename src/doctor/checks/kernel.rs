//! Settings of the kernel that programs can feel, or reach out by.

use crate::doctor::change::Change;
use crate::doctor::finding::Finding;
use crate::doctor::machine::Machine;
use crate::syscall_set::Restriction;

/// Modules that the kernel loads because some program asked for a kind of socket.
const BY_SOCKET: [&str; 17] = [
    "af_alg",
    "appletalk",
    "atm",
    "ax25",
    "can",
    "dccp",
    "kcm",
    "l2tp_core",
    "nfc",
    "phonet",
    "qrtr",
    "rds",
    "rxrpc",
    "sctp",
    "smc",
    "tipc",
    "x25",
];

pub(in super::super) fn aslr(machine: &Machine) -> Finding {
    let file = "/proc/sys/kernel/randomize_va_space";
    match machine.tree.text(file) {
        None => Finding::not_applicable("the kernel does not say"),
        Some(off) if off == "0" => Finding::ok("off"),
        Some(on) => Finding::note(format!("on ({on})"))
            .advise("it protects the services of this machine as well: switch it off only where times must repeat to a percent")
            .change(Change::write(file, on, "0")),
    }
}

pub(in super::super) fn core_pattern(machine: &Machine) -> Finding {
    let file = "/proc/sys/kernel/core_pattern";
    match machine.tree.text(file) {
        None => Finding::not_applicable("the kernel does not say"),
        Some(pattern) if pattern.starts_with('|') => {
            Finding::warning(&pattern).change(Change::write(file, pattern, "core"))
        }
        Some(pattern) => Finding::ok(pattern),
    }
}

pub(in super::super) fn hard_links(machine: &Machine) -> Finding {
    let mut off = Vec::new();
    for name in ["protected_hardlinks", "protected_symlinks"] {
        let file = format!("/proc/sys/fs/{name}");
        match machine.tree.text(&file) {
            None => return Finding::not_applicable("the kernel does not say"),
            Some(value) if value == "0" => off.push((name, Change::write(&file, value, "1"))),
            Some(_) => {}
        }
    }
    if off.is_empty() {
        return Finding::ok("both are protected");
    }
    let names: Vec<_> = off
        .iter()
        .map(|(name, _)| format!("fs.{name} = 0"))
        .collect();
    let changes = off.into_iter().map(|(_, change)| change);
    changes.fold(Finding::warning(names.join(", ")), Finding::change)
}

pub(in super::super) fn modules(machine: &Machine) -> Finding {
    let disabled = machine.tree.text("/proc/sys/kernel/modules_disabled");
    let Some(disabled) = disabled else {
        return Finding::ok("this kernel loads none");
    };
    if disabled == "1" {
        return Finding::ok("no more modules are loaded (kernel.modules_disabled)");
    }
    let text = machine.tree.text("/proc/modules").unwrap_or_default();
    let loaded = text.lines().filter_map(|line| line.split(' ').next());
    let loaded: Vec<_> = loaded.filter(|name| BY_SOCKET.contains(name)).collect();
    let denies = |restriction| machine.settings.syscalls.contains(restriction);
    if denies(Restriction::RareSockets) && denies(Restriction::UserNamespaces) {
        return match loaded.as_slice() {
            [] => Finding::ok("programs have no sockets that load one"),
            loaded => Finding::note(format!(
                "programs have no sockets that load one; there are, from elsewhere: {}",
                loaded.join(", ")
            )),
        };
    }
    let loaded = match loaded.as_slice() {
        [] => String::new(),
        loaded => format!("; loaded are: {}", loaded.join(", ")),
    };
    Finding::warning(format!(
        "[syscalls] deny lets programs have sockets that load modules{loaded}"
    ))
    .advise(
        "deny \"rare-sockets\" and \"user-namespaces\" again, or end the loading of modules \
             until the next boot",
    )
    .command("sysctl -w kernel.modules_disabled=1")
}

pub(in super::super) fn user_namespaces(machine: &Machine) -> Finding {
    let number = |name: &str| machine.tree.text(format!("/proc/sys/{name}"));
    let off = number("user/max_user_namespaces").as_deref() == Some("0")
        || number("kernel/unprivileged_userns_clone").as_deref() == Some("0");
    let by_apparmor =
        number("kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1");
    let denied = machine
        .settings
        .syscalls
        .contains(Restriction::UserNamespaces);
    match (denied, off, by_apparmor) {
        (_, true, _) => Finding::ok("users have none"),
        (_, _, true) => Finding::ok("AppArmor takes their rights away"),
        (true, ..) => Finding::ok("users have them; programs in boxes do not"),
        (false, ..) => Finding::warning("programs in boxes may make them ([syscalls] deny)").advise(
            "deny \"user-namespaces\" again, unless programs need them: in one, a program is root \
             over large parts of the kernel",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;
    use crate::doctor::machine::tests::with;
    use crate::syscall_set::SyscallSet;

    #[test]
    fn what_a_crash_starts_outside_of_the_box_is_a_warning() {
        let of = |text: &str| core_pattern(&with(&[("/proc/sys/kernel/core_pattern", text)]));
        assert_eq!(of("core").verdict, Verdict::Ok);
        assert_eq!(of("/var/core/%p").verdict, Verdict::Ok);
        let piped = of("|/usr/lib/systemd/systemd-coredump %P");
        assert_eq!(piped.commands(), ["sysctl -w kernel.core_pattern=core"]);
    }

    #[test]
    fn links_are_protected_both_or_mended_each() {
        let of = |hard: &str, soft: &str| {
            let files = [
                ("/proc/sys/fs/protected_hardlinks", hard),
                ("/proc/sys/fs/protected_symlinks", soft),
            ];
            hard_links(&with(&files))
        };
        assert_eq!(of("1", "1").verdict, Verdict::Ok);
        assert_eq!(
            of("0", "1").commands(),
            ["sysctl -w fs.protected_hardlinks=1"]
        );
        assert_eq!(of("0", "0").changes.len(), 2);
        assert_eq!(hard_links(&with(&[])).verdict, Verdict::NotApplicable);
    }

    #[test]
    fn random_addresses_are_a_note() {
        let of = |text: &str| aslr(&with(&[("/proc/sys/kernel/randomize_va_space", text)]));
        assert_eq!(of("0").verdict, Verdict::Ok);
        assert_eq!(of("2").verdict, Verdict::Note);
    }

    #[test]
    fn what_programs_may_load_depends_on_what_they_are_denied() {
        let enabled = ("/proc/sys/kernel/modules_disabled", "0");
        let rds = ("/proc/modules", "ext4 1 0 - Live 0x0\nrds 1 0 - Live 0x0\n");
        assert_eq!(modules(&with(&[enabled])).verdict, Verdict::Ok);
        let mut here = with(&[enabled, rds]);
        assert_eq!(modules(&here).verdict, Verdict::Note);
        here.machine.settings.syscalls = SyscallSet::EMPTY;
        let found = modules(&here);
        assert_eq!(found.verdict, Verdict::Warning);
        assert!(found.value.ends_with("loaded are: rds"), "{found:?}");
        here.machine
            .tree
            .write("/proc/sys/kernel/modules_disabled", "1")
            .unwrap();
        assert_eq!(modules(&here).verdict, Verdict::Ok);
    }

    #[test]
    fn user_namespaces_are_a_warning_where_nobody_takes_them_away() {
        let mut here = with(&[("/proc/sys/user/max_user_namespaces", "1000")]);
        assert_eq!(user_namespaces(&here).verdict, Verdict::Ok);
        here.machine.settings.syscalls = SyscallSet::EMPTY;
        assert_eq!(user_namespaces(&here).verdict, Verdict::Warning);
        here.machine
            .tree
            .write("/proc/sys/user/max_user_namespaces", "0")
            .unwrap();
        assert_eq!(user_namespaces(&here).verdict, Verdict::Ok);
    }
}
