//! What clients rely on when they use a box in control-group mode again and again.

use crate::support;
use crate::support::clients::{copy, meta, under_both_names};
use crate::support::systemd::assert_nothing_left;
use crate::support::{Meta, TestBox};

/// An OOM kill, a peak of memory, CPU time, an exit code: each run is followed by one that does nothing, and of which
/// nothing is reported.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn nothing_of_a_run_shows_in_the_report_on_the_next() {
    let boxes = || TestBox::with_manager("systemd");
    under_both_names(boxes, |client| {
        let id = client.id();
        let inside = client.init(&format!("--cg -b{id} --init")).join("box");
        for name in ["burn_cpu", "memory_bomb", "fill_file", "leave_daemons"] {
            copy(&support::program(name), &inside.join(name));
        }
        let path = client.test_box.out().join("meta");
        let run = |options: &str, program: &str| -> (i32, Meta) {
            let at = path.display();
            let output = client.call(&format!(
                "--cg -b{id} -M{at} -p9 {options} --run -- {program}"
            ));
            (output.code, meta(&path, true))
        };
        for (options, program, code, status) in [
            ("--cg-mem=16384", "./memory_bomb 1 64", 1, Some("SG")),
            ("--cg-mem=16384", "./memory_bomb 4 12", 1, Some("SG")),
            ("", "./memory_bomb 2 40", 0, None),
            (
                "--cg-mem=16384",
                "./fill_file /dev/shm/x 64000",
                1,
                Some("SG"),
            ),
            ("", "./fill_file /tmp/x 64000", 0, None),
            ("-t0.1 -x1000", "./burn_cpu 1500", 1, Some("TO")),
            ("-w0.3", "/bin/sleep 1000", 1, Some("TO")),
            ("", "./leave_daemons 3", 0, None),
            ("", "./absent", 1, Some("RE")),
            ("-d x=/no/such", "/bin/true", 2, Some("XX")),
        ] {
            let (found, report) = run(options, program);
            assert_eq!((found, report.get("status")), (code, status), "{report:?}");
            let oom = report.get("cg-oom-killed").is_some();
            assert_eq!(oom, options.contains("--cg-mem"), "{report:?}");
            let (code, report) = run("--cg-mem=32768", "/bin/true");
            let ending = (report.get("exitcode"), report.get("status"));
            assert_eq!((code, ending), (0, (Some("0"), None)), "after {program}");
            assert_eq!(report.get("cg-oom-killed"), None, "after {program}");
            let (peak, time) = (report.number("cg-mem"), report.number("time"));
            assert!(peak < 16_000.0 && time < 1.5, "after {program}: {report:?}");
        }
        client.cleanup(&format!("--cg -b{id} --cleanup"));
        assert_nothing_left(&client.test_box);
    });
}
