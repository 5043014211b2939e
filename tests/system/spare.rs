//! Namespaces that stand ready for the next run: each set is for one run alone.

use std::fs;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::kept::{boxes, kept};
use crate::support::systemd::{assert_nothing_left, must, start_with};
use crate::support::{TestBox, wait_until};

/// The network namespace of a process.
fn network_of(process: Pid) -> String {
    let link = fs::read_link(format!("/proc/{process}/ns/net")).unwrap();
    link.into_os_string().into_string().unwrap()
}

/// The network that stands ready, as soon as one does.
#[track_caller]
fn ready(test_box: &TestBox) -> String {
    let (_, holder) = kept(test_box);
    let target = holder.to_string();
    wait_until("namespaces stand ready", || {
        let name = must("nsenter", &["--uts", "--target", &target, "uname", "-n"]);
        name.starts_with(&format!("isolate-spare-{target}-"))
    });
    network_of(holder)
}

/// The network that a program finds, and what its host is called.
#[track_caller]
fn seen(test_box: &TestBox, options: &[&str]) -> String {
    let script = "readlink /proc/self/ns/net; uname -n";
    let output = test_box.shell(script).options(options).run();
    let lines: Vec<_> = output.stdout.lines().collect();
    assert_eq!(lines[1..], ["localhost"], "{output:?}");
    lines[0].to_owned()
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn each_run_has_what_stood_ready_and_no_other_has() {
    for test_box in boxes() {
        test_box.init();
        let mut had = Vec::new();
        for _ in 0..4 {
            let expected = ready(&test_box);
            assert!(!had.contains(&expected), "{expected} {had:?}");
            assert_eq!(seen(&test_box, &[]), expected);
            // The one before may have the same number: it is gone.
            had = vec![expected];
        }
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_a_run_had_whose_keeper_was_killed_is_of_no_use_to_the_next() {
    let test_box = &boxes()[0];
    test_box.init();
    let expected = ready(test_box);
    let running = start_with(test_box, &[]);
    running.signal(Signal::SIGKILL);
    drop(running.finish());
    let (_, holder) = kept(test_box);
    // Nobody has told it that the run is over.
    assert_eq!(network_of(holder), expected);
    let other = seen(test_box, &[]);
    assert_ne!(other, expected);
    let again = ready(test_box);
    assert_eq!(seen(test_box, &[]), again);
    test_box.cleanup();
    assert_nothing_left(test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn with_the_hosts_network_the_rest_of_it_is_used_up() {
    let test_box = &boxes()[0];
    test_box.init();
    let expected = ready(test_box);
    let hosts = network_of(Pid::this());
    assert_eq!(seen(test_box, &["--share-net"]), hosts);
    let next = ready(test_box);
    assert_ne!(next, expected);
    assert_eq!(seen(test_box, &[]), next);
    test_box.cleanup();
    assert_nothing_left(test_box);
}
