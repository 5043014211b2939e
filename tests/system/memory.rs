//! Memory that others use up, or that a slice limits: the run ends in a defined way, and the program is not blamed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::TestBox;
use crate::support::systemd::{assert_nothing_left_in_slice, must};

/// A box whose runs are in a slice with these properties. It is on a disk: /tmp may be in memory.
fn box_in_slice(slice: &str, properties: &[&str]) -> TestBox {
    let test_box = TestBox::new_in(Path::new("/var/tmp"), "systemd")
        .options(&["--cg"])
        .config(&format!("slice = '{slice}'\n"));
    // So that the slice exists.
    test_box.command(&["/bin/true"]).run().assert_ok();
    let set = ["set-property", "--runtime", slice];
    must("systemctl", &[&set, properties].concat());
    test_box
}

/// The program has no limit of its own: it is not at fault.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_slice_without_memory_is_not_blamed_on_the_program() {
    let small = ["MemoryMax=24M", "MemorySwapMax=0"];
    let test_box = box_in_slice("testsmall.slice", &small);
    let run = test_box.program("allocate").args(&["200"]).run();
    run.assert_failed("the machine or the slice ran out of it");
    assert_nothing_left_in_slice(&test_box, "testsmall.slice");
}

/// The kernel slows the program down instead of killing it.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_program_under_memory_pressure_is_ended_by_the_clock() {
    let high = ["MemoryHigh=24M", "MemorySwapMax=0"];
    let test_box = box_in_slice("testslow.slice", &high);
    let allocate = test_box.program("allocate").args(&["200"]);
    let run = allocate.options(&["--wall-time=3", "--time=1000"]).run();
    run.assert_verdict(1, "TO", "Time limit exceeded (wall clock)");
    assert_nothing_left_in_slice(&test_box, "testslow.slice");
}

/// systemd-oomd, which acts after a second of pressure, for one test.
struct QuickOomd;

impl QuickOomd {
    const SETTINGS: &str = "/run/systemd/oomd.conf.d";

    fn start() -> Self {
        let oomd = Self;
        fs::create_dir_all(Self::SETTINGS).unwrap();
        let quick = "[OOM]\nDefaultMemoryPressureDurationSec=1s\n";
        fs::write(Path::new(Self::SETTINGS).join("test.conf"), quick).unwrap();
        must("systemctl", &["start", "systemd-oomd.service"]);
        oomd
    }
}

impl Drop for QuickOomd {
    fn drop(&mut self) {
        let stop = ["stop", "systemd-oomd.socket", "systemd-oomd.service"];
        drop(Command::new("systemctl").args(stop).status());
        drop(fs::remove_dir_all(Self::SETTINGS));
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_kill_by_systemd_oomd_is_not_blamed_on_the_program() {
    let _oomd = QuickOomd::start();
    let watched = [
        "MemoryHigh=24M",
        "ManagedOOMMemoryPressure=kill",
        "ManagedOOMMemoryPressureLimit=1%",
    ];
    let test_box = box_in_slice("testoomd.slice", &watched);
    // Pages have to be given up again and again: pressure from memory that cannot be is not what it acts on.
    let reader = test_box
        .shell("dd if=/dev/zero of=big bs=1M count=80; while :; do cat big; done >/dev/null");
    let run = reader
        .options(&["--processes", "--wall-time=300", "--time=1000"])
        .run();
    run.assert_failed("systemd-oomd killed the program");
    assert_nothing_left_in_slice(&test_box, "testoomd.slice");
}
