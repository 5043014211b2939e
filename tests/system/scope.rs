//! Each run lives in a systemd scope of its own, and so does everything of it, and nothing longer than the run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::systemd::{
    CGROUPS, any_box, assert_nothing_left, cg_box, let_go, members, must, only_scope, properties,
    property, scopes, scopes_in, start,
};
use crate::support::{CG_FIGURES, TestBox, children_of, finish, slow, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zbus::zvariant::Value;

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_is_an_active_scope_of_isolate_slice_with_init_and_program_apart() {
    let test_box = cg_box();
    let running = start(&test_box);
    let (scope, unit) = only_scope(&test_box);
    assert_eq!(property(&unit, "ActiveState"), "active");
    assert_eq!(property(&unit, "Slice"), "isolate.slice");
    let control_group = property(&unit, "ControlGroup");
    assert_eq!(Path::new(CGROUPS).join(&control_group[1..]), scope);

    assert_eq!(
        members(&scope),
        [] as [i32; 0],
        "the scope's own group is for no process"
    );
    assert_eq!(members(&scope.join("init")).len(), 1);
    let program = members(&scope.join("box"));
    // The shell; its `sleep` comes and goes.
    assert!(running.processes().contains(&program[0]));

    let_go(&test_box);
    running.finish().assert_ok();
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_unit_has_the_properties_that_a_run_relies_on() {
    let test_box = cg_box();
    let running = test_box
        .command(&["/bin/sleep", "600"])
        .options(&["--wall-time=100"])
        .spawn();
    wait_until("the program runs", || !running.processes().is_empty());
    let (_, unit) = only_scope(&test_box);
    let description = format!(
        "isolate-run: a program in box {} for root (keeper is PID {})",
        test_box.id(),
        running.pid()
    );
    let properties = properties(&unit);
    let expected: [(_, Value<'_>); 7] = [
        ("Delegate", true.into()),
        ("DelegateControllers", vec!["cpu", "memory", "pids"].into()),
        ("CollectMode", "inactive-or-failed".into()),
        ("KillSignal", 9_i32.into()),
        ("TimeoutStopUSec", 2_000_000_u64.into()),
        // The backstop for a keeper that was stopped.
        ("RuntimeMaxUSec", 160_000_000_u64.into()),
        ("Description", description.into()),
    ];
    for (name, value) in expected {
        assert_eq!(*properties[name], value, "{name}");
    }
    // A scope has this property since systemd 253.
    if let Some(policy) = properties.get("OOMPolicy") {
        assert_eq!(**policy, Value::from("continue"));
    }

    running.signal(Signal::SIGTERM);
    let run = running.finish();
    run.assert_verdict(1, "SG", "Interrupted");
    run.assert_keys(&[&["exitsig", "status", "message", "killed"][..], &CG_FIGURES].concat());
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_program_sees_itself_at_the_root_of_the_control_groups() {
    for test_box in [any_box(), TestBox::with_manager("systemd")] {
        let run = test_box.command(&["/bin/cat", "/proc/self/cgroup"]).run();
        run.assert_ok();
        // Behind those of version 1, where this machine has such.
        assert_eq!(run.stdout.lines().next_back(), Some("0::/"));
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_lives_in_the_slice_that_is_configured() {
    let test_box = any_box().config("slice = 'testjudge-isolate.slice'\n");
    let slice = Path::new(CGROUPS).join("testjudge.slice/testjudge-isolate.slice");
    let root = test_box.isolate(&["--print-cg-root"]);
    assert_eq!(PathBuf::from(root.stdout.trim_end()), slice);

    let running = start(&test_box);
    assert_eq!(scopes_in(&slice, test_box.id()).len(), 1);
    assert!(scopes(&test_box).is_empty());
    let_go(&test_box);
    running.finish().assert_ok();
    wait_until("the scope is gone", || {
        scopes_in(&slice, test_box.id()).is_empty()
    });
    must("systemctl", &["stop", "testjudge.slice"]);
    wait_until("the slice is gone", || !slice.exists());
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_without_control_group_mode_lives_in_a_scope_too() {
    let test_box = TestBox::with_manager("systemd");
    let running = start(&test_box);
    let (scope, unit) = only_scope(&test_box);
    assert_eq!(property(&unit, "ActiveState"), "active");
    assert!(!members(&scope.join("box")).is_empty());
    assert!(
        !scope.join("box/memory.max").exists(),
        "no limits are asked for"
    );
    let_go(&test_box);
    let run = running.finish();
    run.assert_ok().assert_keys(&[
        "time",
        "time-wall",
        "max-rss",
        "csw-voluntary",
        "csw-forced",
        "exitcode",
    ]);
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn two_boxes_at_once_have_a_scope_each() {
    let boxes = [any_box(), any_box()];
    let runs = [start(&boxes[0]), start(&boxes[1])];
    let units = [only_scope(&boxes[0]).1, only_scope(&boxes[1]).1];
    assert_ne!(units[0], units[1]);
    let_go(&boxes[0]);
    let [first, second] = runs;
    first.finish().assert_ok();
    assert_nothing_left(&boxes[0]);
    assert_eq!(property(&units[1], "ActiveState"), "active");
    let_go(&boxes[1]);
    second.finish().assert_ok();
    assert_nothing_left(&boxes[1]);
}

/// Whichever of its processes systemd happens to kill first: hence more than once.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn stopping_the_scope_ends_the_run_as_an_internal_error_and_blames_nobody_inside() {
    let test_box = any_box();
    for _ in 0..4 {
        let running = start(&test_box);
        must("systemctl", &["stop", &only_scope(&test_box).1]);
        let run = running.finish();
        run.assert_failed("from outside");
        let message = run.meta.get("message").unwrap();
        assert!(message.contains("from outside"), "{run:?}");
        assert_nothing_left(&test_box);
    }
    // The box is as good as before.
    test_box.command(&["/bin/true"]).run().assert_ok();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn init_killed_from_outside_is_an_internal_error() {
    let test_box = cg_box();
    let running = start(&test_box);
    let (scope, _) = only_scope(&test_box);
    let init = members(&scope.join("init"));
    must("kill", &["-KILL", &init[0].to_string()]);
    running.finish().assert_failed("from outside");
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_killed_keeper_takes_everything_along_and_the_box_can_be_used_again() {
    let test_box = any_box();
    let running = start(&test_box);
    running.signal(Signal::SIGKILL);
    assert_eq!(running.finish().code, -9);
    wait_until("the program is dead", || test_box.processes().is_empty());
    let_go(&test_box);
    test_box.command(&["/bin/true"]).run().assert_ok();
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_verbose_run_names_its_scope_and_a_quiet_one_does_not() {
    let test_box = any_box();
    let unit = format!("isolate.slice/isolate-{}-", test_box.id());
    let verbose = test_box.command(&["/bin/true"]).options(&["-v"]).run();
    verbose.assert_ok();
    assert!(verbose.stderr.contains(&unit), "{verbose:?}");
    let quiet = test_box
        .command(&["/bin/true"])
        .options(&["--silent"])
        .run();
    quiet.assert_ok();
    assert_eq!(quiet.stderr, "");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_root_of_all_control_groups_is_the_slice() {
    for manager in ["auto", "systemd"] {
        let printed = TestBox::with_manager(manager).isolate(&["--print-cg-root"]);
        assert_eq!(printed.stdout, "/sys/fs/cgroup/isolate.slice\n");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn stopping_the_slice_ends_its_runs_as_internal_errors() {
    let slice = "slice = 'teststopped.slice'\n";
    let boxes = [any_box().config(slice), any_box().config(slice)];
    let runs = boxes.each_ref().map(start);
    must("systemctl", &["stop", "teststopped.slice"]);
    for run in runs {
        run.finish().assert_failed("from outside");
    }
    for test_box in &boxes {
        test_box.command(&["/bin/true"]).run().assert_ok();
    }
    must("systemctl", &["stop", "teststopped.slice"]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_slice_that_is_full_of_processes_is_an_internal_error_with_the_remedy() {
    let test_box = cg_box().config("slice = 'testfull.slice'\n");
    test_box.command(&["/bin/true"]).run().assert_ok();
    must(
        "systemctl",
        &["set-property", "--runtime", "testfull.slice", "TasksMax=1"],
    );
    let run = test_box.command(&["/bin/true"]).run();
    run.assert_failed("limit of processes");
    must(
        "systemctl",
        &[
            "set-property",
            "--runtime",
            "testfull.slice",
            "TasksMax=infinity",
        ],
    );
    test_box.command(&["/bin/true"]).run().assert_ok();
    must("systemctl", &["stop", "testfull.slice"]);
    must("systemctl", &["revert", "testfull.slice"]);
    assert_nothing_left(&test_box);
}

/// The kernel moves no process that is dying, and systemd does not see that it has a scope without any.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn an_init_that_is_killed_while_it_is_moved_leaves_no_scope() {
    let test_box = TestBox::with_manager("systemd");
    let (times, step) = if slow() { (10, 2000) } else { (50, 250) };
    for number in 0..times {
        let mut running = test_box.init().command(&["/bin/true"]).spawn();
        let mut found = None;
        while found.is_none() && running.is_running() {
            found = children_of(running.pid()).first().copied();
        }
        std::thread::sleep(Duration::from_micros(number % 40 * step));
        // It may have ended by itself.
        if let Some(init) = found {
            kill(Pid::from_raw(init), Signal::SIGKILL).ok();
        }
        drop(running.finish());
    }
    assert_nothing_left(&test_box);
    test_box.command(&["/bin/true"]).run().assert_ok();
}

/// Whoever ends, and whenever: systemd is just about to move init, which must not end before that.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_that_ends_while_its_scope_is_being_made_leaves_no_scope() {
    let test_box = TestBox::with_manager("systemd").options(&["--wait"]);
    let (times, step) = if slow() { (20, 20) } else { (100, 1) };
    for number in 0..times {
        let running = test_box.init().command(&["/bin/true"]).spawn();
        std::thread::sleep(Duration::from_millis(number % 20 * step));
        let signals = [Signal::SIGTERM, Signal::SIGKILL];
        // It may have ended by itself.
        running.try_signal(signals[number as usize % 2]);
        drop(running.finish());
    }
    assert_nothing_left(&test_box);
    test_box.command(&["/bin/true"]).run().assert_ok();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn an_init_that_fails_before_its_scope_is_there_is_told_and_not_the_scope() {
    let test_box = any_box();
    for _ in 0..10 {
        // Made anew, it has no scope yet.
        test_box.init();
        let run = test_box.command(&["/bin/true"]);
        let run = run.through("exec setpriv --bounding-set=-net_admin \"$@\"");
        let run = run.run();
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains("CAP_NET_ADMIN"), "{run:?}");
    }
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_without_a_proc_says_so() {
    let test_box = any_box();
    test_box.init();
    let elsewhere = "exec unshare --mount sh -c 'mount -t tmpfs none /proc; exec \"$@\"' sh \"$@\"";
    // One ends at its meta file, the other when its scope is missed.
    let with_meta = test_box.command(&["/bin/true"]).through(elsewhere).run();
    let command = test_box.isolate_command(&["--run", "--", "/bin/true"]);
    let mut through = Command::new("/bin/sh");
    through.args(["-c", elsewhere, "sh"]);
    through.arg(command.get_program()).args(command.get_args());
    let without = finish(through);
    for (code, said) in [
        (with_meta.code, with_meta.stderr.clone()),
        (without.code, without.stderr.clone()),
    ] {
        assert_eq!(code, 2, "{said}");
        let words = "/proc is not mounted here: mount -t proc proc /proc";
        assert!(said.contains(words), "{said}");
    }
    wait_until("the scope is gone", || scopes(&test_box).is_empty());
}
