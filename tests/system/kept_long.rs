//! How long a scope is kept, after the last run in its box and after the box.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use super::kept::{boxes, kept, run};
use crate::support::TestBox;
use crate::support::systemd::{assert_nothing_left, let_go, must, start_with};

/// A machine that does something else meanwhile may need longer than the scope waits.
const TRIES: usize = 20;

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_scope_of_a_box_that_is_made_anew_at_once_stays() {
    for test_box in boxes() {
        test_box.init();
        let (mut last, _) = kept(&test_box);
        let is_same = (0..TRIES).any(|_| {
            test_box.cleanup();
            test_box.isolate(&["--init"]).assert_success();
            let homes = run(&test_box);
            assert_eq!(homes.len(), 1);
            let is_same = homes[0] == last;
            last.clone_from(&homes[0]);
            is_same
        });
        assert!(is_same, "each box had another scope");
        // Nobody makes it anew.
        test_box.cleanup();
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_box_of_another_kind_has_another_scope() {
    let [plain, _, _] = boxes();
    plain.init();
    let (scope, _) = kept(&plain);
    plain.cleanup();
    let elsewhere = plain.config("slice = 'isolate-other.slice'\n");
    elsewhere.isolate(&["--init"]).assert_success();
    let report = elsewhere.out().join("report");
    let option = format!("--report={}", report.display());
    let job = elsewhere.command(&["/bin/true"]).options(&[&option]);
    job.run().assert_ok();
    let text = fs::read_to_string(&report).unwrap();
    assert!(text.contains("isolate-other.slice"), "{text}");
    let name = scope.file_name().unwrap().to_str().unwrap();
    assert!(!text.contains(name), "{text}");
    elsewhere.cleanup();
    assert_nothing_left(&elsewhere);
    must("systemctl", &["stop", "isolate-other.slice"]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn where_many_are_nobody_stays_who_is_not_needed() {
    let config = "slice = 'isolate-crowd.slice'\nkeep_ready = 60\n";
    let test_box = TestBox::with_manager("systemd").config(config);
    test_box.init();
    let (mut last, _) = kept(&test_box);
    let slice = last.parent().unwrap().to_owned();
    let crowd: Vec<_> = (0..101).map(|n| slice.join(format!("one-{n}"))).collect();
    crowd.iter().for_each(|one| fs::create_dir(one).unwrap());
    for _ in 0..5 {
        test_box.cleanup();
        test_box.isolate(&["--init"]).assert_success();
        let homes = run(&test_box);
        assert!(homes.len() == 1 && homes[0] != last, "{homes:?}");
        last.clone_from(&homes[0]);
    }
    test_box.cleanup();
    crowd.iter().for_each(|one| fs::remove_dir(one).unwrap());
    assert_nothing_left(&test_box);
    must("systemctl", &["stop", "isolate-crowd.slice"]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn it_is_not_kept_for_longer_than_is_configured() {
    let test_box = TestBox::with_manager("systemd").config("keep_ready = 2\n");
    test_box.init();
    let first = kept(&test_box);
    // What counts is the time since the last run, and a run may take longer.
    let long = start_with(&test_box, &[]);
    sleep(Duration::from_millis(2500));
    let_go(&test_box);
    long.finish().assert_ok();
    assert_eq!(kept(&test_box), first);
    assert_nothing_left(&test_box);
}
