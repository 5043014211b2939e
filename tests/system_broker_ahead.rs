//! A scope that the broker has had made before its run.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{ALICE, TestBox, wait_until};
use system::{assert_nothing_left, members, must, property, read_cgroup, scopes, user_box};

mod support;
mod system;

/// One test after the other: systemd is replaced by itself, and every other question to it may fail meanwhile.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    let scopes = PathBuf::from(path);
    let scope = scopes.ancestors().find(|path| {
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
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        false
    });
    found.unwrap()
}

fn unit(scope: &Path) -> &str {
    scope.file_name().unwrap().to_str().unwrap()
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_like_the_two_before_it_finds_its_scope_made() {
    let _alone = alone();
    let options = ["--wall-time=600"];
    for test_box in [user_box(), cg_box()] {
        test_box.init();
        let (scope, _) = made_ahead(&test_box, &options);
        let words = format!(
            "isolate-run: a program in box {} for uid {ALICE} (keeper is PID ",
            test_box.id()
        );
        let description = property(unit(&scope), "Description");
        assert!(description.starts_with(&words), "{description}");
        let slice = format!("isolate-u{ALICE}.slice");
        assert_eq!(property(unit(&scope), "Slice"), slice);
        assert_eq!(run(&test_box, &options), scope);
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
    let (scope, holder) = made_ahead(&test_box, &options);
    let job = test_box.shell(": >started; while [ ! -e go ]; do sleep 0.1; done");
    let running = job.options(&options).spawn();
    running.wait_for_file("started");
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
    fs::write(test_box.inside().join("go"), "").unwrap();
    running.finish().assert_ok();
    let bomb = || {
        test_box
            .program("memory_bomb")
            .args(&["4", "12"])
            .options(&options)
    };
    // Whether its scope was made ahead or not.
    for _ in 0..4 {
        let run = bomb().options(&["-v"]).run();
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
fn another_run_or_command_does_not_use_it_and_ends_it() {
    let _alone = alone();
    let test_box = cg_box();
    test_box.init();
    let (scope, _) = made_ahead(&test_box, &[]);
    assert_ne!(run(&test_box, &["--wall-time=700"]), scope);
    wait_until("the scope is gone", || !scope.exists());
    let (scope, _) = made_ahead(&test_box, &[]);
    test_box.cleanup();
    wait_until("the scope is gone", || !scope.exists());
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
