//! What an ordinary user needs to run programs by their own systemd.

use crate::doctor::finding::Finding;
use crate::doctor::machine::Machine;
use crate::remedy::Remedy;
use crate::rootless::{name_in, range_of};

/// Where a program that maps ids may be; the last is NixOS's.
const TOOL_PLACES: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"];

/// Our profile for AppArmor, which gives user namespaces back where it restricts them.
const PROFILE: &str = "/etc/apparmor.d/isolate-run";

pub(in super::super) fn rootless(machine: &Machine) -> Finding {
    let looker = &machine.facts.looker;
    if looker.is_root {
        return Finding::not_applicable("a user who is not root sees theirs");
    }
    let has_broker = machine
        .survey()
        .and_then(|survey| survey.unit("isolate.socket"))
        .is_some_and(|unit| unit.load != "not-found");
    if has_broker && !looker.is_rootless {
        return Finding::not_applicable("the broker acts for users here");
    }
    let uid = looker.uid;
    let passwd = machine.tree.text("/etc/passwd").unwrap_or_default();
    let name = name_in(&passwd, uid);
    let (obstacles, ids) = obstacles(machine, uid, name.as_deref());
    if !obstacles.is_empty() {
        let (values, remedies): (Vec<_>, Vec<_>) = obstacles.into_iter().unzip();
        let mut words: Vec<_> = remedies.into_iter().map(Remedy::words).collect();
        words.dedup();
        return Finding::error(values.join(", ")).advise(words.join("; "));
    }
    let manager = format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service");
    let controllers = machine.tree.text(format!("{manager}/cgroup.controllers"));
    let controllers = controllers.unwrap_or_default();
    let lacks = |wanted: &str| !controllers.split_whitespace().any(|name| name == wanted);
    let lingers =
        name.is_some_and(|name| machine.tree.has(format!("/var/lib/systemd/linger/{name}")));
    let shown = match controllers.as_str() {
        "" => "no controllers",
        some => some,
    };
    let value = format!("{ids} subordinate ids; your systemd has: {shown}");
    if lacks("memory") || lacks("pids") {
        Finding::warning(format!("{value}; without memory and pids there is no --cg"))
            .remedy(Remedy::DelegateToUser)
    } else if !lingers {
        Finding::note(format!("{value}; it ends with your last session"))
            .advise("an administrator keeps it running, for services and after a logout")
            .command("loginctl enable-linger USER")
    } else if lacks("cpuset") {
        Finding::note(format!("{value}; without cpuset there are no pins"))
            .remedy(Remedy::DelegateToUser)
    } else {
        Finding::ok(value)
    }
}

/// What is in the way, each with what mends it, and how many subordinate ids there are.
fn obstacles(machine: &Machine, uid: u32, name: Option<&str>) -> (Vec<(String, Remedy)>, u32) {
    let mut found = Vec::new();
    let runtime = format!("/run/user/{uid}");
    let has = |path: &str| machine.tree.has(format!("{runtime}/{path}"));
    if !has("bus") && !has("systemd/private") {
        found.push((
            format!("your systemd does not run ({runtime})"),
            Remedy::StartUsersManager,
        ));
    }
    for tool in ["newuidmap", "newgidmap"] {
        let mut places = TOOL_PLACES.into_iter();
        if !places.any(|place| machine.tree.has(format!("{place}/{tool}"))) {
            found.push((format!("there is no {tool}"), Remedy::InstallUidmap));
        }
    }
    let mut ids = u32::MAX;
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = machine.tree.text(file).unwrap_or_default();
        match range_of(&text, name, uid) {
            Some(range) => ids = ids.min(range.count),
            None => found.push((format!("you have no ids in {file}"), Remedy::AddSubIds)),
        }
    }
    let number = |name: &str| machine.tree.text(format!("/proc/sys/{name}"));
    if number("user/max_user_namespaces").as_deref() == Some("0") {
        found.push((
            "user.max_user_namespaces is 0".into(),
            Remedy::RaiseUserNamespaces,
        ));
    }
    if number("kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        let value = "kernel.unprivileged_userns_clone is 0".into();
        found.push((value, Remedy::AllowUserNamespaces));
    }
    let restricts = number("kernel/apparmor_restrict_unprivileged_userns");
    if restricts.as_deref() == Some("1") && !machine.tree.has(PROFILE) {
        let value = "AppArmor restricts user namespaces, and has no profile of isolate-run".into();
        found.push((value, Remedy::AllowUserNamespaces));
    }
    (found, ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;
    use crate::doctor::machine::tests::with;

    const MANAGER: &str =
        "/sys/fs/cgroup/user.slice/user-7.slice/user@7.service/cgroup.controllers";

    /// A machine on which ann has everything.
    const ALL: [(&str, &str); 8] = [
        ("/etc/passwd", "root:x:0:0::/:\nann:x:7:7::/:\n"),
        ("/run/user/7/bus", ""),
        ("/usr/bin/newuidmap", ""),
        ("/usr/bin/newgidmap", ""),
        ("/etc/subuid", "ann:100000:65536"),
        ("/etc/subgid", "ann:100000:1000"),
        (MANAGER, "cpuset cpu io memory pids"),
        ("/var/lib/systemd/linger/ann", ""),
    ];

    fn of(files: &[(&str, &str)]) -> Finding {
        let mut made = with(files);
        made.machine.facts.looker.is_root = false;
        made.machine.facts.looker.uid = 7;
        rootless(&made)
    }

    fn without(path: &str) -> Finding {
        let files: Vec<_> = ALL
            .into_iter()
            .filter(|(other, _)| *other != path)
            .collect();
        of(&files)
    }

    fn besides(file: (&str, &str)) -> Finding {
        let files = ALL.into_iter().filter(|(other, _)| *other != file.0);
        let files: Vec<_> = files.chain([file]).collect();
        of(&files)
    }

    #[test]
    fn whoever_has_everything_is_told_what_there_is() {
        let all = of(&ALL);
        assert_eq!(all.verdict, Verdict::Ok);
        assert!(
            all.value.starts_with("1000 subordinate ids; "),
            "{}",
            all.value
        );
        assert_eq!(rootless(&with(&ALL)).verdict, Verdict::NotApplicable);
    }

    #[test]
    fn what_is_missing_is_told_with_what_mends_it() {
        for (path, value, remedy) in [
            (
                "/run/user/7/bus",
                "your systemd does not run (/run/user/7)",
                Remedy::StartUsersManager,
            ),
            (
                "/usr/bin/newgidmap",
                "there is no newgidmap",
                Remedy::InstallUidmap,
            ),
            (
                "/etc/subuid",
                "you have no ids in /etc/subuid",
                Remedy::AddSubIds,
            ),
        ] {
            let found = without(path);
            assert_eq!((found.verdict, &*found.value), (Verdict::Error, value));
            assert_eq!(found.advice.as_deref(), Some(remedy.words()));
        }
        let nothing = of(&[]);
        assert_eq!(nothing.value.matches(", ").count(), 4, "{}", nothing.value);
        let restricted = besides((
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
        ));
        assert_eq!(restricted.verdict, Verdict::Error);
        assert_eq!(
            besides(("/proc/sys/user/max_user_namespaces", "0")).verdict,
            Verdict::Error
        );
    }

    #[test]
    fn what_works_with_less_is_no_error() {
        assert_eq!(besides((MANAGER, "cpu")).verdict, Verdict::Warning);
        assert_eq!(besides((MANAGER, "cpu memory pids")).verdict, Verdict::Note);
        let brief = without("/var/lib/systemd/linger/ann");
        assert_eq!(brief.commands(), ["loginctl enable-linger USER"]);
    }
}
