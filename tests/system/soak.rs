//! Many runs, one after the other and at the same time: none fails, and nothing piles up.

use std::fs;
use std::path::Path;

use crate::support::systemd::{assert_nothing_left, must, units};
use crate::support::{TestBox, slow, wait_until};

/// What piles up when something is not given back: units, control groups, mounts, processes, and what PID 1 holds.
#[derive(Debug, PartialEq, Eq, PartialOrd)]
struct Counts {
    units: usize,
    cgroups: usize,
    mounts: usize,
    processes: usize,
    descriptors: usize,
}

fn counts() -> Counts {
    let lines = |text: String| text.lines().count();
    let entries = |path: &str| fs::read_dir(path).unwrap().count();
    let cgroups = directories_below(Path::new("/sys/fs/cgroup"));
    assert!(cgroups > 0);
    Counts {
        units: units("isolate-*").len(),
        cgroups,
        mounts: lines(fs::read_to_string("/proc/self/mountinfo").unwrap()),
        // Without the kernel's own, which come and go.
        processes: lines(must(
            "ps",
            &["--no-headers", "--ppid", "2", "-p", "2", "--deselect"],
        )),
        descriptors: entries("/proc/1/fd"),
    }
}

/// How many there are. One that goes away meanwhile has none below.
fn directories_below(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    below
        .map(|entry| 1 + directories_below(&entry.path()))
        .sum()
}

/// Waits until no more is there than before.
fn assert_as_before(before: &Counts) {
    wait_until(&format!("what is there is {before:?}"), || {
        let now = counts();
        now.units <= before.units
            && now.cgroups <= before.cgroups
            && now.mounts <= before.mounts
            && now.processes <= before.processes
            && now.descriptors <= before.descriptors
    });
}

/// Resident memory of PID 1 in KiB.
fn memory_of_systemd() -> u64 {
    let status = fs::read_to_string("/proc/1/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn run(test_box: &TestBox, times: usize) {
    for _ in 0..times {
        test_box.command(&["/bin/true"]).run().assert_ok();
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn many_runs_leave_nothing_and_none_fails() {
    let times = if slow() { 50 } else { 1000 };
    let test_box = TestBox::with_manager("systemd");
    run(&test_box, times / 10);
    let (before, memory) = (counts(), memory_of_systemd());
    run(&test_box, times);
    assert_as_before(&before);
    let grown = memory_of_systemd().saturating_sub(memory);
    assert!(grown < 2048, "PID 1 has grown by {grown} KiB");
    assert_nothing_left(&test_box);

    // Boxes at the same time, each with runs in a row.
    let boxes: Vec<_> = (0..32).map(|_| TestBox::with_manager("systemd")).collect();
    let before = counts();
    std::thread::scope(|scope| {
        for test_box in &boxes {
            scope.spawn(|| run(test_box, (times / 100).max(1)));
        }
    });
    assert_as_before(&before);
}

/// init ends by itself, or by its keeper, which does not wait for that: and never by a fault of its own, as a descriptor that
/// is closed twice, at which a debug build aborts. Nobody else would see that.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn init_ends_as_it_is_told() {
    let test_box = TestBox::with_manager("systemd");
    for _ in 0..if slow() { 10 } else { 200 } {
        let run = test_box.command(&["/bin/true"]).options(&["-vv"]).run();
        run.assert_ok();
        let ended = ["Code(0)", "Signal(9)"].map(|exit| format!("init ended: {exit}"));
        assert!(
            ended.iter().any(|line| run.stderr.contains(line)),
            "{}",
            run.stderr
        );
    }
}
