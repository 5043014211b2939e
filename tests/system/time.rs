//! CPU time is that of every process of the run, whoever waited for it, and of nothing else; limits of it, and of
//! time on the clock, end a run.

use crate::support;
use std::fs;
use std::time::Instant;

use crate::support::systemd::{any_box, assert_nothing_left, cg_box, let_go, must, start};
use crate::support::{CG_FIGURES, Run, TestBox, slow, wait_until};

const KILLED: [&str; 3] = ["status", "message", "killed"];

/// The smallest of a few figures: what a busy machine adds is different each time.
fn least(figures: impl Iterator<Item = f64>) -> f64 {
    figures.fold(f64::INFINITY, f64::min)
}

fn time(run: &Run) -> f64 {
    run.assert_ok().meta.number("time")
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn every_ending_in_control_group_mode_has_its_keys_in_their_order() {
    let test_box = cg_box();
    for (script, keys) in [
        ("exit 0", &["exitcode"][..]),
        ("exit 3", &["exitcode", "status", "message"]),
        ("kill -SEGV $$", &["exitsig", "status", "message"]),
    ] {
        let run = test_box.shell(script).run();
        run.assert_keys(&[&CG_FIGURES[..], keys].concat());
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_time_of_processes_that_nobody_waits_for_counts() {
    for test_box in [any_box(), TestBox::with_manager("systemd")] {
        let daemon = test_box.program("burn_daemon").args(&["300"]);
        let run = daemon.options(&["--processes=3"]).run();
        run.assert_ok();
        assert!(run.meta.number("time") >= 0.3, "{run:?}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn processes_that_nobody_waits_for_are_held_to_the_limit() {
    for test_box in [any_box(), TestBox::with_manager("systemd")] {
        let daemon = test_box.program("burn_daemon").args(&["0"]);
        let run = daemon
            .options(&["--processes=3", "--time=0.3", "--wall-time=100"])
            .run();
        run.assert_verdict(1, "TO", "Time limit exceeded");
        assert_eq!(run.meta.keys()[..3], KILLED, "{run:?}");
        assert!(run.meta.number("time") > 0.3, "{run:?}");
        assert!(run.meta.number("time-wall") < 50.0, "{run:?}");
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn busy_threads_are_killed_when_the_sum_of_their_times_is_over_the_limit() {
    let test_box = cg_box();
    let threads = test_box.program("burn_threads").args(&["4"]);
    let run = threads.options(&["--processes=4", "--time=0.4"]).run();
    run.assert_verdict(1, "TO", "Time limit exceeded");
    run.assert_keys(&[&KILLED[..], &CG_FIGURES].concat());
    // By how much depends on the machine; not by a tenth of a second for each CPU, as when polling.
    let over = run.meta.number("time") - 0.4;
    assert!(over > 0.0, "{run:?}");
    assert!(over < if slow() { 10.0 } else { 0.1 }, "{run:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_sleeper_is_killed_by_the_clock() {
    let before = Instant::now();
    let run = cg_box()
        .command(&["/bin/sleep", "600"])
        .options(&["--wall-time=0.5", "--time=100"])
        .run();
    run.assert_verdict(1, "TO", "Time limit exceeded (wall clock)");
    run.assert_keys(&[&KILLED[..], &CG_FIGURES].concat());
    let wall = run.meta.number("time-wall");
    assert!(
        wall >= 0.5 && wall < before.elapsed().as_secs_f64(),
        "{run:?}"
    );
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn within_the_extra_time_a_program_may_end_by_itself_and_has_timed_out_all_the_same() {
    let test_box = cg_box();
    let run = test_box
        .program("burn_cpu")
        .args(&["500"])
        .options(&["--time=0.3", "--extra-time=60"])
        .run();
    run.assert_verdict(1, "TO", "Time limit exceeded");
    run.assert_keys(&[&CG_FIGURES[..], &["status", "message"]].concat());

    // Above both it is killed, whichever of them is larger.
    for options in [
        ["--time=0.2", "--extra-time=0.5"],
        ["--time=0.5", "--extra-time=0.2"],
    ] {
        let run = test_box
            .program("burn_cpu")
            .args(&["600000"])
            .options(&options)
            .run();
        run.assert_verdict(1, "TO", "Time limit exceeded");
        run.assert_keys(&[&KILLED[..], &CG_FIGURES].concat());
        assert!(run.meta.number("time") > 0.5, "{run:?}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_time_is_what_the_kernel_says_of_the_same_program_outside() {
    let test_box = cg_box();
    let outside = |argv: &[&str]| -> f64 {
        let used = must(support::program("wait_usage").to_str().unwrap(), argv);
        used.split(' ').next().unwrap().parse().unwrap()
    };
    let expected = least((0..4).map(|_| outside(&["/bin/true"])));
    let found = least((0..4).map(|_| time(&test_box.command(&["/bin/true"]).run())));
    let slack = if slow() { 0.06 } else { 0.002 };
    assert!(
        found <= expected * 3.0 + slack,
        "{found} s instead of {expected} s"
    );
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_work_of_setting_up_the_sandbox_is_not_in_the_time() {
    let test_box = any_box();
    let mut rules = Vec::new();
    for number in 0..200 {
        let source = test_box.make_dir(&format!("source-{number}"), 0, 0o755);
        rules.push(format!("--dir=extra/{number}={}", source.display()));
    }
    let mut light = Vec::new();
    let mut heavy = Vec::new();
    // By turns: what slows the machine down slows both.
    for _ in 0..3 {
        light.push(time(&test_box.command(&["/bin/true"]).run()));
        heavy.push(time(
            &test_box.command(&["/bin/true"]).options(&rules).run(),
        ));
    }
    let (light, heavy) = (least(light.into_iter()), least(heavy.into_iter()));
    let slack = if slow() { 0.04 } else { 0.001 };
    assert!(
        heavy <= light * 1.5 + slack,
        "{heavy} s instead of {light} s"
    );
}

/// Programs that keep all CPUs busy must not hold up the keeper, which would let them go beyond their limits.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_keeper_goes_before_all_programs_while_it_watches_limits() {
    let policy = |pid: &str| {
        // A process may end at any moment.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Field 41, counted from behind the name.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        Some(fields.split(' ').nth(38).unwrap().to_owned())
    };
    let test_box = any_box().options(&["--wall-time=100"]);
    let running = start(&test_box);
    let (fifo, other) = ("1", "0");
    wait_until("the keeper goes first", || {
        policy(&running.pid().to_string()).as_deref() == Some(fifo)
    });
    let processes = running.processes().into_iter();
    let found: Vec<_> = processes
        .filter_map(|pid| policy(&pid.to_string()))
        .collect();
    assert!(
        !found.is_empty() && found.iter().all(|one| one == other),
        "{found:?}"
    );
    let_go(&test_box);
    running.finish().assert_ok();
    let inside = test_box.command(&["/bin/cat", "/proc/self/stat"]).run();
    assert_eq!(inside.assert_ok().stdout.split(' ').nth(40), Some(other));
}

/// isolate 1.x: without the control group's clock, a process that nobody waits for is out of sight until the end.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn without_cg_timing_the_time_is_that_of_waited_for_processes() {
    let test_box = cg_box().options(&["--processes=3"]);
    let options = ["--no-cg-timing", "--time=0.3", "--wall-time=2"];
    let daemon = test_box.program("burn_daemon").args(&["0"]);
    let run = daemon.options(&options).run();
    run.assert_verdict(1, "TO", "Time limit exceeded (wall clock)");
    let busy = test_box.program("burn_cpu").args(&["100000"]);
    let run = busy.options(&options[..2]).run();
    run.assert_verdict(1, "TO", "Time limit exceeded");
    assert!(run.meta.number("cg-mem") > 0.0, "{run:?}");
}
