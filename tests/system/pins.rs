//! A pin is in force, the whole of it, or the run fails and says what the kernel grants instead.

use std::path::Path;

use crate::support::TestBox;
use crate::support::systemd::{assert_nothing_left_in_slice, let_go, must, start};

/// A box that is bound to these CPUs, in this slice.
fn pinned_box(slice: &str, cpus: &str) -> TestBox {
    let test_box = TestBox::new_in(Path::new("/var/tmp"), "systemd");
    let pin = format!(
        "slice = '{slice}'\n[[pin]]\nboxes = {}\ncpus = '{cpus}'\n",
        test_box.id()
    );
    test_box.config(&pin)
}

/// Which CPUs the slice may use.
fn allow(slice: &str, cpus: &str) {
    let allowed = format!("AllowedCPUs={cpus}");
    must("systemctl", &["set-property", "--runtime", slice, &allowed]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_pin_that_a_slice_does_not_allow_fails_the_run() {
    const SLICE: &str = "testpin1.slice";
    let test_box = pinned_box(SLICE, "1");
    let list = || test_box.program("list_cpus").run();
    assert_eq!(list().assert_ok().stdout, "1 \n");
    allow(SLICE, "0");
    let refused = list();
    refused.assert_failed(
        "bound to the CPUs 1 by [[pin]], but the kernel grants 0 (cpuset.cpus.effective of ",
    );
    assert!(refused.stderr.contains("AllowedCPUs="), "{refused:?}");
    assert_eq!(refused.stdout, "");
    allow(SLICE, "0-1");
    assert_eq!(list().assert_ok().stdout, "1 \n");
    assert_nothing_left_in_slice(&test_box, SLICE);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_pin_that_is_granted_in_part_fails_the_run() {
    const SLICE: &str = "testpin2.slice";
    let test_box = pinned_box(SLICE, "0-1");
    test_box.command(&["/bin/true"]).run().assert_ok();
    allow(SLICE, "0");
    let refused = test_box.command(&["/bin/true"]).run();
    refused.assert_failed("bound to the CPUs 0-1 by [[pin]], but the kernel grants 0 (");
    assert_nothing_left_in_slice(&test_box, SLICE);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_pin_that_is_lost_during_a_run_fails_it() {
    const SLICE: &str = "testpin3.slice";
    let test_box = pinned_box(SLICE, "1");
    let running = start(&test_box);
    allow(SLICE, "0");
    let_go(&test_box);
    let run = running.finish();
    run.assert_failed("bound to the CPUs 1 by [[pin]], but the kernel grants 0 (");
    assert_nothing_left_in_slice(&test_box, SLICE);
}
