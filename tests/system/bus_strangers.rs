//! Anybody may send messages to a keeper over the system bus, and none of them touches a run.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::systemd::user_box;
use crate::support::{TestBox, source};

/// Somebody without any rights who sends to everybody who connects to the bus: `hostile/bus_stranger.py`.
struct Stranger {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Stranger {
    fn start(kind: &str) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        command
            .arg("python3")
            .arg(source("tests/hostile/bus_stranger.py"));
        command.arg(kind).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        let mut new = Self { process, lines };
        new.wait_until_it_says("ready");
        new
    }

    fn wait_until_it_says(&mut self, word: &str) {
        let mut line = String::new();
        while !line.starts_with(word) {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it has ended");
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A box of a user about whom polkit is asked: keepers connect to the bus.
fn box_by_polkit() -> TestBox {
    user_box().config("[broker]\ngroups = []\n")
}

/// The same runs under the eyes of a stranger, each after another keeper that stands by was dealt with.
#[track_caller]
fn assert_untouched(kind: &str, done: &str) {
    let mut stranger = Stranger::start(kind);
    let test_box = box_by_polkit();
    test_box.init();
    for _ in 0..3 {
        stranger.wait_until_it_says(done);
        test_box.command(&["/bin/true"]).run().assert_ok();
    }
    test_box.cleanup();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_descriptor_that_lingers_holds_no_run_up() {
    // A descriptor of the stranger's lingers for 30 seconds.
    let longest = Duration::from_secs(20);
    let mut stranger = Stranger::start("descriptors");
    let test_box = box_by_polkit();
    test_box.init();
    // The bus's own daemon lingers over a descriptor for somebody who has just gone, and then polkit
    // is not reached. A keeper that receives them is held up each time.
    let (mut untouched, mut held) = (0, 0);
    while untouched < 3 {
        stranger.wait_until_it_says("lingers");
        let begin = Instant::now();
        test_box.command(&["/bin/true"]).run().assert_ok();
        match begin.elapsed() < longest {
            true => untouched += 1,
            false => held += 1,
        }
        assert!(held <= 4, "held up {held} times, and not {untouched} times");
    }
    test_box.cleanup();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn signals_of_many_mebibytes_are_skipped() {
    assert_untouched("long", "sent");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_flood_of_signals_that_nobody_waits_for_is_skipped() {
    assert_untouched("flood", "sent");
}
