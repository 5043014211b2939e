//! What is for other distributions than the tests' own, as far as Debian has their tools.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::support::systemd::{main_pid, must, package, property};
use crate::support::{finish, source};

/// The package puts it where AppArmor's parser knows rules for user namespaces, as this one does.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn apparmor_accepts_the_profile_that_the_package_has_put_in_its_place() {
    let profile = "/etc/apparmor.d/isolate-run";
    let expected = fs::read_to_string(source("contrib/apparmor/isolate-run")).unwrap();
    assert_eq!(fs::read_to_string(profile).unwrap(), expected);
    must(
        "apparmor_parser",
        &["--skip-kernel-load", "--skip-cache", profile],
    );
    let names = must("apparmor_parser", &["--names", profile]);
    assert_eq!(names, "isolate-run\n");
}

/// What a package of rpm does not have in Debian's places, and pages that are compressed or not.
fn comparable(list: &str) -> BTreeSet<String> {
    let files = list.lines().filter(|line| {
        let rest = line.strip_prefix("/usr/share/doc/isolate-run/");
        // cargo-deb's own.
        let is_debians = rest.is_some_and(|rest| rest.starts_with("copyright"));
        !is_debians && line.contains("isolate")
    });
    let same = |line: &str| {
        let line = line.replace("/vendor-completions/", "/site-functions/");
        line.trim_end_matches(".gz").to_owned()
    };
    files.map(same).collect()
}

/// By Debian's rpm, which knows nothing of what is needed here: so without a look at that.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_package_of_rpm_brings_the_same_and_an_upgrade_disturbs_no_run() {
    let rpm = package::rpm();
    let file = rpm.to_str().unwrap();
    let directories = |list: String| -> String {
        let is_folder = |line: &&str| !Path::new(line).is_dir();
        list.lines()
            .filter(is_folder)
            .map(|line| format!("{line}\n"))
            .collect()
    };
    let debians = comparable(&directories(must("dpkg", &["--listfiles", "isolate-run"])));
    let own = comparable(&directories(must("rpm", &["-qlp", file])));
    assert_eq!(own, debians, "left: rpm's; right: dpkg's");

    let _aside = package::Aside::take();
    must("rpm", &["--install", "--nodeps", file]);
    must(
        "rpm",
        &["--verify", "--nodeps", "--nofiledigest", "isolate-run"],
    );
    must(
        "systemctl",
        &[
            "--quiet",
            "enable",
            "--now",
            "isolate.socket",
            "isolate.service",
            "isolate-removal.path",
        ],
    );
    let script = "echo begun; read line; exit $line";
    let mut command = Command::new("setpriv");
    command.args(["--reuid=alice", "--regid=alice", "--init-groups", "--"]);
    command.args([
        "/usr/bin/isolate-run",
        "exec",
        "--quiet",
        "--",
        "/bin/sh",
        "-c",
        script,
    ]);
    let mut run = package::begun(command);
    let before = main_pid("isolate.service");
    assert_ne!(before, 0);
    must("rpm", &["--upgrade", "--nodeps", "--replacepkgs", file]);
    assert_ne!(main_pid("isolate.service"), before);
    run.stdin.take().unwrap().write_all(b"0\n").unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(0));

    must("rpm", &["--erase", "--nodeps", "isolate-run"]);
    assert_eq!(property("isolate.service", "LoadState"), "not-found");
    assert!(!Path::new("/usr/bin/isolate-run").exists());
    let mut listed = Command::new("rpm");
    listed.args(["--query", "isolate-run"]);
    assert_ne!(finish(listed).code, 0);
    // Who keeps a scope for the run that would follow ends by itself, but later (keep_ready).
    let mut stop = Command::new("systemctl");
    stop.args(["stop", "isolate.slice"]);
    drop(finish(stop));
}
