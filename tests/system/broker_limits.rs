//! Limits, figures and scopes of runs by the broker.

use std::path::Path;

use crate::support::systemd::{
    CGROUPS, assert_nothing_left, cg_box, let_go, members, only_scope, property, same_for_both,
    scopes_in, start, user_box,
};
use crate::support::{ALICE, slow, wait_until};

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_is_a_scope_in_the_slice_of_its_user() {
    let test_box = user_box();
    let running = start(&test_box);
    let (scope, unit) = only_scope(&test_box);
    let slice = format!("isolate-u{ALICE}.slice");
    assert_eq!(property(&unit, "Slice"), slice);
    assert_eq!(property(&slice, "Slice"), "isolate.slice");
    let folder = Path::new(CGROUPS).join("isolate.slice").join(&slice);
    let in_slice = scopes_in(&folder, test_box.id());
    assert_eq!(in_slice, std::slice::from_ref(&scope));
    let control_group = property(&unit, "ControlGroup");
    assert_eq!(Path::new(CGROUPS).join(&control_group[1..]), scope);
    let words = format!(
        "isolate-run: a program in box {} for uid {ALICE} (keeper is PID {})",
        test_box.id(),
        test_box.broker().keepers()[0]
    );
    assert_eq!(property(&unit, "Description"), words);
    // Neither the caller's process nor the keeper is in there.
    let inside = [members(&scope), members(&scope.join("box"))].concat();
    for outside in [running.pid(), test_box.broker().keepers()[0]] {
        assert!(!inside.contains(&outside), "{inside:?}");
    }
    assert!(inside.iter().any(|pid| running.processes().contains(pid)));
    let_go(&test_box);
    running.finish().assert_ok();
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_time_is_the_programs_and_neither_the_keepers_nor_the_callers() {
    let test_box = user_box();
    let idle = test_box.command(&["/bin/sleep", "0.3"]).run();
    assert!(
        slow() || idle.assert_ok().meta.number("time") < 0.02,
        "{idle:?}"
    );
    assert!(idle.meta.number("time-wall") >= 0.3, "{idle:?}");
    let busy = test_box.program("burn_daemon").args(&["300"]);
    let busy = busy.options(&["--processes"]).run();
    let time = busy.assert_ok().meta.number("time");
    assert!(time >= 0.3 && (slow() || time < 0.6), "{busy:?}");
    let rss = test_box.program("allocate").args(&["50"]).run();
    let rss = rss.assert_ok().meta.number("max-rss") / 1024.0;
    assert!((50.0..53.0).contains(&rss), "{rss} MiB");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn times_hold_a_program_and_all_its_processes() {
    let found = same_for_both(|test_box| {
        let cpu = test_box.program("burn_daemon").args(&["1000000"]);
        let cpu = cpu
            .options(&["--processes", "--time=0.3", "--wall-time=300"])
            .run();
        let wall = test_box.program("ignore_signals");
        let wall = wall.options(&["--wall-time=0.5"]).run();
        let extra = test_box.program("burn_cpu").args(&["200"]);
        let extra = extra.options(&["--time=0.1", "--extra-time=1000"]).run();
        assert_nothing_left(test_box);
        [cpu, wall, extra].map(|run| {
            (
                run.code,
                run.meta.get("message").map(str::to_owned),
                run.meta.keys().join(" "),
            )
        })
    });
    let message = |at: usize| found[at].1.as_deref();
    assert_eq!(message(0), Some("Time limit exceeded"));
    assert_eq!(message(1), Some("Time limit exceeded (wall clock)"));
    assert_eq!(message(2), Some("Time limit exceeded"));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_number_of_processes_is_the_boxes_and_not_the_callers() {
    let test_box = user_box();
    let alone = test_box.command(&["/bin/sh", "-c", "true & wait"]).run();
    assert_eq!(alone.meta.get("status"), Some("RE"), "{alone:?}");
    let few = "for i in 1 2 3; do sleep 0.2 & done; wait";
    let run = test_box.command(&["/bin/sh", "-c", few]);
    run.options(&["--processes=4"]).run().assert_ok();
    let many = few.replace("1 2 3", "1 2 3 4 5");
    let run = test_box.command(&["/bin/sh", "-c", &many]);
    let run = run.options(&["--processes=4"]).run();
    assert_eq!(run.meta.get("status"), Some("RE"), "{run:?}");
    // The caller's own limit counts processes of the caller's.
    let job = test_box.command(&["/bin/sh", "-c", few]);
    let job = job.options(&["--processes=4"]);
    job.through("ulimit -u 1000; exec \"$@\"").run().assert_ok();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_fork_bomb_stays_within_its_limits_and_ends_with_its_run() {
    let test_box = user_box();
    let bomb = test_box.program("fork_bomb");
    let running = bomb.options(&["--processes=50", "--wall-time=2"]).spawn();
    let mut most = 0;
    wait_until("the bomb is over", || {
        most = most.max(running.processes().len());
        test_box.broker().keepers().is_empty() && most > 0
    });
    let run = running.finish();
    assert!(run.meta.get("status").is_some(), "{run:?}");
    assert!((2..=50).contains(&most), "{most} processes");
    assert_nothing_left(&test_box);
    test_box.command(&["/bin/true"]).run().assert_ok();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn every_rlimit_is_as_for_root() {
    let script = "ulimit -Sa; ulimit -Ha";
    for (limits, options) in [
        ("true", &[][..]),
        (
            "true",
            &[
                "--mem=100M",
                "--stack=8M",
                "--open-files=17",
                "--fsize=1M",
                "--core=1M",
            ],
        ),
        ("ulimit -n 2000 -v 4000000 -t 500; ulimit -Ss 4096", &[]),
        (
            "ulimit -Sn 100; ulimit -Sf 1000; ulimit -e 0; ulimit -Ss 512",
            &["--stack=4M"],
        ),
    ] {
        let found = same_for_both(|test_box| {
            let command = ["/bin/bash", "-c", script];
            let job = test_box.command(&command).options(options);
            let job = job.options(&["--silent"]);
            let run = job
                .through(&format!("exec bash -c '{limits}; exec \"$@\"' bash \"$@\""))
                .run();
            (run.code, run.stdout, run.stderr)
        });
        assert_eq!(found.0, 0, "{limits} {options:?}: {found:?}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_memory_of_the_control_group_is_limited_and_reported() {
    let test_box = cg_box().called_by(ALICE);
    let within = test_box.program("memory_bomb").args(&["1", "24"]);
    let within = within.options(&["--cg-mem=64M"]).run();
    let peak = within.assert_ok().meta.number("cg-mem") / 1024.0;
    assert!((24.0..30.0).contains(&peak), "{peak} MiB");
    let bomb = test_box.program("memory_bomb").args(&["4", "12"]);
    let bomb = bomb.options(&["--cg-mem=32M", "--processes=10"]).run();
    bomb.assert_verdict(1, "SG", "Caught fatal signal 9");
    assert_eq!(bomb.meta.get("cg-oom-killed"), Some("1"), "{bomb:?}");
    let processes = test_box.program("fork_bomb");
    let run = processes
        .options(&["--processes=20", "--wall-time=2"])
        .run();
    assert!(run.meta.get("status").is_some(), "{run:?}");
    assert_nothing_left(&test_box);
}
