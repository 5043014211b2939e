//! The Debian package, which `tests/guest/suite` has installed before the first test and purges after the last.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::support::systemd::{assert_systemd_accepts, main_pid, must, package, property};
use crate::support::{ALICE, finish, wait_until};

/// These tests change what is installed, and are not to see each other's half-way.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that has other content until this is dropped; without any before, it goes.
struct Changed {
    path: &'static Path,
    before: Option<String>,
}

impl Changed {
    fn new(path: &'static str, content: &str) -> Self {
        let path = Path::new(path);
        let before = fs::read_to_string(path).ok();
        fs::write(path, content).unwrap();
        Self { path, before }
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        match &self.before {
            Some(content) => fs::write(self.path, content).unwrap(),
            None => fs::remove_file(self.path).unwrap(),
        }
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_the_package_brings_is_roots_and_writable_for_nobody_else() {
    let _alone = alone();
    let listed = must("dpkg", &["--listfiles", "isolate-run"]);
    for expected in [
        "/usr/bin/isolate-run",
        "/usr/lib/systemd/system/isolate.service",
        "/usr/lib/systemd/system/isolate.socket",
        "/usr/lib/systemd/system/isolate.slice",
        "/usr/lib/systemd/system/isolate-removal.path",
        "/usr/lib/systemd/system/isolate-removal.service",
        "/usr/lib/sysusers.d/isolate-run.conf",
        "/usr/lib/tmpfiles.d/isolate-run.conf",
        "/usr/share/polkit-1/actions/io.github.isolate_run.policy",
        "/usr/share/polkit-1/rules.d/50-isolate-run.rules",
        "/etc/isolate/isolate.toml",
    ] {
        assert!(listed.lines().any(|line| line == expected), "{expected}");
        let stat = fs::metadata(expected).unwrap();
        let mode = if expected == "/usr/bin/isolate-run" {
            0o755
        } else {
            0o644
        };
        let seen = (stat.uid(), stat.gid(), stat.mode() & 0o7777);
        assert_eq!(seen, (0, 0, mode), "{expected}");
    }
    must("/usr/bin/isolate-run", &["--version"]);
    must("getent", &["group", "isolate"]);
    let broken = must("dpkg", &["--verify", "isolate-run"]);
    // Tests of other files are not in question here, and the images are without manual pages and documentation.
    let broken = broken.lines().filter(|line| !line.contains("/usr/share/"));
    assert_eq!(broken.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn systemd_accepts_the_units_and_starts_the_broker_at_boot() {
    let _alone = alone();
    for unit in [
        "isolate.service",
        "isolate.socket",
        "isolate.slice",
        "isolate-removal.path",
        "isolate-removal.service",
    ] {
        let file = property(unit, "FragmentPath");
        assert!(file.ends_with(&format!("/lib/systemd/system/{unit}")));
        assert_systemd_accepts(Path::new(&file));
    }
    for unit in ["isolate.service", "isolate.socket", "isolate-removal.path"] {
        must("systemctl", &["is-enabled", unit]);
        must("systemctl", &["is-active", unit]);
    }
    let socket = fs::metadata("/run/isolate/broker.sock").unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.mode() & 0o777, 0o666);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn polkit_knows_the_actions() {
    let _alone = alone();
    let actions = [
        ("use-box", "auth_admin_keep"),
        ("share-network", "auth_admin"),
        ("use-devices", "auth_admin"),
        ("manage-boxes", "auth_admin"),
        ("see-boxes", "auth_admin_keep"),
    ];
    for (action, active) in actions {
        let id = format!("io.github.isolate_run.{action}");
        let said = must("pkaction", &["--verbose", "--action-id", &id]);
        for (key, value) in [
            ("implicit any:", "auth_admin"),
            ("implicit inactive:", "auth_admin"),
            ("implicit active:", active),
        ] {
            let found = said.lines().find_map(|line| line.trim().strip_prefix(key));
            assert_eq!(found.map(str::trim), Some(value), "{key} {said}");
        }
    }
    let all = must::<&str>("pkaction", &[]);
    let ours = all
        .lines()
        .filter(|line| line.starts_with("io.github.isolate_run."));
    assert_eq!(ours.count(), actions.len(), "{all}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn an_upgrade_keeps_the_configuration_and_starts_the_broker_anew() {
    let _alone = alone();
    let path = "/etc/isolate/isolate.toml";
    let changed = format!(
        "{}\n# changed by a test\n",
        fs::read_to_string(path).unwrap()
    );
    let _changed = Changed::new(path, &changed);
    let before = main_pid("isolate.service");
    assert_ne!(before, 0);
    package::install();
    assert_eq!(fs::read_to_string(path).unwrap(), changed);
    assert_ne!(main_pid("isolate.service"), before);
    must("systemctl", &["is-active", "isolate.socket"]);
    let left = fs::read_dir("/etc/isolate")
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left
        .filter(|name| name.to_string_lossy().contains(".dpkg-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What an administrator has turned off stays off.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn an_upgrade_does_not_enable_what_was_disabled() {
    let _alone = alone();
    let units = ["isolate.socket", "isolate.service", "isolate-removal.path"];
    let systemctl = |verb| {
        let words = ["--quiet", verb, "--now"];
        must("systemctl", &[&words[..], &units].concat());
    };
    systemctl("disable");
    package::install();
    for unit in units {
        assert_eq!(property(unit, "UnitFileState"), "disabled", "{unit}");
        assert_eq!(property(unit, "ActiveState"), "inactive", "{unit}");
    }
    systemctl("enable");
}

/// What the hardening of the service leaves is enough, and only the broker's own process goes with an upgrade.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_users_run_lives_through_a_restart_and_an_upgrade() {
    let _alone = alone();
    let isolate = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        let user = format!("--reuid={ALICE}");
        command.args([&user, &format!("--regid={ALICE}"), "--init-groups", "--"]);
        command.args(["/usr/bin/isolate-run", "--box-id=9"]);
        command.args(args);
        command
    };
    finish(isolate(&["--init"])).assert_success();
    let script = "echo begun; read line; exit $line";
    let command = isolate(&["--run", "--", "/bin/sh", "-c", script]);
    let mut run = package::begun(command);

    must("systemctl", &["restart", "isolate.service"]);
    package::install();
    assert!(run.try_wait().unwrap().is_none());
    run.stdin.take().unwrap().write_all(b"0\n").unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(0));
    finish(isolate(&["--cleanup"])).assert_silent_success();
}

/// What `systemctl status` shows as the state of the broker.
fn state() -> String {
    property("isolate.service", "StatusText")
}

/// The timer is enabled by hand, and so nobody but systemctl knows of its link.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_removal_takes_away_what_enabled_the_timer() {
    let _alone = alone();
    assert!(Path::new("/etc/isolate/isolate.toml.d").is_dir());
    must(
        "systemctl",
        &["--quiet", "enable", "--now", "isolate-metrics.timer"],
    );
    let link = Path::new("/etc/systemd/system/timers.target.wants/isolate-metrics.timer");
    assert!(link.is_symlink());
    must("/var/lib/dpkg/info/isolate-run.prerm", &["remove"]);
    assert!(!link.is_symlink());
    package::install();
    must("systemctl", &["is-active", "isolate.socket"]);
}

/// An administrator who is mistaken in the configuration still has a broker, which tells the callers so.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_mistake_in_the_configuration_does_not_keep_the_broker_from_starting() {
    let _alone = alone();
    let cgroup = Path::new("/run/isolate/cgroup");
    {
        let _changed = Changed::new("/etc/isolate/isolate.toml", "color = 'red'\n");
        must("systemctl", &["restart", "isolate.service"]);
        must("systemctl", &["is-active", "isolate.service"]);
        assert!(!cgroup.exists());
        wait_until("the state says so", || state().contains("Nothing runs: "));
        assert!(state().contains("isolate.toml:"), "{}", state());
    }
    must("systemctl", &["restart", "isolate.service"]);
    wait_until("the state is good again", || state() == "Serving callers");
    wait_until("the control group is named again", || cgroup.exists());
}
