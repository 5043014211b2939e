//! Signals to a user's own process end the run that goes on behind it, and what becomes of that process does not matter.

use std::time::Duration;

use crate::support::systemd::{assert_nothing_left, let_go, same_for_both, start, user_box};
use crate::support::{Running, TestBox, slow, wait_until};
use nix::sys::signal::Signal;

/// Waits until nothing of the run is there, and uses the box again.
fn assert_over(test_box: &TestBox) {
    assert_nothing_left(test_box);
    wait_until("the keeper has ended", || {
        test_box.broker().keepers().is_empty()
    });
    test_box.command(&["/bin/true"]).run().assert_ok();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn signals_that_interrupt_end_the_run_as_for_root() {
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
    ] {
        let found = same_for_both(|test_box| {
            let running = start(test_box);
            running.signal(signal);
            let run = running.finish();
            run.assert_verdict(1, "SG", "Interrupted");
            let told = ["exitsig", "killed"].map(|key| run.meta.get(key).map(str::to_owned));
            let keys = run.meta.keys().join(" ");
            (told, keys, run.stderr)
        });
        let number = (signal as i32).to_string();
        assert_eq!(found.0, [Some(number), Some("1".to_owned())]);
        assert_eq!(found.2, "Interrupted\n");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn other_signals_end_nothing_and_stop_nothing() {
    let test_box = user_box();
    let running = start(&test_box);
    for signal in [
        Signal::SIGALRM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGPIPE,
        Signal::SIGTSTP,
        Signal::SIGTTOU,
        Signal::SIGXCPU,
        Signal::SIGVTALRM,
        Signal::SIGWINCH,
    ] {
        running.signal(signal);
    }
    std::thread::sleep(Duration::from_millis(100));
    let_go(&test_box);
    running.finish().assert_ok();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_signal_that_the_caller_ignores_has_no_effect() {
    let found = same_for_both(|test_box| {
        test_box.init();
        let job = test_box.shell(": >started; while [ ! -e go ]; do sleep 0.2; done");
        let running = job.through("trap '' HUP INT; exec \"$@\"").spawn();
        running.wait_for_file("started");
        running.signal(Signal::SIGHUP);
        running.signal(Signal::SIGINT);
        std::thread::sleep(Duration::from_millis(100));
        let_go(test_box);
        let run = running.finish();
        run.assert_ok();
        // The others have theirs.
        let job = test_box.shell(": >again; while :; do sleep 0.1; done");
        let running = job.through("trap '' HUP INT; exec \"$@\"").spawn();
        running.wait_for_file("again");
        running.signal(Signal::SIGTERM);
        running.finish().meta.get("message").map(str::to_owned)
    });
    assert_eq!(found.as_deref(), Some("Interrupted"));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_killed_caller_takes_the_run_along() {
    let test_box = user_box();
    for _ in 0..3 {
        let running = start(&test_box);
        running.signal(Signal::SIGKILL);
        assert_eq!(running.finish().code, -9);
        assert_over(&test_box);
    }
}

/// Whenever the caller goes: before the request is there, while the run is made ready, in it, at its end.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_caller_who_goes_at_any_moment_leaves_nothing() {
    let test_box = user_box().options(&["--wait"]);
    let (times, step) = if slow() { (16, 200) } else { (60, 1) };
    for number in 0..times {
        let running = test_box.command(&["/bin/true"]).spawn();
        std::thread::sleep(Duration::from_millis(number % 20 * step));
        let signals = [Signal::SIGKILL, Signal::SIGTERM];
        let signal = signals[number as usize % 2];
        // It may have ended by itself.
        running.try_signal(signal);
        let run = running.finish();
        let ends = [(0, None), (1, Some("SG")), (-(signal as i32), None)];
        let end = (run.code, run.meta.get("status"));
        assert!(ends.contains(&end), "{signal}: {run:?}");
    }
    assert_over(&test_box);
}

/// Starts a command with this option, and stops the caller's process when the program runs.
fn start_and_stop(test_box: &TestBox, command: &[&str], option: &str) -> Running {
    test_box.init().install("burn_cpu");
    let running = test_box.command(command).options(&[option]).spawn();
    running.wait_for_program();
    running.signal(Signal::SIGSTOP);
    running
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_stopped_caller_does_not_lift_the_time_limits() {
    for (command, option, least) in [
        (&["/bin/sleep", "600"][..], "--wall-time=1", "time-wall"),
        (&["./burn_cpu", "1000000"], "--time=1", "time"),
    ] {
        let test_box = user_box();
        let running = start_and_stop(&test_box, command, option);
        wait_until("the program is dead", || running.processes().is_empty());
        running.signal(Signal::SIGCONT);
        let run = running.finish();
        assert_eq!(
            (run.code, run.meta.get("status")),
            (1, Some("TO")),
            "{run:?}"
        );
        let used = run.meta.number(least);
        assert!(used >= 1.0 && (slow() || used < 3.0), "{run:?}");
        assert_over(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_stopped_caller_is_told_the_right_result_when_it_goes_on() {
    let test_box = user_box();
    let running = start(&test_box);
    running.signal(Signal::SIGSTOP);
    let_go(&test_box);
    wait_until("the program has ended", || running.processes().is_empty());
    running.signal(Signal::SIGCONT);
    running.finish().assert_ok();
    assert_over(&test_box);
}
