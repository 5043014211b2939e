//! What a user is told, and what is left, when something of the broker's ends or stops in the midst of a run.

use crate::support;
use crate::support::systemd;
use std::fs;

use crate::support::systemd::{
    assert_nothing_left, let_go, members, must, only_scope, start, user_box,
};
use crate::support::{Run, TestBox, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The one keeper of the broker.
#[track_caller]
fn keeper(test_box: &TestBox) -> Pid {
    let keepers = test_box.broker().keepers();
    let [keeper] = keepers[..] else {
        panic!("not one keeper: {keepers:?}");
    };
    Pid::from_raw(keeper)
}

/// An internal error whose message says this, on standard error and in the meta file.
#[track_caller]
fn assert_told(run: &Run, words: &str) {
    run.assert_failed(words);
    run.assert_keys(&["status", "message"]);
    let message = run.meta.get("message").unwrap();
    assert!(message.contains(words), "{run:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_killed_keeper_is_told_and_takes_the_run_along() {
    for signal in [Signal::SIGKILL, Signal::SIGSEGV] {
        let test_box = user_box();
        let running = start(&test_box);
        kill(keeper(&test_box), signal).unwrap();
        let run = running.finish();
        match signal {
            Signal::SIGKILL => assert_told(&run, "ended without an answer"),
            // As to root's keeper.
            _ => drop(run.assert_failed("signal")),
        }
        assert_nothing_left(&test_box);
        test_box.command(&["/bin/true"]).run().assert_ok();
        wait_until("the keeper is waited for", || {
            test_box.broker().keepers().is_empty()
        });
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_box_of_an_exec_whose_keeper_was_killed_is_free_again() {
    let test_box = user_box();
    let id = format!("--box-id={}", test_box.id());
    let command = test_box.exec_command(&[&*id, "sleep", "600"]);
    let running = support::Started::new(command, Some(b""));
    let is_there = || !test_box.processes().is_empty();
    wait_until("the program runs", is_there);
    kill(keeper(&test_box), Signal::SIGKILL).unwrap();
    let output = running.finish();
    assert_eq!(output.code, 125, "{output:?}");
    assert!(
        output.stderr.contains("ended without an answer"),
        "{output:?}"
    );
    assert_nothing_left(&test_box);
    assert_eq!(test_box.exec(&["-s", &id, "--wait", "true"]).code, 0);
    test_box.assert_gone();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_stopped_keeper_does_not_lift_the_time_limits() {
    let test_box = user_box();
    let running = test_box.command(&["/bin/sleep", "600"]);
    let running = running.options(&["--wall-time=1"]).spawn();
    running.wait_for_program();
    kill(keeper(&test_box), Signal::SIGSTOP).unwrap();
    wait_until("the program is dead", || running.processes().is_empty());
    kill(keeper(&test_box), Signal::SIGCONT).unwrap();
    let run = running.finish();
    assert_eq!(
        (run.code, run.meta.get("status")),
        (1, Some("TO")),
        "{run:?}"
    );
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn runs_go_on_without_the_broker_and_tell_how_they_ended() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let test_box = user_box();
        let report = test_box.out().join("report");
        let option = format!("--report={}", report.display());
        test_box.init();
        let script = ": >started; while [ ! -e go ]; do sleep 0.2; done; exit 3";
        let running = test_box.shell(script).options(&[&option]).spawn();
        running.wait_for_file("started");
        let keeper = keeper(&test_box);
        test_box.broker().signal(signal);
        wait_until("the broker is gone", || {
            test_box.broker().keepers().is_empty() && has_ended(test_box.broker().pid())
        });
        // Others cannot come any more.
        let refused = test_box.isolate(&["--cleanup"]);
        refused.assert_refused(2, "cannot connect to ");
        assert!(refused.stderr.contains("isolate.socket"), "{refused:?}");
        assert_eq!(running.processes().len().min(1), 1);
        let_go(&test_box);
        let run = running.finish();
        run.assert_verdict(1, "RE", "Exited with error status 3");
        let text = fs::read_to_string(&report).unwrap();
        assert!(text.contains("exit_code"), "{text}");
        assert_nothing_left(&test_box);
        wait_until("the keeper has ended", || has_ended(keeper.as_raw()));
    }
}

/// Whether there is no such process, or only what is left of it until somebody has waited for it.
fn has_ended(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with('Z'));
    state.unwrap_or(true)
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_stopped_broker_keeps_others_waiting_and_no_run_from_ending() {
    let test_box = user_box();
    let running = start(&test_box);
    test_box.broker().signal(Signal::SIGSTOP);
    let_go(&test_box);
    running.finish().assert_ok();
    let next = test_box.command(&["/bin/true"]).spawn();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(next.processes().is_empty());
    test_box.broker().signal(Signal::SIGCONT);
    next.finish().assert_ok();
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_scope_that_is_stopped_and_an_init_that_is_killed_are_told_as_to_root() {
    for stop_scope in [true, false] {
        let found = systemd::same_for_both(|test_box| {
            let running = start(test_box);
            let (scope, unit) = only_scope(test_box);
            if stop_scope {
                must("systemctl", &["stop", &unit]);
            } else {
                let init = members(&scope)[0].to_string();
                must("kill", &["-KILL", &init]);
            }
            let run = running.finish();
            run.assert_failed("from outside");
            assert_nothing_left(test_box);
            run.meta.keys().join(" ")
        });
        assert!(found.contains("status message"), "{found}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn without_a_broker_it_is_said_what_to_do() {
    let test_box = user_box();
    let mut command = test_box.broker().command(support::ALICE);
    let meta = test_box.out().join("meta");
    command.env("ISOLATE_RUN_BROKER", "/no/such/socket");
    command
        .arg(format!("--meta={}", meta.display()))
        .args(["--run", "--", "/bin/true"]);
    let output = support::finish(command);
    output.assert_refused(
        2,
        "cannot connect to /no/such/socket: No such file or directory",
    );
    assert!(
        output
            .stderr
            .contains("systemctl enable --now isolate.socket"),
        "{output:?}"
    );
    let text = fs::read_to_string(&meta).unwrap();
    assert!(text.starts_with("status:XX\nmessage:"), "{text}");
}
