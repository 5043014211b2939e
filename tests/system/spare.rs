//! Namespaces that stand ready for the next run: each set is for one run alone, but for a network
//! that it did not use (`spare_network`).

use std::fs;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::kept::{boxes, kept};
use crate::support::systemd::{assert_nothing_left, must};
use crate::support::{TestBox, wait_until};

/// The namespaces of a process that are made ahead, besides that of names.
fn of(process: Pid) -> [String; 2] {
    ["net", "ipc"].map(|kind| {
        let link = fs::read_link(format!("/proc/{process}/ns/{kind}")).unwrap();
        link.into_os_string().into_string().unwrap()
    })
}

/// The namespaces that stand ready, as soon as some do.
#[track_caller]
pub(crate) fn ready(test_box: &TestBox) -> [String; 2] {
    let (_, holder) = kept(test_box);
    wait_for_set(holder);
    of(holder)
}

/// Waits until there is a set that no run had.
#[track_caller]
pub(crate) fn wait_for_set(holder: Pid) {
    let target = holder.to_string();
    wait_until("namespaces stand ready", || {
        let read = ["cat", "/proc/sys/kernel/domainname"];
        let name = must(
            "nsenter",
            &[&["--uts", "--target", &target], &read[..]].concat(),
        );
        name.starts_with(&format!("isolate-spare-{target}-"))
    });
}

/// The namespaces that a program finds, whose host and domain are called as always.
#[track_caller]
fn seen(test_box: &TestBox, options: &[&str]) -> [String; 2] {
    let script = "cd /proc; readlink self/ns/net self/ns/ipc; cat sys/kernel/hostname sys/kernel/domainname; \
                  ipcmk -M 4096 >/dev/null; ipcs -m | grep -c ^0x";
    let output = test_box.shell(script).options(options).run();
    let lines: Vec<_> = output.stdout.lines().collect();
    // What an earlier program left in memory that is shared is gone with its namespace.
    assert_eq!(lines[2..], ["localhost", "(none)", "1"], "{output:?}");
    [lines[0], lines[1]].map(str::to_owned)
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn each_run_has_what_stood_ready_and_no_other_has() {
    for test_box in boxes() {
        test_box.init();
        let mut before: Option<[String; 2]> = None;
        for _ in 0..4 {
            let expected = Some(ready(&test_box));
            // This program uses no network.
            if let (Some([network, ipc]), Some([last_network, last_ipc])) = (&expected, &before) {
                assert!(network == last_network && ipc != last_ipc);
            }
            assert_eq!(Some(seen(&test_box, &["--processes=9"])), expected);
            before = expected;
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
    for goes_on_at_once in [true, false] {
        let had = ready(test_box);
        drop(fs::remove_file(test_box.inside().join("started")));
        let script = "ipcmk -M 4096 >/dev/null; : >started; sleep 600";
        let running = test_box.shell(script).options(&["--processes=9"]).spawn();
        running.wait_for_file("started");
        running.signal(Signal::SIGKILL);
        drop(running.finish());
        if !goes_on_at_once {
            let (_, holder) = kept(test_box);
            // Nobody has told it that the run is over.
            wait_until("its namespaces are let go of", || of(holder) != had);
        }
        // This looks for what the program has left. Numbers of namespaces that are gone are used
        // again.
        seen(test_box, &["--processes=9"]);
    }
    test_box.cleanup();
    assert_nothing_left(test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn with_the_hosts_network_the_rest_of_it_is_used_up() {
    let test_box = &boxes()[0];
    test_box.init();
    let expected = ready(test_box);
    let hosts = of(Pid::this());
    let found = seen(test_box, &["--processes=9", "--share-net"]);
    assert_eq!(found, [hosts[0].clone(), expected[1].clone()]);
    let next = ready(test_box);
    // Nobody was in the network.
    assert!(next[0] == expected[0] && next[1] != expected[1]);
    assert_eq!(seen(test_box, &["--processes=9"]), next);
    test_box.cleanup();
    assert_nothing_left(test_box);
}

/// What a program sees of its `/dev`: the number of the file system, how it is mounted, and when.
#[track_caller]
fn dev(test_box: &TestBox, options: &[&str], script: &str) -> String {
    let script = format!(
        "stat -c '%d %Y %Z' /dev /dev/fd; awk '$5 ~ \"^/dev\" && $5 != \"/dev/shm\" {{print $5, $6}}' /proc/self/mountinfo; \
         ls /dev; {script}"
    );
    let run = test_box.shell(&script).options(options).run();
    run.assert_ok().stdout.clone()
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn dev_is_the_same_for_all_runs_in_a_scope_and_none_leaves_anything_there() {
    let processes = "--processes=9";
    for test_box in boxes() {
        test_box.init();
        ready(&test_box);
        let spoil = "for c in 'touch /dev/new' 'rm /dev/null' 'chmod 777 /dev/zero' 'touch -d 2001-01-01 /dev/tty' \
                     'ln -s x /dev/link' 'mkdir /dev/shm/below/..' 'touch /dev/shm/mine'; do $c 2>/dev/null && echo did $c; done; true";
        let first = dev(&test_box, &[processes], spoil);
        let (seen, did) = first.split_once("did touch /dev/shm/mine").unwrap();
        assert_eq!(did.trim(), "", "{first}");
        assert!(!seen.contains("did"), "{first}");
        ready(&test_box);
        assert_eq!(dev(&test_box, &[processes], "ls -A /dev/shm"), seen);
        // One that does not fit is the run's own, and goes with it.
        for rule in ["--dir=dev=dev:fs:rw", "--dir=dev/other=/usr"] {
            ready(&test_box);
            let own = dev(&test_box, &[processes, rule], "touch /dev/new; true");
            assert_ne!(own.lines().next(), seen.lines().next(), "{rule}");
        }
        ready(&test_box);
        assert_eq!(dev(&test_box, &[processes], ""), seen);
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn dev_looks_as_it_does_without_a_scope_that_is_kept() {
    for test_box in boxes() {
        test_box.init();
        let (scope, holder) = kept(&test_box);
        nix::sys::signal::kill(holder, Signal::SIGKILL).unwrap();
        wait_until("the scope is gone", || !scope.exists());
        let names_and_mounts =
            |seen: String| -> Vec<String> { seen.lines().skip(2).map(str::to_owned).collect() };
        let own = names_and_mounts(dev(&test_box, &["--processes=9"], ""));
        ready(&test_box);
        let shared = names_and_mounts(dev(&test_box, &["--processes=9"], ""));
        assert_eq!(shared, own);
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}
