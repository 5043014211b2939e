//! A judge's day: many runs in a few boxes at the same time, with every kind of ending among each other.

use std::fs;
use std::sync::Mutex;

use crate::support::clients::strict;
use crate::support::dice::Dice;
use crate::support::systemd::{assert_nothing_left, has_controllers};
use crate::support::{Job, Run, TestBox, program, slow};

/// Boxes that are in use at the same time.
const WORKERS: usize = 8;

/// What a submission is made to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Accepted,
    ExitCode(u8),
    Signal(u8),
    CpuTime,
    WallTime,
    OutOfMemory,
    NoProgram,
    FilesLeft,
    ProcessesLeft,
    MuchOutput,
}

const KINDS: [Kind; 12] = [
    Kind::Accepted,
    Kind::Accepted,
    Kind::ExitCode(1),
    Kind::ExitCode(255),
    Kind::Signal(11),
    Kind::CpuTime,
    Kind::WallTime,
    Kind::OutOfMemory,
    Kind::NoProgram,
    Kind::FilesLeft,
    Kind::ProcessesLeft,
    Kind::MuchOutput,
];

/// Every kind as often as any other, in an order of no order.
fn submissions(count: usize, kinds: &[Kind]) -> Vec<(usize, Kind)> {
    let mut all: Vec<_> = (0..count).map(|n| (n, kinds[n % kinds.len()])).collect();
    let mut dice = Dice(2024);
    for n in (1..all.len()).rev() {
        all.swap(n, dice.roll(n + 1));
    }
    all
}

/// The run of submission `number`.
fn job(test_box: &TestBox, number: usize, kind: Kind) -> Job {
    let shell = |script: &str| test_box.shell(&script.replace("NUMBER", &number.to_string()));
    // Nothing waits for ever, and nothing that is to end by itself is so slow.
    let patient = "--wall-time=300";
    match kind {
        Kind::Accepted => test_box.command(&["/bin/echo", &number.to_string()]),
        Kind::ExitCode(code) => shell(&format!("echo NUMBER; exit {code}")),
        Kind::Signal(signal) => shell(&format!("echo NUMBER; kill -{signal} $$")),
        Kind::CpuTime => {
            let burn = test_box.command(&["/programs/burn_cpu", "1000000"]);
            return burn.options(&["--time=0.05", patient]);
        }
        Kind::WallTime => {
            let sleep = test_box.command(&["/bin/sleep", "1000"]);
            return sleep.options(&["--wall-time=0.2", "--time=100"]);
        }
        Kind::OutOfMemory => test_box
            .command(&["/programs/memory_bomb", "1", "64"])
            .options(&["--cg-mem=16384"]),
        Kind::NoProgram => test_box.command(&["./absent"]),
        Kind::FilesLeft => shell(
            "mkdir -p d/e; for i in 1 2 3 4 5 6 7 8; do echo NUMBER >d/e/$i; done; ln -s / d/link; >/tmp/left; \
             >/dev/shm/left; chmod 0 d/e; echo NUMBER",
        ),
        Kind::ProcessesLeft => shell("sleep 1000 & /programs/leave_daemons 2; echo NUMBER"),
        Kind::MuchOutput => test_box.command(&["/usr/bin/head", "-c", "3000000", "/dev/zero"]),
    }
    .options(&["--time=100", patient])
}

/// Whether the run came to what it was to come to, and to nothing of another run.
fn judge(test_box: &TestBox, number: usize, kind: Kind, run: &Run, cg: bool) {
    let meta = strict(&run.meta.raw, cg);
    let line = format!("{number}\n");
    let status = meta.get("status");
    let found = (run.code, status, run.stdout.as_str());
    let expected = match kind {
        Kind::Accepted | Kind::ProcessesLeft => (0, None, &*line),
        Kind::FilesLeft => {
            let left = test_box.inside().join("d/e");
            assert_eq!(fs::read_dir(&left).unwrap().count(), 8, "{run:?}");
            assert_eq!(fs::read_to_string(left.join("8")).unwrap(), line);
            assert!(!test_box.inside().join("d/link").is_symlink());
            fs::remove_dir_all(test_box.inside().join("d")).unwrap();
            (0, None, &*line)
        }
        Kind::ExitCode(code) => {
            assert_eq!(meta.get("exitcode"), Some(&*code.to_string()), "{run:?}");
            (1, Some("RE"), &*line)
        }
        Kind::Signal(signal) => {
            assert_eq!(meta.get("exitsig"), Some(&*signal.to_string()), "{run:?}");
            (1, Some("SG"), &*line)
        }
        Kind::CpuTime | Kind::WallTime => {
            assert_eq!(meta.get("killed"), Some("1"), "{run:?}");
            let wall = meta.get("message").unwrap().contains("wall");
            assert_eq!(wall, kind == Kind::WallTime, "{run:?}");
            let (key, limit) = if wall {
                ("time-wall", 0.2)
            } else {
                ("time", 0.05)
            };
            assert!(meta.number(key) >= limit, "{run:?}");
            (1, Some("TO"), "")
        }
        Kind::OutOfMemory => {
            assert_eq!(meta.get("exitsig"), Some("9"), "{run:?}");
            (1, Some("SG"), "")
        }
        Kind::NoProgram => {
            assert_eq!(meta.get("exitcode"), Some("127"), "{run:?}");
            assert!(run.stderr.starts_with("execve(\"./absent\"): "), "{run:?}");
            (1, Some("RE"), "")
        }
        Kind::MuchOutput => {
            assert_eq!((run.code, status, run.stdout.len()), (0, None, 3_000_000));
            return;
        }
    };
    assert_eq!(found, expected, "{kind:?}: {run:?}");
    let oom = meta.get("cg-oom-killed").is_some();
    assert_eq!(oom, kind == Kind::OutOfMemory, "{kind:?}: {run:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_thousand_runs_in_eight_boxes_come_each_to_its_own_verdict_and_leave_nothing() {
    let cg = has_controllers();
    let mut kinds = KINDS.to_vec();
    if !cg {
        kinds.retain(|kind| *kind != Kind::OutOfMemory);
    }
    let count = if slow() { 50 } else { 1000 };
    let queue = Mutex::new(submissions(count, &kinds));
    let modes: &[&str] = if cg { &["--cg"] } else { &[] };
    let programs = program("burn_cpu").parent().unwrap().to_owned();
    let programs = format!("--dir=programs={}", programs.display());
    for name in ["leave_daemons", "memory_bomb"] {
        drop(program(name));
    }
    let boxes: Vec<_> = (0..WORKERS)
        .map(|_| TestBox::with_manager("systemd").options(modes))
        .collect();
    std::thread::scope(|scope| {
        for test_box in &boxes {
            scope.spawn(|| {
                while let Some((number, kind)) = { queue.lock().unwrap().pop() } {
                    let job = job(test_box, number, kind).options(&[&programs]);
                    judge(test_box, number, kind, &job.run(), cg);
                    // Some judges make the box anew for each submission.
                    if number % 5 == 0 {
                        test_box.isolate(&["--init"]).assert_success();
                    }
                }
            });
        }
    });
    for test_box in &boxes {
        let left = fs::read_dir(test_box.inside()).unwrap().count();
        assert_eq!(left, 0, "{test_box:?}");
        assert_nothing_left(test_box);
        test_box.cleanup();
    }
}
