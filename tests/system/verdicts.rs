//! Verdicts that only a control group can tell: the limit of memory, also one that is too small for a program to begin
//! with, and limits of processes.

use std::fs;

use serde_json::Value;

use crate::support::systemd::{assert_nothing_left, cg_box};
use crate::support::{Job, Run, TestBox};

/// Runs a job with a report.
fn report_of(test_box: &TestBox, job: Job) -> (Run, Value) {
    let report = test_box.out().join("report");
    let run = job
        .options(&[format!("--report={}", report.display())])
        .run();
    let report = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    (run, report)
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_memory_limit_is_a_verdict_of_its_own_and_one_kill_is_one() {
    let test_box = cg_box();
    for processes in ["1", "4"] {
        let bomb = test_box.program("memory_bomb").args(&[processes, "48"]);
        let bomb = bomb.options(&["--cg-mem=32M", "--processes=10"]);
        let (run, report) = report_of(&test_box, bomb);
        run.assert_verdict(1, "SG", "Caught fatal signal 9");
        assert_eq!(run.meta.get("cg-oom-killed"), Some("1"));
        assert_eq!(report["verdict"], "memory_limit", "{report}");
        assert_eq!(report["status"], "SG");
        assert_eq!(report["signal"], 9);
        assert_eq!(report["oom_killed"], true);
        assert_eq!(report["figures"]["oom_kills"], 1, "{report}");
    }
    let (killed, report) = report_of(&test_box, test_box.shell("kill -9 $$"));
    killed.assert_verdict(1, "SG", "Caught fatal signal 9");
    assert_eq!(report["verdict"], "signal");
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_memory_limit_that_is_too_small_to_begin_with_is_a_memory_limit() {
    let test_box = cg_box();
    // From some 32 to 60 KiB a kernel of User-Mode Linux panics: when execve has passed the point of no return, its
    // clear_user() writes through a page that it did not get. So this does not run there.
    for limit in ["1", "4", "8", "16", "32"] {
        let option = format!("--cg-mem={limit}");
        let job = test_box.program("burn_cpu").args(&["1"]).options(&[option]);
        let (run, report) = report_of(&test_box, job);
        run.assert_verdict(1, "SG", "Caught fatal signal 9");
        let told = ["cg-oom-killed", "exitsig"].map(|key| run.meta.get(key));
        assert_eq!(told, [Some("1"), Some("9")], "{limit}: {run:?}");
        assert_eq!(run.stderr, "Caught fatal signal 9\n");
        assert_eq!(report["verdict"], "memory_limit", "{report}");
    }
    // Arguments that are too long are just that.
    let long = "x".repeat(100_000);
    let job = test_box.command(&["/bin/true", &*long, &*long]);
    let (run, report) = report_of(&test_box, job.options(&["--cg-mem=64M", "--stack=512"]));
    run.assert_verdict(1, "RE", "Exited with error status 127");
    assert!(run.stderr.contains("Argument list too long"), "{run:?}");
    assert_eq!(report["verdict"], "not_started");
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_limit_of_processes_that_was_reached_is_named() {
    let test_box = cg_box();
    let job = test_box
        .shell("/bin/true; exit 3")
        .options(&["--processes=1"]);
    let (run, report) = report_of(&test_box, job);
    assert_eq!(run.meta.get("status"), Some("RE"), "{run:?}");
    assert_eq!(report["figures"]["processes_refused"], 1, "{report}");
    let output =
        TestBox::with_manager("systemd").exec(&["-p1", "/bin/sh", "-c", "/bin/true; exit 3"]);
    assert!(
        output
            .stderr
            .contains("; a limit of processes was reached (-p); CPU "),
        "{output:?}"
    );
    let plenty =
        TestBox::with_manager("systemd").exec(&["-p5", "/bin/sh", "-c", "/bin/true; exit 3"]);
    assert!(
        plenty.stderr.contains("exited with code 3; CPU "),
        "{plenty:?}"
    );
    assert_nothing_left(&test_box);
}
