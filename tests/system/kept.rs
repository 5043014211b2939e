//! The scope of a box's next run, which is kept ready for it: `keep_ready`.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::systemd::{
    assert_nothing_left, cg_box, let_go, members, must, read_cgroup, scopes, start_with, user_box,
};
use crate::support::{TestBox, wait_until};

/// Boxes of root and of a user, with control-group mode and without it.
fn boxes() -> [TestBox; 3] {
    let plain = TestBox::with_manager("systemd");
    let boxes = [plain, cg_box(), user_box().options(&["--cg"])];
    boxes.map(|test_box| test_box.config("keep_ready = 60\n"))
}

/// The process that keeps a scope without a run, once it has nothing else to do.
fn holder(scope: &Path) -> Option<Pid> {
    let in_own = fs::read_to_string(scope.join("init/cgroup.procs"));
    let list = in_own
        .or_else(|_| fs::read_to_string(scope.join("cgroup.procs")))
        .ok()?;
    let pid: i32 = list.trim().parse().ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let is_at_rest =
        status.contains("Name:\tisolate-holder\n") && status.contains("CapPrm:\t0000000000000000");
    is_at_rest.then(|| Pid::from_raw(pid))
}

/// The scope that is kept ready, and its holder.
#[track_caller]
pub(crate) fn kept(test_box: &TestBox) -> (PathBuf, Pid) {
    let mut found = None;
    wait_until("a scope is kept ready", || {
        let scopes = scopes(test_box);
        found = match &scopes[..] {
            [scope] => holder(scope).map(|holder| (scope.clone(), holder)),
            _ => None,
        };
        found.is_some()
    });
    found.unwrap()
}

/// Runs a program until it is seen where it lives.
#[track_caller]
fn run(test_box: &TestBox) -> Vec<PathBuf> {
    let running = start_with(test_box, &["--wall-time=600"]);
    let is_there = |scope: &PathBuf| {
        let program = fs::read_to_string(scope.join("box/cgroup.procs"));
        program.is_ok_and(|list| !list.is_empty())
    };
    let homes = scopes(test_box).into_iter().filter(is_there).collect();
    let_go(test_box);
    running.finish().assert_ok();
    fs::remove_file(test_box.inside().join("go")).unwrap();
    homes
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn each_run_finds_the_scope_that_was_kept_ready_for_it() {
    for test_box in boxes() {
        test_box.init();
        let mut before = None;
        for _ in 0..3 {
            let (scope, holder) = kept(&test_box);
            assert_ne!(before, Some(scope.clone()));
            assert_eq!(run(&test_box), std::slice::from_ref(&scope));
            wait_until("the holder was let go", || {
                !Path::new(&format!("/proc/{holder}")).exists()
            });
            before = Some(scope);
        }
        kept(&test_box);
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn who_keeps_it_has_nothing_of_anybodys() {
    let test_box = &boxes()[1];
    test_box.init();
    let (_, holder) = kept(test_box);
    let proc = PathBuf::from(format!("/proc/{holder}"));
    for file in ["environ", "cmdline"] {
        let bytes = fs::read(proc.join(file)).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0), "{file}: {bytes:?}");
    }
    assert_eq!(fs::read_link(proc.join("cwd")).unwrap(), Path::new("/"));
    let mut open: Vec<_> = fs::read_dir(proc.join("fd"))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap())
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    open.sort();
    let null = "/dev/null";
    assert_eq!(open, [null, null, null, "anon_inode:[signalfd]"]);
    let stat = fs::read_to_string(proc.join("stat")).unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    // Its session is its own, and has no terminal.
    assert_eq!(fields[3], holder.to_string());
    assert_eq!(fields[4], "0");
    test_box.cleanup();
    assert_nothing_left(test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn without_it_a_run_has_a_scope_made() {
    let test_box = &boxes()[1];
    test_box.init();
    let (scope, holder) = kept(test_box);
    kill(holder, Signal::SIGKILL).unwrap();
    wait_until("the scope is gone", || !scope.exists());
    assert_eq!(run(test_box).len(), 1);
    let (scope, _) = kept(test_box);
    let unit = scope.file_name().unwrap().to_str().unwrap();
    must("systemctl", &["stop", unit]);
    let homes = run(test_box);
    assert!(homes.len() == 1 && homes[0] != scope, "{homes:?}");
    // Nor is one of use that is still being made and does not come.
    for command in ["daemon-reexec", "daemon-reload"] {
        kept(test_box);
        must("systemctl", &[command]);
        assert_eq!(run(test_box).len(), 1);
    }
    kept(test_box);
    test_box.cleanup();
    assert_nothing_left(test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn it_is_not_kept_for_longer_than_is_configured() {
    let test_box = TestBox::with_manager("systemd").config("keep_ready = 2\n");
    test_box.init();
    kept(&test_box);
    assert_nothing_left(&test_box);
    test_box.command(&["/bin/true"]).run().assert_ok();
    assert_nothing_left(&test_box);
}

/// Runs that follow each other find it asked for, and not yet there.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn one_that_is_still_being_made_is_waited_for() {
    for test_box in boxes() {
        test_box.init();
        for _ in 0..8 {
            test_box.command(&["/bin/true"]).run().assert_ok();
        }
        kept(&test_box);
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn limits_and_figures_are_the_same_in_it() {
    for test_box in &boxes()[1..] {
        test_box.init();
        let options = ["--cg-mem=32M", "--processes=5", "--wall-time=600"];
        let (scope, holder) = kept(test_box);
        let running = start_with(test_box, &options);
        let leaf = scope.join("box");
        assert_eq!(read_cgroup(&leaf, "memory.max"), (32 << 20).to_string());
        assert_eq!(read_cgroup(&leaf, "memory.swap.max"), "0");
        assert_eq!(read_cgroup(&leaf, "pids.max"), "5");
        // Only init is beside the program's processes.
        let init = members(&scope.join("init"));
        let is_init = init.len() == 1 && init[0] != holder.as_raw();
        assert!(is_init, "{init:?} {holder}");
        assert!(members(&scope).is_empty());
        let_go(test_box);
        running.finish().assert_ok();
        for _ in 0..2 {
            let bomb = test_box.program("memory_bomb").args(&["4", "12"]);
            let run = bomb.options(&options).run();
            run.assert_verdict(1, "SG", "Caught fatal signal 9");
            assert_eq!(run.meta.get("cg-oom-killed"), Some("1"), "{run:?}");
            assert!(run.meta.number("cg-mem") <= 32_768.0, "{run:?}");
            let burn = test_box.program("burn_cpu").args(&["100"]);
            let run = burn.options(&options).run();
            assert!(run.assert_ok().meta.number("time") >= 0.1, "{run:?}");
            assert!(run.meta.number("cg-mem") < 16_384.0, "{run:?}");
        }
        test_box.cleanup();
        assert_nothing_left(test_box);
    }
}
