//! What clients rely on when they use a box again and again, and when two of them want the same one.

use crate::support;
use std::fs;

use crate::support::clients::{copy, meta, strict, under_both_names};
use crate::support::{Started, TestBox, finish, wait_until};

/// Each run is followed by one that does nothing, and of which nothing is reported.
#[test]
#[ignore = "needs root: tests/run"]
fn nothing_of_a_run_shows_in_the_report_on_the_next() {
    under_both_names(TestBox::new, |client| {
        let id = client.id();
        let inside = client.init(&format!("-b{id} --init")).join("box");
        for name in ["burn_cpu", "allocate"] {
            copy(&support::program(name), &inside.join(name));
        }
        let path = client.test_box.out().join("meta");
        let run = |options: &str, program: &str| {
            let line = format!("-b{id} -M{} {options} --run -- {program}", path.display());
            let output = client.call(&line);
            (output.code, meta(&path, false))
        };
        for (options, program, code, status) in [
            ("-t0.3", "./burn_cpu 1000000", 1, Some("TO")),
            ("-t0.3 -x1000", "./burn_cpu 1500", 1, Some("TO")),
            ("-w0.5", "/bin/sleep 1000", 1, Some("TO")),
            ("", "./allocate 60", 0, None),
            ("", "/bin/false", 1, Some("RE")),
            ("", "./absent", 1, Some("RE")),
            (
                "-f1",
                "/usr/bin/dd if=/dev/zero of=big bs=4096 count=1",
                1,
                Some("SG"),
            ),
            ("-d x=/no/such", "/bin/true", 2, Some("XX")),
        ] {
            let (found, report) = run(options, program);
            assert_eq!((found, report.get("status")), (code, status), "{report:?}");
            let (code, report) = run("", "/bin/true");
            let ending = (report.get("exitcode"), report.get("status"));
            assert_eq!((code, ending), (0, (Some("0"), None)), "after {program}");
            assert!(
                report.number("max-rss") < 40_000.0,
                "after {program}: {report:?}"
            );
            if program.ends_with(" 1500") {
                assert!(report.number("time") < 1.5, "after {program}: {report:?}");
            }
        }
        client.cleanup(&format!("-b{id} --cleanup"));
    });
}

/// One of many gets the box, and runs undisturbed. The others are told so, in the meta file as well.
#[test]
#[ignore = "needs root: tests/run"]
fn of_many_callers_at_the_same_time_one_runs_and_the_others_are_refused() {
    under_both_names(TestBox::new, |client| {
        let id = client.id();
        let inside = client.init(&format!("-b {id} --init")).join("box");
        fs::write(
            inside.join("main"),
            ": >up; while [ ! -e go ]; do sleep 0.1; done; exit 7",
        )
        .unwrap();
        let at = |n: u32| client.test_box.out().join(format!("meta-{n}"));
        let line = |n: u32| format!("-b {id} -p -M {} --run -- /bin/sh main", at(n).display());
        let first = Started::new(client.command(&line(0)), Some(b""));
        wait_until("the first one runs", || inside.join("up").exists());
        std::thread::scope(|scope| {
            for n in 1..=4 {
                scope.spawn(move || {
                    finish(client.command(&line(n)))
                        .assert_refused(2, "This box is currently in use by another process");
                    let report = meta(&at(n), false);
                    assert_eq!(report.keys(), ["status", "message"]);
                });
            }
        });
        fs::write(inside.join("go"), "").unwrap();
        let output = first.finish();
        assert_eq!(
            (output.code, &*output.stderr),
            (1, "Exited with error status 7\n")
        );
        assert_eq!(meta(&at(0), false).get("exitcode"), Some("7"));
        client.cleanup(&format!("-b {id} --cleanup"));
    });
}

/// Each has its own answer, whenever its turn comes.
#[test]
#[ignore = "needs root: tests/run"]
fn callers_that_wait_for_the_box_run_one_after_the_other_and_get_their_own_results() {
    under_both_names(TestBox::new, |client| {
        let id = client.id();
        let inside = client.init(&format!("-b {id} --wait --init")).join("box");
        fs::write(
            inside.join("main"),
            "mkdir alone && sleep 0.1 && rmdir alone && exit $1",
        )
        .unwrap();
        std::thread::scope(|scope| {
            for n in 1..=6 {
                scope.spawn(move || {
                    let line = format!("-b {id} --wait -p -s -M - --run -- /bin/sh main {n}");
                    let output = finish(client.command(&line));
                    let report = strict(&output.stdout, false);
                    assert_eq!((output.code, &*output.stderr), (1, ""), "{output:?}");
                    assert_eq!(report.get("exitcode"), Some(&*n.to_string()));
                });
            }
        });
        client.cleanup(&format!("-b {id} --wait --cleanup"));
    });
}
