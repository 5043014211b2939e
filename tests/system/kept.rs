//! The scope of a box's next run, which is kept ready for it: `keep_ready`, and `scope` in `[cgroup]`.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::systemd::{
    any_box, assert_nothing_left, assert_nothing_left_of, in_any_mode, let_go, members, must,
    property, read_cgroup, scopes, scopes_of, start_with, user_box,
};
use crate::support::{BOXES, TestBox, binary, entries, finish, wait_until};

/// Boxes of root and of a user, with control-group mode, where there are controllers, and without it. Runs that follow each other in one share a scope.
pub(crate) fn boxes() -> [TestBox; 3] {
    boxes_with("keep_ready = 60\n")
}

fn boxes_with(config: &str) -> [TestBox; 3] {
    let plain = TestBox::with_manager("systemd");
    let boxes = [plain, any_box(), in_any_mode(user_box())];
    boxes.map(|test_box| test_box.config(config))
}

/// The process that keeps a scope without a run, once it has nothing else to do.
pub(crate) fn holder(scope: &Path) -> Option<Pid> {
    let in_own = fs::read_to_string(scope.join("init/cgroup.procs"));
    let list = in_own
        .or_else(|_| fs::read_to_string(scope.join("cgroup.procs")))
        .ok()?;
    let pid: i32 = list.trim().parse().ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // What it takes to make namespaces, or nothing.
    let mut rights = ["0000000000201000", "0000000000000000"].iter();
    let is_at_rest = status.contains("Name:\tisolate-holder\n")
        && rights.any(|rights| status.contains(&format!("CapPrm:\t{rights}\n")));
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
pub(crate) fn run(test_box: &TestBox) -> Vec<PathBuf> {
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
    for test_box in boxes_with("keep_ready = 60\nscope = 'run'\n") {
        test_box.init();
        let mut before = None;
        for _ in 0..3 {
            let (scope, holder) = kept(&test_box);
            assert_ne!(before, Some(scope.clone()));
            assert_eq!(run(&test_box), std::slice::from_ref(&scope));
            wait_until("the holder was let go", || !is_there(holder));
            before = Some(scope);
        }
        kept(&test_box);
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn runs_that_follow_each_other_share_a_scope_and_nothing_in_it() {
    for test_box in boxes() {
        test_box.init();
        let first = kept(&test_box);
        for _ in 0..3 {
            assert_eq!(run(&test_box), std::slice::from_ref(&first.0));
            assert!(!first.0.join("box").exists());
            assert_eq!(kept(&test_box), first);
        }
        // So do those in a box that its owner makes anew.
        test_box.isolate(&["--init"]).assert_success();
        assert_eq!(run(&test_box), std::slice::from_ref(&first.0));
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}

/// What somebody has left in a scope is no part of a run.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_scope_in_which_anything_is_left_is_ended() {
    let [plain, _, of_user] = boxes();
    for test_box in [plain, of_user] {
        test_box.init();
        let (scope, holder) = kept(&test_box);
        let left = scope.join("box");
        fs::create_dir(&left).unwrap();
        let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
        fs::write(left.join("cgroup.procs"), stranger.id().to_string()).unwrap();
        let homes = run(&test_box);
        assert!(homes.len() == 1 && homes[0] != scope, "{homes:?}");
        assert_eq!(stranger.wait().unwrap().signal(), Some(libc::SIGKILL));
        wait_until("the holder has ended", || !is_there(holder));
        // Also beside init, where no program ever is.
        let (scope, _) = kept(&test_box);
        let running = start_with(&test_box, &["--wall-time=600"]);
        let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
        let beside = [scope.join("init"), scope.clone()];
        let beside = beside.iter().find(|group| group.exists()).unwrap();
        fs::write(beside.join("cgroup.procs"), stranger.id().to_string()).unwrap();
        let_go(&test_box);
        running.finish().assert_ok();
        fs::remove_file(test_box.inside().join("go")).unwrap();
        assert_eq!(stranger.wait().unwrap().signal(), Some(libc::SIGKILL));
        wait_until("the scope is gone", || !scope.exists());
        assert_eq!(run(&test_box).len(), 1);
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn after_a_run_that_was_cut_off_the_next_has_another_scope() {
    for test_box in &boxes()[1..] {
        test_box.init();
        // Its keeper is killed.
        let (scope, _) = kept(test_box);
        let running = start_with(test_box, &["--wall-time=600"]);
        kill(keeper_of(&scope), Signal::SIGKILL).unwrap();
        drop(running.finish());
        let homes = run(test_box);
        assert!(homes.len() == 1 && homes[0] != scope, "{homes:?}");
        wait_until("the scope is gone", || !scope.exists());
        // Its scope is stopped.
        let (scope, _) = kept(test_box);
        let running = start_with(test_box, &["--wall-time=600"]);
        must(
            "systemctl",
            &["stop", scope.file_name().unwrap().to_str().unwrap()],
        );
        let ended = running.finish();
        // By whom, is known where the program was killed before init.
        ended.assert_failed("from outside");
        let homes = run(test_box);
        assert!(homes.len() == 1 && homes[0] != scope, "{homes:?}");
        test_box.cleanup();
        assert_nothing_left(test_box);
    }
}

/// The parent of the init in a scope.
fn keeper_of(scope: &Path) -> Pid {
    let parent = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:\t"));
        let is_holder = status.contains("Name:\tisolate-holder\n");
        (!is_holder).then(|| Pid::from_raw(line.unwrap().parse().unwrap()))
    };
    let beside = members(&scope.join("init")).into_iter();
    beside.filter_map(parent).next().unwrap()
}

pub(crate) fn is_there(process: Pid) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

/// Of root and of a user: each has a box for one run, and leaves no box.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_exec_leaves_is_a_scope_for_the_next_of_the_same_user() {
    let both = [TestBox::with_manager("systemd"), user_box()];
    for test_box in both.map(|test_box| test_box.config("keep_ready = 60\n")) {
        let id = test_box.id() + BOXES - 1;
        let exec = |words: &[&str]| {
            let output = test_box.exec(&[&["-s", "-dsys=/sys"], words].concat());
            test_box.assert_gone();
            assert_eq!(output.code, 0, "{output:?}");
        };
        let left = || {
            let mut found = Vec::new();
            wait_until("one scope is left", || {
                found = scopes_of(id);
                matches!(&found[..], [scope] if holder(scope).is_some())
            });
            found.remove(0)
        };
        exec(&["true"]);
        let scope = left();
        let keeps_it = holder(&scope);
        for _ in 0..2 {
            exec(&["true"]);
            assert_eq!((left(), holder(&scope)), (scope.clone(), keeps_it));
        }
        // One whose number was chosen has nothing to do with it, and leaves none.
        let other = format!("--box-id={}", test_box.id());
        exec(&[&other, "true"]);
        assert_nothing_left(&test_box);
        exec(&[&format!("--box-id={id}"), "true"]);
        wait_until("its own is gone", || scopes_of(id).len() == 1);
        // One in which anything is left is not used again.
        fs::create_dir(scope.join("box")).unwrap();
        exec(&["true"]);
        wait_until("the scope is gone", || !scope.exists());
        assert_ne!(left(), scope);
        kill(holder(&left()).unwrap(), Signal::SIGTERM).unwrap();
        assert_nothing_left_of(&test_box, id);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn who_keeps_it_has_nothing_of_anybodys() {
    let test_box = &boxes()[1];
    test_box.init();
    let (scope, holder) = kept(test_box);
    let words = format!(
        "isolate-run: kept for programs in box {} for root (isolate-holder is PID {holder})",
        test_box.id()
    );
    let unit = scope.file_name().unwrap().to_str().unwrap();
    assert_eq!(property(unit, "Description"), words);
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
    let place = [scope.join("init"), scope.clone()];
    let place = place.iter().find(|place| place.exists()).unwrap();
    let files = [
        scope.with_file_name("cgroup.stat"),
        scope.join("cgroup.stat"),
        place.join("cgroup.procs"),
    ];
    let [crowd, beside, processes] = files.each_ref().map(|file| file.to_str().unwrap());
    // By these it sees what was done in a network.
    let (map, link) = ("anon_inode:bpf-map", "anon_inode:bpf_link");
    let signals = "anon_inode:[signalfd]";
    let mut expected = [
        null, null, null, "/proc", crowd, beside, processes, signals, map, link,
    ];
    expected.sort_unstable();
    assert_eq!(open, expected);
    // A directory with nothing but /dev, on which nothing else is mounted, and nothing can be written.
    let mounts = fs::read_to_string(proc.join("mountinfo")).unwrap();
    for mount in mounts.lines() {
        let fields: Vec<_> = mount.split(' ').collect();
        let [place, options] = [4, 5].map(|field| fields[field]);
        assert!(
            place == "/" || Path::new(place).starts_with("/dev"),
            "{mounts}"
        );
        assert!(options.starts_with("ro,nosuid"), "{mounts}");
    }
    let root = proc.join("root");
    assert_eq!(entries(&root).collect::<Vec<_>>(), [root.join("dev")]);
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
        // Only init and the holder are beside the program's processes.
        let init = members(&scope.join("init"));
        let are_they = init.len() == 2 && init.contains(&holder.as_raw());
        assert!(are_they, "{init:?} {holder}");
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

/// Whoever is left in a service that ends is told to end, and then waited for.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_service_whose_last_command_is_exec_ends_at_once() {
    let test_box = TestBox::with_manager("systemd").config("keep_ready = 1\n");
    let is_quick = || {
        let mut command = Command::new("systemd-run");
        command.args(["--quiet", "--collect", "--wait", "--"]);
        command.arg(binary()).args(["exec", "--quiet", "--config"]);
        command
            .arg(test_box.config_file())
            .args(["--", "/bin/true"]);
        let begun = Instant::now();
        finish(command).assert_success();
        begun.elapsed() < Duration::from_secs(5)
    };
    assert!((0..5).any(|_| is_quick()));
    test_box.cleanup();
}
