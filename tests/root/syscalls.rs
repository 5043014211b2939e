//! The system calls that are denied, and those that are not.

use std::collections::BTreeMap;

use crate::support::{Job, TestBox};

/// What came of each call.
fn results(job: Job) -> BTreeMap<String, String> {
    let run = job.options(&["-p9"]).run();
    run.assert_ok();
    let part = |line: &str| {
        let (call, result) = line.split_once(' ').unwrap();
        (call.to_owned(), result.to_owned())
    };
    run.stdout.lines().map(part).collect()
}

/// What is denied by each flag, and how.
const DENIED: &[(u32, &[(&str, &str)])] = &[
    (1, &[("keyctl", "ENOSYS")]),
    (
        2,
        &[
            ("vsock", "EAFNOSUPPORT"),
            ("vsock64", "EAFNOSUPPORT"),
            ("vsock-pair", "EAFNOSUPPORT"),
        ],
    ),
    (
        4,
        &[
            ("setlk", "EPERM"),
            ("setlkw", "EPERM"),
            ("ofd-setlk", "EPERM"),
            ("ofd-setlkw", "EPERM"),
            ("setlease", "EPERM"),
            ("notify", "EPERM"),
            ("flock", "ENOSYS"),
        ],
    ),
    (8, &[("io_uring", "ENOSYS")]),
];

#[test]
#[ignore = "needs root: tests/run"]
fn each_flag_denies_its_calls_and_no_others() {
    let test_box = TestBox::new();
    let with = |flags: u32| {
        let job = test_box.program("try_syscalls");
        results(job.options(&[format!("--syscalls={flags}")]))
    };
    let free = with(0);
    for call in [
        "unix",
        "setlk",
        "setlkw",
        "ofd-setlk",
        "ofd-setlkw",
        "getlk",
        "flock",
    ] {
        assert_eq!(free[call], "done", "{call}");
    }
    for (flag, denied) in DENIED {
        let mut expected = free.clone();
        for (call, result) in *denied {
            expected.insert((*call).to_owned(), (*result).to_owned());
        }
        assert_eq!(with(*flag), expected, "flag {flag}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn no_system_call_makes_set_user_id_files_whatever_is_lifted() {
    let test_box = TestBox::new();
    for options in [&[][..], &["--syscalls=0"]] {
        let found = results(test_box.program("try_syscalls").options(options));
        for (call, result) in [
            ("setuid-chmod", "EPERM"),
            ("setgid-chmod", "EPERM"),
            ("setuid-create", "EPERM"),
            ("setuid-unnamed", "EPERM"),
            ("setuid-node", "EPERM"),
            ("openat2", "ENOSYS"),
            ("fchmodat2", "ENOSYS"),
            ("file_setattr", "ENOSYS"),
            ("chmod", "done"),
        ] {
            assert_eq!(found[call], result, "{call} {options:?}");
        }
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn all_of_them_are_denied_by_default() {
    let found = results(TestBox::new().program("try_syscalls"));
    for (call, result) in DENIED.iter().flat_map(|(_, denied)| *denied) {
        assert_eq!(found[*call], *result, "{call}");
    }
    assert_eq!(
        (found["unix"].as_str(), found["getlk"].as_str()),
        ("done", "done")
    );
}

/// What isolate has no flag for, and how it is denied.
const DENIED_BY_NAME: &[(&str, &[(&str, &str)])] = &[
    (
        "user-namespaces",
        &[
            ("unshare-user", "EPERM"),
            ("clone-user", "EPERM"),
            ("setns", "EPERM"),
            ("clone3", "ENOSYS"),
        ],
    ),
    (
        "rare-sockets",
        &[("packet", "EAFNOSUPPORT"), ("netlink-user", "EAFNOSUPPORT")],
    ),
    (
        "file-events",
        &[("inotify", "ENOSYS"), ("fanotify", "ENOSYS")],
    ),
    ("native-aio", &[("aio", "ENOSYS")]),
];

#[test]
#[ignore = "needs root: tests/run"]
fn what_isolate_has_no_flag_for_is_denied_by_name_whatever_the_flags_are() {
    let with = |config: &str, options: &[&str]| {
        let test_box = TestBox::new().config(config);
        results(test_box.program("try_syscalls").options(options))
    };
    let flags = with("", &["--syscalls=0"]);
    let free = with("[syscalls]\ndeny = []\n", &[]);
    for (name, denied) in DENIED_BY_NAME {
        let found = with(&format!("[syscalls]\ndeny = ['{name}']\n"), &[]);
        let mut expected = free.clone();
        for (call, result) in *denied {
            expected.insert((*call).to_owned(), (*result).to_owned());
            assert_eq!(flags[*call], *result, "{call}");
            assert_ne!(free[*call], *result, "{call}");
        }
        // Whether the machine has these is not known.
        for call in ["algorithm", "sctp", "vsock-pair", "huge-memfd"] {
            expected.insert(call.to_owned(), found[call].clone());
        }
        assert_eq!(found, expected, "{name}");
    }
    for call in ["netlink-route", "tcp6", "udp", "pair", "null"] {
        assert_eq!(flags[call], "done", "{call}");
    }
    for (call, result) in [
        ("algorithm", "EAFNOSUPPORT"),
        ("sctp", "EAFNOSUPPORT"),
        ("huge-memfd", "ENOMEM"),
        ("btrfs", "ENOTTY"),
        ("discipline", "EPERM"),
        ("null-times", "EROFS"),
    ] {
        assert_eq!(flags[call], result, "{call}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_configuration_chooses_by_name_and_the_option_wins() {
    let test_box = TestBox::new().config("[syscalls]\ndeny = ['keyctl']\n");
    let configured = results(test_box.program("try_syscalls"));
    assert_eq!(
        (configured["keyctl"].as_str(), configured["flock"].as_str()),
        ("ENOSYS", "done")
    );
    let asked = results(test_box.program("try_syscalls").options(&["--syscalls=4"]));
    assert_ne!(asked["keyctl"], "ENOSYS");
    assert_eq!(asked["flock"], "ENOSYS");
}

#[test]
#[ignore = "needs root: tests/run"]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn a_foreign_system_call_kills_the_program() {
    let test_box = TestBox::new();
    for options in [&[][..], &["--syscalls=16"], &["--syscalls=17"]] {
        let run = test_box.program("foreign_call").options(options).run();
        run.assert_verdict(1, "SG", "Caught fatal signal 31");
        assert_eq!(run.stdout, "", "{options:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn where_foreign_system_calls_are_allowed_they_are_denied_alike() {
    let test_box = TestBox::new();
    let lines = |flags: &str| {
        let job = test_box
            .program("foreign_call")
            .options(&[format!("--syscalls={flags}")]);
        let run = job.run();
        run.assert_ok();
        run.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // 38 is ENOSYS, 9 EBADF or 0: flock on standard output, which is a pipe, works.
    assert_eq!(lines("5"), ["getpid done", "keyctl 38", "flock 38"]);
    let free = lines("0");
    assert_eq!(free[0], "getpid done");
    assert!(!free.contains(&"keyctl 38".to_owned()), "{free:?}");
    assert_eq!(free[2], "flock 0");
}

#[test]
#[ignore = "needs root: tests/run"]
fn unknown_flags_are_refused() {
    for flags in ["32", "64", "2147483647"] {
        let job = TestBox::new().command(&["/bin/true"]);
        let run = job.options(&[format!("--syscalls={flags}")]).run();
        run.assert_failed("--syscalls: ");
    }
}
