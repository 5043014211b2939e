//! The network of a run in a scope that is kept: a new one, or one in which nothing is to be found
//! of the runs before.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::kept::boxes;
use super::spare::ready;
use crate::support::TestBox;
use crate::support::systemd::assert_nothing_left;

/// What a program may do with a network that leaves something there for a while.
const LEAVES: [&str; 8] = [
    "send",
    "send_away",
    "connect",
    "connect_away",
    "linger",
    "group6",
    "label",
    "fast_listen",
];

/// What leaves nothing.
const LEAVES_NOTHING: [&str; 2] = ["open", "listen"];

/// What is only told by the kernel, and so leaves something, if there is time for that.
const MAY_LEAVE: &str = "group";

/// What a program finds in its network.
#[track_caller]
fn look(test_box: &TestBox) -> String {
    let run = test_box.program("use_network").args(&["look"]).run();
    run.assert_ok().stdout.clone()
}

/// Has a program do that, in a network that stood ready, and returns that one and the next.
#[track_caller]
fn around(test_box: &TestBox, way: &str) -> [String; 2] {
    let [had, _] = ready(test_box);
    let run = test_box.program("use_network").args(&[way]).run();
    assert_eq!(run.assert_ok().stdout, "done\n", "{way}");
    let [next, _] = ready(test_box);
    [had, next]
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn nothing_is_found_of_what_another_run_did() {
    for test_box in boxes() {
        test_box.init();
        ready(&test_box);
        let new = look(&test_box);
        let ways = LEAVES_NOTHING.into_iter().chain([MAY_LEAVE]).chain(LEAVES);
        for way in ways {
            around(&test_box, way);
            assert_eq!(look(&test_box), new, "{way}");
            if way.starts_with("group") {
                // Of a group that was left the kernel tells routers within seconds.
                ready(&test_box);
                std::thread::sleep(Duration::from_secs(4));
                assert_eq!(look(&test_box), new, "{way}");
            }
        }
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn only_a_network_where_nothing_happened_is_that_of_the_next_run() {
    for test_box in boxes() {
        test_box.init();
        for way in LEAVES_NOTHING {
            let [had, next] = around(&test_box, way);
            assert_eq!(had, next, "{way}");
        }
        for way in LEAVES {
            let [had, next] = around(&test_box, way);
            assert_ne!(had, next, "{way}");
        }
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn where_somebody_has_a_socket_yet_no_other_run_comes() {
    for test_box in boxes() {
        test_box.init();
        let [had, _] = ready(&test_box);
        let (outside, inside) = UnixStream::pair().unwrap();
        let program = test_box.program("use_network").args(&["hand_out"]);
        let run = program.stdin(std::os::fd::OwnedFd::from(inside)).run();
        assert_eq!(run.assert_ok().stdout, "done\n");
        let [next, _] = ready(&test_box);
        assert_ne!(had, next);
        drop(outside);
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn with_sockets_of_every_kind_each_run_has_a_new_one() {
    let test_box = TestBox::with_manager("systemd")
        .config("keep_ready = 60\n[syscalls]\ndeny = [\"keyctl\", \"vsock\"]\n");
    test_box.init();
    let [had, next] = around(&test_box, "open");
    assert_ne!(had, next);
    test_box.cleanup();
    assert_nothing_left(&test_box);
}
