//! Clients of the broker that want no good: it goes on, others are served meanwhile, and nothing is left.

use crate::support::systemd;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::support::hostile::{Arena, NOBODY, assert_all_answered, assert_told};
use crate::support::{ALICE, BOB, TestBox, entries, finish, wait_until};

fn arena() -> Arena {
    Arena::new(TestBox::with_manager("systemd").called_by(ALICE))
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn conversations_that_do_not_go_on_hold_nobody_else_up() {
    let arena = arena();
    for uid in [NOBODY, BOB] {
        for kind in ["stalls", "stopped", "crowd", "deaf"] {
            let mut hostile = arena.start(uid, kind);
            let told = hostile.wait_until_holding();
            if kind == "crowd" {
                assert_eq!(told, ["refused 44"]);
            }
            if kind == "stalls" {
                assert_few_are_on_the_bus(&arena);
            }
            arena.assert_served();
            hostile.finish();
            arena.assert_unharmed();
        }
    }
}

/// Ranges of subordinate uids make one user as many as they like; and there may be as many users.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn crowds_of_many_users_keep_nobody_out() {
    let _ranges = Ranges::with("bob:2000000000:65536\n");
    let arena = arena();
    // More than a request may have that comes without asking.
    let word = "x".repeat(100_000);
    for (first_uid, long) in [
        (2_000_000_000_u32, None),
        (1_900_000_000, None),
        (1_900_000_000, Some("long")),
    ] {
        let mut more = vec!["1".to_owned(), first_uid.to_string()];
        more.extend(long.map(str::to_owned));
        let mut hostile = arena.start_on(0, "crowds", arena.their_box(), &more);
        hostile.wait_until_holding();
        for _ in 0..3 {
            arena.assert_served();
            let long = arena.test_box.exec(&["--", "/bin/true", &word]);
            assert_eq!(long.code, 0, "{long:?}");
        }
        let keepers = arena.test_box.broker().keepers().len();
        // 32 of one user, and a few that are on their way out.
        assert!(first_uid < 2_000_000_000 || keepers < 64, "{keepers}");
        hostile.finish();
        wait_until("the crowd is gone", || {
            arena.test_box.broker().keepers().is_empty()
        });
        arena.assert_served();
    }
}

/// Subordinate uids of the machine, with these in front, as long as this is there.
#[derive(Debug)]
struct Ranges(Option<Vec<u8>>);

impl Ranges {
    const FILE: &str = "/etc/subuid";

    fn with(lines: &str) -> Self {
        let before = std::fs::read(Self::FILE).ok();
        let after = [lines.as_bytes(), before.as_deref().unwrap_or_default()].concat();
        std::fs::write(Self::FILE, after).unwrap();
        Self(before)
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        drop(match &self.0 {
            Some(before) => std::fs::write(Self::FILE, before),
            None => std::fs::remove_file(Self::FILE),
        });
    }
}

/// Of keepers without a request at most the one that stood by is connected to the bus, which is everybody's.
fn assert_few_are_on_the_bus(arena: &Arena) {
    // The standard ones, the account, the connection, and the peer's pidfd.
    const WITHOUT_BUS: usize = 6;
    let keepers = || arena.test_box.broker().keepers();
    wait_until("keepers wait for requests", || keepers().len() > 20);
    let descriptors = |pid: &i32| entries(Path::new(&format!("/proc/{pid}/fd"))).count();
    let on_the_bus = || {
        let keepers = keepers().into_iter();
        keepers.filter(|pid| descriptors(pid) > WITHOUT_BUS).count()
    };
    // One that was just cloned has the broker's own.
    let fewest = (0..40).map(|_| {
        sleep(Duration::from_millis(25));
        on_the_bus()
    });
    assert!(fewest.min() <= Some(1));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_is_no_request_is_refused() {
    let arena = arena();
    for uid in [NOBODY, BOB] {
        let told = arena.suffer(uid, "malformed");
        assert_all_answered(&told);
        assert_told(&told, "version", "failed one side speaks version 7");
        assert_told(&told, "huge", "failed the request is too long");
        for what in ["magic", "short", "garbage", "cut", "more", "endless list"] {
            assert_told(
                &told,
                what,
                "failed the message is not one of isolate-run's",
            );
        }
        let told = arena.suffer(uid, "descriptors");
        for what in [
            "none",
            "too few",
            "many too few",
            "inherited huge",
            "inherited standard",
        ] {
            assert_told(
                &told,
                what,
                "failed the request speaks of other descriptors",
            );
        }
        for what in ["one more", "many more", "beside the announcement"] {
            assert_told(&told, what, "failed the request is too long");
        }
        arena.suffer(uid, "floods");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn descriptors_that_are_not_what_they_should_be_do_no_harm() {
    let arena = arena();
    let told = arena.suffer(BOB, "foreign");
    assert_all_answered(&told);
    for what in ["memfd", "local socket", "reading", "other mounts"] {
        let what = format!("{what} as directory:");
        assert_told(&told, &what, "failed cannot bind '/etc' on 'in'");
    }
    for what in ["deleted", "epoll"] {
        assert_told(&told, &format!("{what} as directory:"), "done 2");
    }
    // Not through it: what is made there would be made by root.
    assert_told(&told, "link as place for a directory:", "done 2");
    assert!(!Path::new("/etc/made-by-a-test").exists());
    assert_all_answered(&arena.suffer(NOBODY, "foreign"));
}

/// Closing a TCP socket with SO_LINGER takes as long as its owner likes, and what was sent and not received is closed by
/// whoever hangs up.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn descriptors_that_do_not_let_themselves_be_closed_hold_nobody_else_up() {
    let arena = arena();
    for uid in [NOBODY, BOB] {
        let mut hostile = arena.start(uid, "lingerers");
        hostile.wait_until_holding();
        for _ in 0..3 {
            arena.assert_served();
        }
        hostile.finish();
        arena.assert_unharmed();
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn command_lines_of_root_and_absurd_ones_are_refused() {
    let arena = arena();
    let told = arena.suffer(BOB, "command_lines");
    assert_all_answered(&told);
    for (what, answer) in [
        (
            "configuration",
            "failed Only root may choose the configuration",
        ),
        ("as somebody", "failed Only root may use --as-uid"),
        (
            "import",
            "failed the broker carries out commands about boxes alone",
        ),
        (
            "broker",
            "failed the broker carries out commands about boxes alone",
        ),
        ("a long option", "failed unrecognized option"),
        ("a very long name", "done"),
        // Too long; an emulated machine may not even send it in time.
        ("many arguments", "failed the request "),
        ("many empty words", "failed the request "),
        ("many rules", "failed at most 1024 directory rules"),
        ("NUL in a rule", "failed --dir"),
        (
            "no limits",
            "failed the limits and CPUs of the caller make no sense",
        ),
        ("long ago", "done 0"),
        ("in ages", "done 0"),
    ] {
        assert_told(&told, what, answer);
    }
    let told = arena.suffer(NOBODY, "command_lines");
    assert_all_answered(&told);
    let served: Vec<_> = told.iter().filter(|line| line.contains(" done ")).collect();
    assert!(served.is_empty(), "{served:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn nonsense_instead_of_a_signal_ends_the_run_of_its_sender() {
    let arena = arena();
    let told = arena.suffer(BOB, "signals");
    assert_all_answered(&told);
    for value in [
        "0",
        "-1",
        "9",
        "19",
        "17",
        "28",
        "64",
        "2147483647",
        "-2147483648",
    ] {
        assert_told(&told, &format!("signal {value}"), "done 1");
    }
    assert_told(&told, "a flood", "done 1");
    assert_told(&told, "garbage", "done 1");
    // Interrupted, or an internal error if the second one came in time; not the end of the program.
    let two = told.iter().find(|line| line.starts_with("two done"));
    assert!(two.is_some_and(|line| line != "two done 0"), "{two:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_client_may_end_at_any_point() {
    let arena = arena();
    for uid in [NOBODY, BOB] {
        for kind in ["deaths", "shutdowns"] {
            arena.suffer(uid, kind);
        }
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_connection_speaks_for_the_process_that_made_it() {
    let arena = arena();
    let told_when = |connects: u32, asks: u32| {
        let users = ["1".to_owned(), connects.to_string(), asks.to_string()];
        let hostile = arena.start_on(0, "passed_on", arena.their_box(), &users);
        let told = hostile.finish();
        assert_told(&told, "the one who connected is gone", "failed");
        told
    };
    let told = told_when(NOBODY, BOB);
    assert_told(&told, "asked by another", "io.github.isolate_run.use-box");
    let told = told_when(BOB, NOBODY);
    assert_told(&told, "asked by another", "done 0");
    arena.assert_unharmed();
}

/// Whoever may not use a box does not lock it, either: its owner would be told that it is in use.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_box_of_somebody_else_is_refused_also_while_it_is_in_use() {
    let arena = arena();
    let running = systemd::start(&arena.test_box);
    let refused = |uid: u32, reason: &str| {
        for args in [
            &["--wait", "--run", "--", "/bin/true"][..],
            &["--wait", "--cleanup"],
        ] {
            finish(arena.test_box.command_of(uid, args)).assert_refused(2, reason);
        }
    };
    refused(BOB, "This box belongs to a different user");
    refused(NOBODY, "io.github.isolate_run.use-box");
    systemd::let_go(&arena.test_box);
    running.finish().assert_ok();
    arena.assert_nothing_left();
}
