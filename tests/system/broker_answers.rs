//! For what an answer of polkit's counts beside what was asked, and for how long.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::batch::{batch, shell};
use crate::support::systemd::{Rules, user_box};
use crate::support::{BOB, Output, TestBox, binary, finish, wait_until};

const ACTION: &str = "io.github.isolate_run.use-box";
const RUN: [&str; 3] = ["--run", "--", "/bin/true"];

/// A rule that lets bob into the test's box while there is a file: a change that nobody but polkit knows of.
struct Door {
    file: PathBuf,
    _rules: Rules,
}

impl Door {
    fn new(test_box: &TestBox, name: &str) -> Self {
        let file = PathBuf::from(format!("/run/isolate-test-{name}"));
        let rule = format!(
            "polkit.addRule(function (action, subject) {{\n\
             if (action.id != '{ACTION}' || subject.user != 'bob' || action.lookup('box-id') != '{}') return;\n\
             try {{ polkit.spawn(['/usr/bin/test', '-e', '{}']); return polkit.Result.YES; }}\n\
             catch (error) {{ return polkit.Result.NO; }} }});\n",
            test_box.id(),
            file.display()
        );
        fs::write(&file, "").unwrap();
        let probe = || by_bob(test_box, &["--init"]).code == 0;
        let rules = Rules::new(&format!("20-test-{name}"), &rule, probe);
        Self {
            file,
            _rules: rules,
        }
    }

    fn open(&self) {
        fs::write(&self.file, "").unwrap();
    }

    fn shut(&self) {
        fs::remove_file(&self.file).ok();
    }

    /// Whether bob may run a program again, after the door was shut.
    fn stays_open_for(&self, test_box: &TestBox) -> bool {
        self.open();
        by_bob(test_box, &RUN).assert_success();
        self.shut();
        let again = by_bob(test_box, &RUN);
        if again.code != 0 {
            again.assert_refused(2, ACTION);
        }
        again.code == 0
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shut();
    }
}

fn by_bob(test_box: &TestBox, args: &[&str]) -> Output {
    finish(test_box.command_of(BOB, args))
}

/// Long enough for everything in a test.
fn keeps_answers() -> TestBox {
    user_box().config("[broker]\nkeep_answers = 300\n")
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_yes_counts_for_the_very_same_of_the_same_service() {
    let test_box = keeps_answers();
    let door = Door::new(&test_box, "same");
    // Not in the first seconds after a change of rules, of another test's, too.
    wait_until("what polkit has allowed is allowed again", || {
        door.stays_open_for(&test_box)
    });
    for other in [
        &["--run", "--", "/bin/ls"][..],
        &["--wall-time=9", "--run", "--", "/bin/true"],
        &["--cleanup"],
    ] {
        by_bob(&test_box, other).assert_refused(2, ACTION);
    }
    // By share-network, or by both if another test has changed its rules meanwhile.
    let network = by_bob(&test_box, &["--share-net", "--run", "--", "/bin/true"]);
    network.assert_refused(2, "io.github.isolate_run.");
    // A batch asks for boxes of its own.
    let job = json!({"id": "1", "steps": [shell("exit 0")]});
    let (_, results) = batch(&test_box, Some(BOB), &["-j1"], &[job]);
    assert_eq!(results["1"]["outcome"], "refused", "{results:?}");
    let mut service = Command::new("systemd-run");
    let socket = test_box.broker().socket().display();
    service
        .args(["--quiet", "--wait", "--collect", "--pipe", "--uid=bob"])
        .arg(format!("--setenv=ISOLATE_RUN_BROKER={socket}"))
        .arg(binary())
        .arg(format!("--box-id={}", test_box.id()))
        .args(RUN);
    finish(service).assert_refused(2, ACTION);
    door.open();
    by_bob(&test_box, &["--cleanup"]).assert_silent_success();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_change_of_rules_ends_what_polkit_had_allowed() {
    let test_box = keeps_answers();
    let door = Door::new(&test_box, "change");
    wait_until("what polkit has allowed is allowed again", || {
        door.stays_open_for(&test_box)
    });
    // As good as any: it says nothing.
    let rules = Rules::new("99-test-change", "", || true);
    by_bob(&test_box, &RUN).assert_refused(2, ACTION);
    drop(rules);
    by_bob(&test_box, &RUN).assert_refused(2, ACTION);
    door.open();
    by_bob(&test_box, &["--cleanup"]).assert_silent_success();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn polkit_is_asked_each_time_where_that_is_configured() {
    let test_box = user_box().config("[broker]\nkeep_answers = 0\n");
    let door = Door::new(&test_box, "each");
    // Longer than after a change of rules.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(7) {
        assert!(!door.stays_open_for(&test_box));
    }
    door.open();
    by_bob(&test_box, &["--cleanup"]).assert_silent_success();
}
