//! systemd is reloaded or replaced by itself while runs go on: in a test binary of its own, since every other question to
//! systemd may fail meanwhile.

use std::fs;
use std::process::Command;

use crate::kept::kept;
use crate::support::systemd::{
    Silent, alone, assert_nothing_left, let_go, members, must, only_scope, property, scope_box,
    start, user_box,
};
use crate::support::{children_of, finish, slow, wait_until};

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn systemd_may_be_reloaded_and_reexecuted_while_programs_run() {
    let _alone = alone();
    let test_box = scope_box();
    let running = start(&test_box);
    let (scope, unit) = only_scope(&test_box);
    must("systemctl", &["daemon-reload"]);
    must("systemctl", &["daemon-reexec"]);
    assert_eq!(property(&unit, "ActiveState"), "active");
    assert!(!members(&scope.join("box")).is_empty());
    let_go(&test_box);
    running.finish().assert_ok();
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_may_begin_while_systemd_is_reexecuted() {
    let _alone = alone();
    let test_box = scope_box();
    test_box.init();
    let reexec = std::thread::spawn(|| {
        for _ in 0..2 {
            let mut command = Command::new("systemctl");
            command.arg("daemon-reexec");
            // Where two of these meet, the second one may lose its connection.
            drop(finish(command));
        }
    });
    while !reexec.is_finished() {
        test_box.command(&["/bin/true"]).run().assert_ok();
    }
    reexec.join().unwrap();
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_neither_ends_nor_fails_while_dbus_is_restarted() {
    let _alone = alone();
    let test_box = scope_box();
    let other = scope_box();
    other.init();
    let running = start(&test_box);
    let restart = std::thread::spawn(|| {
        let mut command = Command::new("systemctl");
        command.args(["restart", "dbus.service"]);
        drop(finish(command));
    });
    while !restart.is_finished() {
        other.command(&["/bin/true"]).run().assert_ok();
    }
    restart.join().unwrap();
    other.command(&["/bin/true"]).run().assert_ok();
    let_go(&test_box);
    running.finish().assert_ok();
    assert_nothing_left(&test_box);
    assert_nothing_left(&other);
}

/// Anybody can hang the bus, and root needs it for nothing.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_does_not_wait_for_a_bus_that_hangs() {
    let _alone = alone();
    let test_box = scope_box();
    test_box.init();
    let silent = Silent::new("dbus.service");
    test_box.command(&["/bin/true"]).run().assert_ok();
    drop(silent);
    assert_nothing_left(&test_box);
}

/// Nor do members, about whom polkit is not asked.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn members_need_neither_polkit_nor_the_bus() {
    let _alone = alone();
    let test_box = user_box();
    // The bus is the last one: it is asked about the other.
    let silent = ["polkit.service", "dbus.service"].map(Silent::new);
    test_box.init();
    for _ in 0..3 {
        test_box.command(&["/bin/true"]).run().assert_ok();
    }
    let exec = test_box.exec(&["--", "/bin/echo", "hello"]);
    assert_eq!((exec.code, &*exec.stdout), (0, "hello\n"), "{exec:?}");
    test_box.cleanup();
    drop(silent);
    assert_nothing_left(&test_box);
}

/// Not even those whose connection to it was made before it hung, nor at the end of a run.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_bus_that_hangs_with_a_members_connection_to_it_holds_no_run_up() {
    let _alone = alone();
    let test_box = user_box().config("keep_ready = 0\n");
    test_box.init();
    test_box.command(&["/bin/true"]).run().assert_ok();
    // It is connected when it has done all that it can do before there is a run, and the bus has answered others since.
    wait_until("a keeper stands by", || {
        let all = children_of(test_box.broker().pid()).into_iter();
        let mut all = all.filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok());
        all.any(|stat| stat.contains("(isolate-spare) S"))
    });
    let bus = "org.freedesktop.DBus";
    must("busctl", &["call", bus, "/", bus, "GetId"]);
    let silent = Silent::new("dbus.service");
    test_box.command(&["/bin/true"]).run().assert_ok();
    // systemd is asked who has killed it.
    let killed = test_box.shell("kill -KILL $$").options(&["-v"]).run();
    killed.assert_verdict(1, "SG", "Caught fatal signal 9");
    assert!(!killed.stderr.contains("no answer"), "{killed:?}");
    drop(silent);
    test_box.cleanup();
    assert_nothing_left(&test_box);
}

/// Neither does who has the scope of the next run made.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_scope_is_kept_ready_while_the_bus_hangs() {
    let _alone = alone();
    let test_box = scope_box().config("keep_ready = 60\n");
    let silent = Silent::new("dbus.service");
    test_box.init();
    kept(&test_box);
    drop(silent);
    test_box.command(&["/bin/true"]).run().assert_ok();
    test_box.cleanup();
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_needs_no_bus() {
    let _alone = alone();
    let test_box = scope_box();
    must("systemctl", &["stop", "dbus.socket", "dbus.service"]);
    test_box.init();
    let run = test_box.command(&["/bin/true"]).run();
    must("systemctl", &["start", "dbus.socket", "dbus.service"]);
    run.assert_ok();
    assert_nothing_left(&test_box);
}

/// systemd goes on with what it was asked for, whether it says so or not.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn runs_begin_in_a_storm_of_reexecutions() {
    let _alone = alone();
    let test_box = scope_box();
    test_box.init();
    let rounds = if slow() { 3 } else { 20 };
    let reexec = std::thread::spawn(move || {
        for _ in 0..rounds {
            let mut command = Command::new("systemctl");
            command.arg("daemon-reexec");
            drop(finish(command));
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    });
    while !reexec.is_finished() {
        test_box.command(&["/bin/true"]).run().assert_ok();
    }
    reexec.join().unwrap();
    assert_nothing_left(&test_box);
}
