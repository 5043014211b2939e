//! `doctor` on a machine that is made bad in many ways: each is found, mended, and put back.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::support::systemd::must;
use crate::support::{ALICE, Output, finish, isolate_command};

const BOXES: &str = "/var/local/lib/isolate";
const SWAP: &str = "/var/tmp/swap-of-a-test";
const TIMER: &str = "plocate-updatedb.timer";
const SYSCTLS: [(&str, &str, &str); 3] = [
    ("/proc/sys/kernel/core_pattern", "|/bin/false %p", "core"),
    ("/proc/sys/fs/protected_hardlinks", "0", "1"),
    ("/proc/sys/fs/protected_symlinks", "0", "1"),
];
/// What `--fix` mends, and what by name alone.
const MENDED: [&str; 4] = ["core-pattern", "hard-links", "swap", "broker"];
const NAMED: [&str; 2] = ["aslr", "timers"];
/// What somebody has to mend by hand.
const BY_HAND: [&str; 4] = ["ids", "subids", "mount-options", "pins"];

/// These tests change the whole machine.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts the machine back when it is dropped, whatever has failed.
struct Restored(Vec<Box<dyn FnMut()>>);

impl Restored {
    /// A file with other content; without any before, it goes.
    fn file(&mut self, path: &'static str, change: impl FnOnce(&str) -> String) {
        let before = fs::read_to_string(path).ok();
        let changed = change(before.as_deref().unwrap_or_default());
        fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        fs::write(path, changed).unwrap();
        self.0.push(Box::new(move || match &before {
            Some(text) => fs::write(path, text).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }));
    }

    fn command(&mut self, line: &'static str) {
        self.0.push(Box::new(move || {
            Command::new("sh").args(["-c", line]).status().unwrap();
        }));
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        // What doctor has changed comes first.
        drop(finish(isolate_command(&["doctor", "--undo"])));
        for restore in self.0.iter_mut().rev() {
            restore();
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap().trim().to_owned()
}

fn doctor(options: &[&str]) -> Output {
    let mut command = isolate_command(&["doctor"]);
    command.args(options);
    finish(command)
}

#[track_caller]
fn json(options: &[&str]) -> Value {
    let output = doctor(&[options, &["--json"]].concat());
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn found<'d>(document: &'d Value, check: &str) -> &'d Value {
    let mut checks = document["checks"].as_array().unwrap().iter();
    checks.find(|found| found["name"] == check).unwrap()
}

#[track_caller]
fn assert_are(document: &Value, checks: &[&str], is_bad: bool) {
    for check in checks {
        let found = found(document, check);
        let bad = ["note", "warning", "error"].map(Value::from);
        assert_eq!(bad.contains(&found["verdict"]), is_bad, "{found:#}");
    }
}

fn make_bad(machine: &mut Restored) {
    for (path, bad, _) in SYSCTLS {
        machine.file(path, |_| bad.to_owned());
    }
    machine.file("/proc/sys/kernel/randomize_va_space", |_| "2".to_owned());
    must(
        "dd",
        &["if=/dev/zero", &format!("of={SWAP}"), "bs=1M", "count=8"],
    );
    must("chmod", &["600", SWAP]);
    must("mkswap", &[SWAP]);
    must("swapon", &[SWAP]);
    machine.command("swapoff /var/tmp/swap-of-a-test; rm -f /var/tmp/swap-of-a-test");
    machine.command("systemctl daemon-reload");
    machine.file("/etc/systemd/system/plocate-updatedb.service", |_| {
        "[Service]\nExecStart=/bin/true\n".to_owned()
    });
    machine.file("/etc/systemd/system/plocate-updatedb.timer", |_| {
        "[Timer]\nOnCalendar=*-*-* 04:00\n[Install]\nWantedBy=timers.target\n".to_owned()
    });
    must("systemctl", &["daemon-reload"]);
    must("systemctl", &["enable", "--now", TIMER]);
    machine.command("systemctl disable --now plocate-updatedb.timer");
    must(
        "systemctl",
        &["disable", "--now", "isolate.socket", "isolate.service"],
    );
    machine.command("systemctl enable --now isolate.socket isolate.service");
    machine.file("/etc/passwd", |text| {
        format!("{text}stranger:x:60007:60007::/nonexistent:/bin/false\n")
    });
    machine.file("/etc/subuid", |text| format!("{text}stranger:60500:10\n"));
    machine.file("/etc/isolate/isolate.toml.d/99-doctor.toml", |_| {
        "[[pin]]\nboxes = 3\ncpus = \"63\"\n".to_owned()
    });
    must(
        "mount",
        &["-t", "tmpfs", "-o", "noexec,nosuid,nodev", "boxes", BOXES],
    );
    machine.command("umount /var/local/lib/isolate");
}

fn mend_by_hand(document: &Value) {
    // Its own command.
    let command = found(document, "mount-options")["commands"][0]
        .as_str()
        .unwrap();
    must("sh", &["-c", command]);
    for path in ["/etc/passwd", "/etc/subuid"] {
        let text = fs::read_to_string(path).unwrap();
        let rest = text.lines().filter(|line| !line.starts_with("stranger:"));
        fs::write(path, rest.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    }
    fs::write("/etc/isolate/isolate.toml.d/99-doctor.toml", "").unwrap();
}

fn swaps() -> bool {
    fs::read_to_string("/proc/swaps").unwrap().contains(SWAP)
}

fn is_active(unit: &str) -> bool {
    let mut command = Command::new("systemctl");
    command.args(["is-active", "--quiet", unit]);
    command.status().unwrap().success()
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_makes_a_machine_bad_is_found_and_mended_and_can_be_put_back() {
    let _alone = alone();
    let mut machine = Restored(Vec::new());
    make_bad(&mut machine);
    let before = json(&[]);
    for checks in [&MENDED[..], &NAMED, &BY_HAND] {
        assert_are(&before, checks, true);
    }
    assert_eq!(doctor(&[]).code, 3);

    let fixed = json(&["--fix"]);
    assert_are(&fixed, &MENDED, false);
    assert_are(&fixed, &NAMED, true);
    for (path, _, good) in SYSCTLS {
        assert_eq!(read(path), good, "{path}");
    }
    assert!(!swaps() && is_active("isolate.socket"));
    let named = json(&["--fix", "--only", &NAMED.join(",")]);
    assert_are(&named, &NAMED, false);
    assert_eq!(read("/proc/sys/kernel/randomize_va_space"), "0");
    assert!(!is_active(TIMER));
    mend_by_hand(&json(&[]));
    let after = json(&[]);
    for checks in [&MENDED[..], &NAMED, &BY_HAND] {
        assert_are(&after, checks, false);
    }

    let undone = json(&["--undo"]);
    let changes = undone["changes"].as_array().unwrap();
    assert!(
        changes.iter().all(|change| change["done"] == true),
        "{changes:#?}"
    );
    for (path, bad, _) in SYSCTLS {
        assert_eq!(read(path), bad, "{path}");
    }
    assert!(swaps() && is_active(TIMER) && !is_active("isolate.socket"));
    assert_are(&undone, &MENDED, true);
    assert_are(&undone, &NAMED, true);
    assert!(!Path::new("/var/lib/isolate").exists());
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn moves_between_control_groups_become_cheap_and_the_mount_keeps_its_options() {
    let _alone = alone();
    let options = || {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let mut lines = mounts.lines();
        lines
            .find(|line| line.contains(" cgroup2 "))
            .unwrap()
            .to_owned()
    };
    let before = options();
    let found_before = json(&["--only", "migration"]);
    let fixed = json(&["--fix", "--only", "migration"]);
    // On a fast kernel there is nothing to do.
    if found(&found_before, "migration")["verdict"] == "note" {
        assert_are(&fixed, &["migration"], false);
        assert!(options().contains("favordynmods"), "{}", options());
        for option in ["nsdelegate", "memory_recursiveprot"] {
            assert_eq!(
                options().contains(option),
                before.contains(option),
                "{option}"
            );
        }
    }
    json(&["--undo"]);
    assert_eq!(options(), before);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_user_sees_what_they_may_and_changes_nothing() {
    let _alone = alone();
    let as_alice = |options: &[&str]| {
        let mut command = isolate_command(&["doctor"]);
        command.args(options).uid(ALICE).gid(ALICE);
        finish(command)
    };
    let seen = as_alice(&["--json"]);
    let document: Value = serde_json::from_str(&seen.stdout).unwrap();
    let migration = found(&document, "migration");
    assert_eq!(migration["needs_root"], true);
    for check in ["systemd", "polkit", "broker", "config"] {
        assert_eq!(found(&document, check)["verdict"], "ok", "{check}");
    }
    let refused = as_alice(&["--fix"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("only root can change"),
        "{refused:?}"
    );
}
