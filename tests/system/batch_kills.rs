//! What is left, and what is told, when a batch or the broker is killed in the middle.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::batch::{Batch, assert_nothing_left, results_of, shell};
use crate::support::systemd::{cg_box, user_box};
use crate::support::{ALICE, Broker, TestBox, binary, entries, finish, wait_until};

fn jobs() -> Vec<Value> {
    (0..8)
        .map(|number| json!({"id": format!("{number}"), "steps": [shell("sleep 0.1; echo hello")]}))
        .collect()
}

/// Carries out what is not in `told`; all results together, each job once.
fn resume(test_box: &TestBox, caller: Option<u32>, told: &str) -> BTreeMap<String, Value> {
    let file = test_box.out().join("told");
    fs::write(&file, told).unwrap();
    let mut rest = Batch::start(
        test_box,
        caller,
        &["-j2", "--resume", file.to_str().unwrap()],
    );
    for job in jobs() {
        rest.send(&job);
    }
    let (code, stdout, stderr) = rest.finish();
    assert_eq!((code, &*stderr), (0, ""), "{stdout}");
    // No job is told twice: this would fail.
    results_of(&format!("{told}{stdout}"))
}

fn assert_all_done(results: &BTreeMap<String, Value>) {
    let done = |result: &Value| result["outcome"] == "done";
    assert!(
        results.len() == jobs().len() && results.values().all(done),
        "{results:#?}"
    );
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_killed_batch_leaves_nothing_and_is_resumed() {
    for (test_box, caller) in [(cg_box(), None), (user_box(), Some(ALICE))] {
        let mut batch = Batch::start(&test_box, caller, &["-j2"]);
        for job in jobs() {
            batch.send(&job);
        }
        let first = batch.next_result();
        let pid = i32::try_from(batch.process.id()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        let (_, rest, _) = batch.finish();
        assert_nothing_left(&test_box);
        // What the kernel had of a line that was not written to its end is no result.
        let whole = rest.rfind('\n').map_or("", |end| &rest[..=end]);
        let told = format!("{first}\n{whole}");
        assert_all_done(&resume(&test_box, caller, &told));
        assert_nothing_left(&test_box);
    }
}

/// Its keepers go on. What it is asked for after that is worth another try.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_killed_broker_loses_no_job() {
    let test_box = user_box();
    let socket = test_box.broker().socket().to_owned();
    let mut batch = Batch::start(&test_box, Some(ALICE), &["-j2"]);
    for job in jobs() {
        batch.send(&job);
    }
    let first = batch.next_result();
    test_box.broker().signal(Signal::SIGKILL);
    let (code, rest, _) = batch.finish();
    let told = format!("{first}\n{rest}");
    let results = results_of(&told);
    assert_eq!((code, results.len()), (1, jobs().len()));
    let lost = |result: &&Value| result["outcome"] == "internal";
    let done = |result: &&Value| result["outcome"] == "done";
    let number_of = |kind: &dyn Fn(&&Value) -> bool| results.values().filter(kind).count();
    assert!(number_of(&lost) > 0, "{results:#?}");
    assert_eq!(
        number_of(&lost) + number_of(&done),
        jobs().len(),
        "{results:#?}"
    );
    wait_until("nothing runs", || test_box.processes().is_empty());
    fs::remove_file(&socket).unwrap();
    let _next = Broker::start(socket.parent().unwrap(), &test_box.config_file());
    let done: String = told
        .lines()
        .filter(|line| !line.contains("\"internal\""))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_all_done(&resume(&test_box, Some(ALICE), &done));
    // Boxes of the first batch had nobody who could remove them.
    for path in entries(&test_box.root()) {
        let mut cleanup = Command::new(binary());
        cleanup.arg("--config").arg(test_box.config_file());
        let id = path.file_name().unwrap().to_str().unwrap();
        cleanup.arg(format!("--box-id={id}")).arg("--cleanup");
        assert_eq!(finish(cleanup).code, 0);
    }
}
