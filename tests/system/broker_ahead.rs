//! A scope that the broker has had made before its run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::systemd::{
    alone, assert_nothing_left, let_go, members, must, property, read_cgroup, scopes, start_with,
    user_box,
};
use crate::support::{ALICE, Running, TestBox, children_of, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// In control-group mode there is more to be made ahead.
fn cg_box() -> TestBox {
    user_box().options(&["--cg"])
}

/// Runs a program; the scope that it was in.
#[track_caller]
fn run(test_box: &TestBox, options: &[&str]) -> PathBuf {
    let run = test_box.command(&["/bin/true"]);
    let run = run.options(&["-v"]).options(options).run();
    run.assert_ok();
    let line = run.stderr.lines().find(|line| line.contains(" is in /"));
    let Some((_, path)) = line.and_then(|line| line.split_once(" is in ")) else {
        panic!("no scope is named: {run:?}");
    };
    let cgroup = PathBuf::from(path);
    let scope = cgroup.ancestors().find(|path| {
        path.extension()
            .is_some_and(|extension| extension == "scope")
    });
    scope.unwrap().to_owned()
}

/// The process that holds a scope without a run.
fn holder(scope: &Path) -> Option<Pid> {
    let in_own = fs::read_to_string(scope.join("init/cgroup.procs"));
    let list = in_own
        .or_else(|_| fs::read_to_string(scope.join("cgroup.procs")))
        .ok()?;
    let pid = list.trim().parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name == "isolate-holder\n").then(|| Pid::from_raw(pid))
}

/// Has a scope made ahead by two runs that are alike; the scope and its holder.
#[track_caller]
fn made_ahead(test_box: &TestBox, options: &[&str]) -> (PathBuf, Pid) {
    let mut found = None;
    // On a machine that stands still for seconds it may have been given up before it was seen here.
    wait_until("a scope is made ahead", || {
        let used = [run(test_box, options), run(test_box, options)];
        for _ in 0..100 {
            let new = scopes(test_box)
                .into_iter()
                .find(|scope| !used.contains(scope));
            found = new.and_then(|scope| holder(&scope).map(|holder| (scope, holder)));
            if found.is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    });
    found.unwrap()
}

fn unit(scope: &Path) -> &str {
    scope.file_name().unwrap().to_str().unwrap()
}

/// Starts a program that goes on until it is let go, in a scope that was made ahead; the scope, and who held it.
#[track_caller]
fn start_in_scope_made_ahead(test_box: &TestBox, options: &[&str]) -> (Running, PathBuf, Pid) {
    // See above.
    for _ in 0..10 {
        let (scope, holder) = made_ahead(test_box, options);
        let running = start_with(test_box, options);
        let inside = fs::read_to_string(scope.join("box/cgroup.procs"));
        if inside.is_ok_and(|list| !list.is_empty()) {
            return (running, scope, holder);
        }
        finish(test_box, running);
    }
    panic!("no scope that was made ahead was used");
}

/// Lets such a program end, and another one be started.
fn finish(test_box: &TestBox, running: Running) {
    let_go(test_box);
    running.finish().assert_ok();
    fs::remove_file(test_box.inside().join("go")).unwrap();
}

/// The CPU time of a process, in ticks of 10 ms (proc_pid_stat(5), utime and stime).
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let times = fields.skip(11).take(2);
    times.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_like_the_two_before_it_finds_its_scope_made() {
    let _alone = alone();
    let options = ["--wall-time=600"];
    for test_box in [user_box(), cg_box()] {
        test_box.init();
        let (running, scope, _) = start_in_scope_made_ahead(&test_box, &options);
        let words = format!(
            "isolate-run: a program in box {} for uid {ALICE} (keeper is PID {})",
            test_box.id(),
            test_box.broker().keepers()[0]
        );
        assert_eq!(property(unit(&scope), "Description"), words);
        let slice = format!("isolate-u{ALICE}.slice");
        assert_eq!(property(unit(&scope), "Slice"), slice);
        assert_eq!(property(unit(&scope), "RuntimeMaxUSec"), "11min");
        finish(&test_box, running);
        // Nobody needs another one, and it is not kept.
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn limits_and_figures_are_the_same_in_it() {
    let _alone = alone();
    let test_box = cg_box();
    test_box.init();
    let options = ["--cg-mem=32M", "--processes=5", "--wall-time=600"];
    let (running, scope, holder) = start_in_scope_made_ahead(&test_box, &options);
    let leaf = scope.join("box");
    assert_eq!(read_cgroup(&leaf, "memory.max"), (32 << 20).to_string());
    assert_eq!(read_cgroup(&leaf, "memory.swap.max"), "0");
    assert_eq!(read_cgroup(&leaf, "pids.max"), "5");
    // Only init is beside the program's processes.
    let init = members(&scope.join("init"));
    assert!(
        init.len() == 1 && init[0] != holder.as_raw(),
        "{init:?} {holder}"
    );
    assert!(members(&scope).is_empty());
    finish(&test_box, running);
    // Whether their scopes were made ahead or not.
    for _ in 0..4 {
        let bomb = test_box.program("memory_bomb").args(&["4", "12"]);
        let run = bomb.options(&options).run();
        run.assert_verdict(1, "SG", "Caught fatal signal 9");
        assert_eq!(run.meta.get("cg-oom-killed"), Some("1"), "{run:?}");
        assert!(run.meta.number("cg-mem") <= 32_768.0, "{run:?}");
    }
    for _ in 0..4 {
        let burn = test_box.program("burn_cpu").args(&["100"]);
        let run = burn.options(&options).run();
        assert!(run.assert_ok().meta.number("time") >= 0.1, "{run:?}");
        assert!(run.meta.number("cg-mem") < 16_384.0, "{run:?}");
    }
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_takes_over_what_was_asked_and_not_yet_done() {
    let _alone = alone();
    let dbus = property("dbus.service", "MainPID");
    for test_box in [user_box(), cg_box()] {
        test_box.init();
        run(&test_box, &[]);
        let running = start_with(&test_box, &[]);
        must("kill", &["-STOP", &dbus]);
        finish(&test_box, running);
        // By now the next scope is asked for, or soon.
        let next = test_box.command(&["/bin/true"]).options(&["-vv"]).spawn();
        std::thread::sleep(Duration::from_secs(2));
        must("kill", &["-CONT", &dbus]);
        let run = next.finish();
        run.assert_ok();
        assert!(run.stderr.contains("asked for ahead"), "{run:?}");
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_bus_that_hangs_longer_than_anybody_needs_it_leaves_nothing() {
    let _alone = alone();
    let dbus = property("dbus.service", "MainPID");
    let test_box = user_box();
    test_box.init();
    run(&test_box, &[]);
    let running = start_with(&test_box, &[]);
    must("kill", &["-STOP", &dbus]);
    finish(&test_box, running);
    std::thread::sleep(Duration::from_secs(13));
    let is_held = || {
        let spares = children_of(test_box.broker().pid());
        spares.iter().any(|spare| !children_of(*spare).is_empty())
    };
    let was_held = is_held();
    must("kill", &["-CONT", &dbus]);
    assert!(was_held);
    wait_until("the scope was made, and is gone", || !is_held());
    assert_nothing_left(&test_box);
    run(&test_box, &[]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn another_run_or_command_does_not_use_it_and_ends_it() {
    let _alone = alone();
    let test_box = cg_box();
    test_box.init();
    let (scope, _) = made_ahead(&test_box, &[]);
    let running = start_with(&test_box, &["--wall-time=700"]);
    // While it goes on, in another one.
    wait_until("the scope is gone", || !scope.exists());
    assert!(!scopes(&test_box).is_empty());
    finish(&test_box, running);
    let (scope, _) = made_ahead(&test_box, &[]);
    test_box.cleanup();
    wait_until("the scope is gone", || !scope.exists());
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn who_keeps_it_for_nobody_comes_to_rest_and_is_of_use() {
    let _alone = alone();
    let test_box = cg_box();
    test_box.init();
    let (scope, holder) = made_ahead(&test_box, &[]);
    let spares = children_of(test_box.broker().pid());
    let spare = spares
        .into_iter()
        .find(|pid| children_of(*pid).contains(&holder.as_raw()));
    let spare = spare.unwrap();
    wait_until("the scope is gone", || !scope.exists());
    wait_until("no holder is left", || children_of(spare).is_empty());
    let before = ticks(spare);
    std::thread::sleep(Duration::from_secs(2));
    let used = ticks(spare) - before;
    assert!(used < 20, "{used} of 200 ticks were used for nothing");
    run(&test_box, &[]);
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn it_ends_with_its_keeper_and_the_broker() {
    let _alone = alone();
    let test_box = cg_box();
    test_box.init();
    let (scope, holder) = made_ahead(&test_box, &[]);
    let status = fs::read_to_string(format!("/proc/{holder}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t"));
    let keeper = Pid::from_raw(parent.unwrap().parse().unwrap());
    kill(keeper, Signal::SIGKILL).unwrap();
    wait_until("the scope is gone", || !scope.exists());
    assert_ne!(run(&test_box, &[]), scope);
    let (scope, _) = made_ahead(&test_box, &[]);
    test_box.broker().signal(Signal::SIGTERM);
    wait_until("the scope is gone", || !scope.exists());
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn whoever_ends_it_from_outside_ends_no_run() {
    let _alone = alone();
    let test_box = cg_box();
    test_box.init();
    let (scope, _) = made_ahead(&test_box, &[]);
    must("systemctl", &["stop", unit(&scope)]);
    assert_ne!(run(&test_box, &[]), scope);
    let (scope, holder) = made_ahead(&test_box, &[]);
    kill(holder, Signal::SIGKILL).unwrap();
    wait_until("the scope is gone", || !scope.exists());
    assert_ne!(run(&test_box, &[]), scope);
    for command in ["daemon-reexec", "daemon-reload"] {
        made_ahead(&test_box, &[]);
        must("systemctl", &[command]);
        run(&test_box, &[]);
    }
    assert_nothing_left(&test_box);
}
