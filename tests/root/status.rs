//! `status`: boxes and runs, seen by somebody who only looks.

use std::fs;
use std::path::Path;

use crate::support::schemas::closed;
use crate::support::{TestBox, wait_until};
use boon::{Compiler, Schemas};
use nix::sys::signal::Signal;
use serde_json::Value;

/// What `status --json` says, which is as its schema says.
fn look(test_box: &TestBox) -> Value {
    let output = test_box.verb("status", &["--json"]);
    output.assert_success();
    let value = serde_json::from_str(&output.stdout).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    let schema = closed("status");
    compiler.add_resource("status.json", schema).unwrap();
    let index = compiler.compile("status.json", &mut schemas).unwrap();
    let valid = schemas
        .validate(&value, index)
        .map_err(|error| format!("{error:#}"));
    assert_eq!(valid, Ok(()), "{output:?}");
    value
}

/// The state of the test's box.
fn state(test_box: &TestBox) -> String {
    let seen = look(test_box);
    assert_eq!(seen["boxes"][0]["box"], test_box.id(), "{seen}");
    seen["boxes"][0]["state"].as_str().unwrap().to_owned()
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_is_seen_with_its_run_which_goes_on_undisturbed() {
    let test_box = TestBox::new();
    let none = test_box.verb::<&str>("status", &[]);
    assert_eq!((none.code, &*none.stdout), (0, "No boxes.\n"), "{none:?}");
    // Looking makes nothing.
    assert!(!test_box.locks().exists());
    test_box.write("data", vec![7; 300_000]);
    assert_eq!(state(&test_box), "idle");
    let job = test_box.shell("touch ready; while [ ! -e go ]; do sleep 0.02; done; exit 3");
    let running = job.spawn();
    running.wait_for_file("ready");
    let seen = look(&test_box);
    assert_eq!(seen["all_users"], true);
    let seen = &seen["boxes"][0];
    assert_eq!(
        (&seen["state"], &seen["box"]),
        (&"running".into(), &test_box.id().into())
    );
    assert_eq!(
        (&seen["owner"]["uid"], &seen["owner"]["name"]),
        (&0.into(), &"root".into())
    );
    assert_eq!(seen["uid"], test_box.uid());
    assert_eq!(seen["run"]["keeper_pid"], running.pid());
    let program = seen["run"]["program"].as_str().unwrap();
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let shell = Path::new("/bin").join(shell.file_name().unwrap());
    assert_eq!(Path::new(program), shell, "{seen}");
    let pid = i32::try_from(seen["run"]["pid"].as_i64().unwrap()).unwrap();
    assert!(running.processes().contains(&pid), "{seen}");
    assert_eq!(seen["disk"]["complete"], true);
    assert!(seen["disk"]["bytes"].as_u64().unwrap() >= 300_000, "{seen}");
    let table = test_box.verb::<&str>("status", &[]);
    table.assert_success();
    let line = table.stdout.lines().nth(1).unwrap();
    assert!(
        line.contains(" root ") && line.contains(" running "),
        "{table:?}"
    );
    assert!(line.contains(program), "{table:?}");
    test_box.write("go", "");
    let run = running.finish();
    assert_eq!(
        (run.code, run.meta.get("exitcode")),
        (1, Some("3")),
        "{run:?}"
    );
    assert_eq!(state(&test_box), "idle");
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_a_killed_keeper_and_a_reboot_leave_is_told_apart() {
    let test_box = TestBox::new();
    let running = test_box.shell("touch ready; sleep 1000").spawn();
    running.wait_for_file("ready");
    running.signal(Signal::SIGKILL);
    wait_until("the run is over", || state(&test_box) == "abandoned");
    drop(running);
    test_box.cleanup();
    let stray = test_box.path().join("box");
    fs::create_dir_all(&stray).unwrap();
    assert_eq!(state(&test_box), "stray");
    fs::remove_dir_all(test_box.path()).unwrap();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_watch_without_a_terminal_says_what_to_do() {
    let refused = TestBox::new().verb("status", &["--watch"]);
    refused.assert_refused(2, "--watch needs a terminal");
}
