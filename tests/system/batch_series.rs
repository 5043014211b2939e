//! The connection of a user's batch to the broker: it is one, and so is each question to polkit; rights end all the same.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::batch::{Batch, batch, shell};
use crate::support::hostile::{Arena, NOBODY, assert_told};
use crate::support::systemd::{Rules, user_box};
use crate::support::{ALICE, BOB, Broker, TestBox, binary, entries, finish, wait_until};

fn jobs(count: usize) -> Vec<Value> {
    let job = |number| json!({"id": format!("{number}"), "steps": [shell("echo hello")]});
    (0..count).map(job).collect()
}

/// polkit keeps the state of a rule, so that one can count.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn polkit_is_asked_once_for_each_right_and_not_for_each_run() {
    // More than a batch asks in a minute, and far fewer than it has runs.
    let rule = "var asked = {};\n\
        polkit.addRule(function (action, subject) {\n\
        if (action.id != 'io.github.isolate_run.use-box' || subject.user != 'bob') return;\n\
        var what = action.lookup('command') + action.lookup('box-id') + action.lookup('program');\n\
        asked[what] = (asked[what] || 0) + 1;\n\
        return asked[what] <= 6 ? polkit.Result.YES : polkit.Result.NO; });\n";
    let test_box = user_box();
    let probe = || finish(test_box.command_of(BOB, &["--cleanup"])).code == 0;
    wait_until("a batch needs no more answers", || {
        let _rules = Rules::new("20-test-count", rule, probe);
        // No answer is kept in the first seconds after a change of rules: of another test's, this is done once more.
        sleep(Duration::from_secs(7));
        let (code, results) = batch(&test_box, Some(BOB), &["-j2"], &jobs(40));
        assert_eq!(results.len(), 40, "{results:#?}");
        code == 0
    });
}

/// While a batch goes on.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_right_that_is_taken_away_ends_within_seconds() {
    let rule = "polkit.addRule(function (action, subject) {\n\
        if (action.id == 'io.github.isolate_run.use-box' && subject.user == 'bob')\n\
        return polkit.Result.YES; });\n";
    let test_box = user_box();
    let probe = || finish(test_box.command_of(BOB, &["--cleanup"])).code == 0;
    let rules = Rules::new("20-test-series", rule, probe);
    let mut batch = Batch::start(&test_box, Some(BOB), &["-j1"]);
    let mut sent = 0;
    let mut next = |batch: &mut Batch| {
        let job = json!({"id": format!("{sent}"), "steps": [shell("exit 0")]});
        sent += 1;
        batch.send(&job);
        batch.next_result()
    };
    for _ in 0..3 {
        assert_eq!(next(&mut batch)["outcome"], "done");
    }
    drop(rules);
    let mut last = Value::Null;
    wait_until("what was allowed is not any more", || {
        last = next(&mut batch);
        last["outcome"] == "refused"
    });
    let reason = last["reason"].as_str().unwrap();
    assert!(reason.contains("io.github.isolate_run.use-box"), "{reason}");
    assert_eq!(batch.finish().0, 1);
    // Nor might the user remove the box.
    for path in entries(&test_box.root()) {
        let mut cleanup = Command::new(binary());
        cleanup.arg("--config").arg(test_box.config_file());
        let id = path.file_name().unwrap().to_str().unwrap();
        cleanup.arg(format!("--box-id={id}")).arg("--cleanup");
        assert_eq!(finish(cleanup).code, 0);
    }
}

/// Nobody is asked about members, and they are no strangers either: their connection stays.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_members_series_waits_for_the_next_job() {
    let test_box = user_box();
    let mut batch = Batch::start(&test_box, Some(ALICE), &["-j1"]);
    batch.send(&json!({"id": "first", "steps": [shell("exit 0")]}));
    assert_eq!(batch.next_result()["outcome"], "done");
    // Longer than somebody is waited for to whom nothing was allowed.
    sleep(Duration::from_secs(7));
    assert!(!test_box.broker().keepers().is_empty());
    assert_eq!(batch.finish().0, 0);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_series_gives_no_more_rights_than_single_requests() {
    let arena = Arena::new(TestBox::with_manager("systemd").called_by(ALICE));
    let rule = "polkit.addRule(function (action, subject) {\n\
        if (subject.user == 'bob' && action.lookup('processes') == '7') return polkit.Result.NO; });\n";
    let probe = || true;
    let _rules = Rules::new("15-test-series", rule, probe);
    let told = arena.suffer(BOB, "series");
    for (what, answer) in [
        ("first", "done 0"),
        ("again", "done 0"),
        ("network", "done 2"),
        ("devices", "done 2"),
        ("still", "done 0"),
        ("processes", "done 2"),
        ("program", "done 1"),
        ("root", "Only root may use"),
        ("a series in it", "not one of isolate-run's"),
        ("too many descriptors", "too long"),
        ("other descriptors", "other descriptors"),
        ("at last", "done 0"),
    ] {
        assert_told(&told, what, answer);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn channels_that_lead_nowhere_harm_nobody() {
    let arena = Arena::new(TestBox::with_manager("systemd").called_by(ALICE));
    let told = arena.suffer(BOB, "channels");
    for what in [
        "nothing",
        "a file",
        "a directory",
        "two",
        "the broker",
        "a stream",
        "a datagram",
        "not connected",
        "the internet",
        "2 bytes",
        "1000 bytes",
    ] {
        assert_told(&told, what, "over");
    }
    assert_told(&told, "after a deaf one", "done 0");
    for uid in [BOB, NOBODY] {
        let mut hostile = arena.start(uid, "many_channels");
        let told = hostile.wait_until_holding();
        assert_eq!(told, ["refused True"]);
        arena.assert_served();
        hostile.finish();
        arena.assert_unharmed();
    }
}

/// Its keepers go on, and batches look for the next one.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_broker_that_is_restarted_ends_no_batch() {
    let test_box = user_box();
    let socket = test_box.broker().socket().to_owned();
    let mut batch = Batch::start(&test_box, Some(ALICE), &["-j1"]);
    let mut next = |id: &str| {
        batch.send(&json!({"id": id, "steps": [shell("echo hello")]}));
        let result = batch.next_result();
        assert_eq!(result["outcome"], "done", "{result}");
    };
    next("before");
    test_box.broker().signal(Signal::SIGTERM);
    wait_until("the broker has ended", || !socket.exists());
    let _next = Broker::start(socket.parent().unwrap(), &test_box.config_file());
    next("after");
    next("again");
    let (code, stdout, stderr) = batch.finish();
    assert_eq!((code, &*stdout, &*stderr), (0, "", ""));
    wait_until("all boxes are gone", || {
        entries(&test_box.root()).count() == 0
    });
}
