//! `kill` and `gc`: ending runs and removing boxes, by somebody who looks after them.

use std::fs::File;
use std::process::Command;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use crate::support::{TestBox, wait_until};

/// Makes a file look as if it had not been changed for so many days.
fn make_old(path: &std::path::Path, days: u64) {
    let file = File::options().read(true).open(path).unwrap();
    let time = SystemTime::now() - Duration::from_secs(days * 86_400);
    file.set_modified(time).unwrap();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_run_that_is_killed_ends_as_one_that_was_interrupted() {
    let test_box = TestBox::new();
    let id = test_box.id().to_string();
    let none = test_box.verb("kill", &[&id]);
    none.assert_refused(2, &format!("there is no box {id}"));
    let running = test_box.shell("touch ready; sleep 1000").spawn();
    running.wait_for_file("ready");
    let killed = test_box.verb("kill", &[&id]);
    killed.assert_success();
    assert_eq!(killed.stdout, format!("ended the run in box {id}\n"));
    let run = running.finish();
    assert_eq!(
        (run.code, run.meta.get("status")),
        (1, Some("SG")),
        "{run:?}"
    );
    assert_eq!(run.meta.get("message"), Some("Interrupted"), "{run:?}");
    let idle = test_box.verb("kill", &[&id]);
    idle.assert_refused(2, &format!("no program runs in box {id}"));
    // The box is as it was.
    test_box.shell("test -e ready").run().assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn whoever_cleans_up_after_a_killed_keeper_is_not_disturbed() {
    let test_box = TestBox::new();
    let id = test_box.id().to_string();
    let running = test_box.shell("touch ready; sleep 1000").spawn();
    running.wait_for_file("ready");
    running.signal(Signal::SIGKILL);
    assert_ne!(running.finish().code, 0);
    // The record still tells of a run, and this command has the lock.
    let mut other = Command::new("flock");
    other.arg("--no-fork").arg(test_box.lock_file());
    let mut other = other.args(["sleep", "1000"]).spawn().unwrap();
    wait_until("the box is locked", || {
        let status = test_box.verb("status", &["--json"]).stdout;
        status.contains("\"keeper_pid\"")
    });
    let none = test_box.verb("kill", &[&id]);
    none.assert_refused(2, &format!("no program runs in box {id}"));
    assert_eq!(other.try_wait().unwrap(), None);
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
#[ignore = "needs root: tests/run"]
fn boxes_that_nobody_used_for_long_are_removed_and_others_stay() {
    let test_box = TestBox::new();
    let id = test_box.id();
    let make = |id: u32| {
        let id = format!("--box-id={id}");
        test_box.isolate(&[id.as_str(), "--init"]).assert_success();
    };
    for id in [id, id + 1, id + 2] {
        make(id);
    }
    let lock = |id: u32| test_box.locks().join(id.to_string());
    make_old(&lock(id), 10);
    make_old(&lock(id + 1), 3);
    // One from before a reboot.
    let stray = test_box.root().join((id + 3).to_string());
    std::fs::create_dir_all(stray.join("box")).unwrap();
    make_old(&stray.join("box"), 30);
    let line = |what: &str, id: u32, days| {
        format!("{what} box {id} of user root, unused for {days} days\n")
    };
    let would = test_box.verb("gc", &["--dry-run"]);
    let expected = [
        line("would remove", id, 10),
        line("would remove", id + 3, 30),
    ];
    assert_eq!((would.code, would.stdout), (0, expected.concat()));
    assert!(test_box.path().exists() && stray.exists());
    let done = test_box.verb::<&str>("gc", &[]);
    let expected = [line("removed", id, 10), line("removed", id + 3, 30)];
    assert_eq!(
        (done.code, done.stdout),
        (0, expected.concat()),
        "{}",
        done.stderr
    );
    assert!(!test_box.path().exists() && !stray.exists() && !lock(id).exists());
    // One with a run is used, however long ago that began.
    let other = format!("--box-id={}", id + 2);
    let mut command =
        test_box.isolate_command(&[other.as_str(), "-p", "--run", "--", "/bin/sleep", "1000"]);
    let mut run = command.spawn().unwrap();
    crate::support::wait_until("it runs", || !test_box.processes().is_empty());
    make_old(&lock(id + 2), 30);
    let done = test_box.verb("gc", &["--older-than", "2d"]);
    assert_eq!((done.code, done.stdout), (0, line("removed", id + 1, 3)));
    test_box
        .verb("kill", &[(id + 2).to_string()])
        .assert_success();
    run.wait().unwrap();
    test_box
        .isolate(&[other.as_str(), "--cleanup"])
        .assert_silent_success();
    test_box.assert_gone();
}
