//! The network of a run in a scope that is kept: a new one, or one in which nothing is to be found
//! of the runs before.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use super::kept::{boxes, kept};
use super::spare::{ready, wait_for_set};
use crate::support::systemd::assert_nothing_left;
use crate::support::{Running, TestBox};

/// What a program may do with sockets of the Internet, whether it leaves something or not.
const TOUCHES: [&str; 14] = [
    "open",
    "open6",
    "listen",
    "send",
    "send_away",
    "connect",
    "connect_away",
    "connect_datagrams",
    "linger",
    "group",
    "group6",
    "label",
    "label_unmade",
    "fast_listen",
];

/// What it may do with others.
const TOUCHES_NOT: [&str; 2] = ["nothing", "name"];

/// It can ask where packets would go, which the kernel remembers. Such a socket counts for a while.
const ASKS: [&str; 2] = ["ask", "ask6"];

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
        for way in TOUCHES.into_iter().chain(TOUCHES_NOT).chain(ASKS) {
            around(&test_box, way);
            if way.starts_with("group") {
                // Of a group that was left the kernel tells routers within seconds.
                std::thread::sleep(Duration::from_secs(4));
            }
            assert_eq!(look(&test_box), new, "{way}");
        }
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn only_a_network_without_sockets_is_that_of_the_next_run() {
    for test_box in boxes() {
        test_box.init();
        for way in TOUCHES_NOT {
            let [had, next] = around(&test_box, way);
            assert_eq!(had, next, "{way}");
        }
        for way in TOUCHES {
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
        let run = program.stdin(OwnedFd::from(inside)).run();
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
fn whoever_may_have_other_sockets_does_not_come_there() {
    for denied in [
        "\"rare-sockets\", \"io-uring\"",
        "\"rare-sockets\", \"vsock\"",
        "\"vsock\", \"io-uring\"",
    ] {
        let config = format!("keep_ready = 60\n[syscalls]\ndeny = [{denied}]\n");
        let test_box = TestBox::with_manager("systemd").config(&config);
        test_box.init();
        let [stands, _] = ready(&test_box);
        let run = test_box.command(&["/bin/readlink", "/proc/self/ns/net"]);
        assert_ne!(run.run().assert_ok().stdout.trim_end(), stands);
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_network_where_a_run_goes_on_is_no_other_runs_whenever_the_end_of_one_is_heard() {
    let wait = ": >started; while [ ! -e go ]; do sleep 0.05; done";
    for test_box in boxes() {
        test_box.init();
        let new = {
            ready(&test_box);
            look(&test_box)
        };
        ready(&test_box);
        let (_, holder) = kept(&test_box);
        let start = |script: &str| {
            let options = ["--processes=9", "--wall-time=600"];
            let running = test_box.shell(script).options(&options).spawn();
            running.wait_for_file("started");
            running
        };
        let go_on = |running: Running| {
            test_box.write("go", "");
            running.finish().assert_ok();
            for name in ["go", "started"] {
                fs::remove_file(test_box.inside().join(name)).unwrap();
            }
        };
        test_box.install("use_network");
        // It hears of the end of the first run while the second is there, which found no set.
        kill(holder, Signal::SIGSTOP).unwrap();
        test_box.command(&["/bin/true"]).run().assert_ok();
        let second = start(wait);
        kill(holder, Signal::SIGCONT).unwrap();
        wait_for_set(holder);
        // And of the end of the second while the third is in that set.
        kill(holder, Signal::SIGSTOP).unwrap();
        go_on(second);
        let third = start(&format!("{wait}; ./use_network linger"));
        kill(holder, Signal::SIGCONT).unwrap();
        wait_for_set(holder);
        go_on(third);
        assert_eq!(look(&test_box), new);
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}
