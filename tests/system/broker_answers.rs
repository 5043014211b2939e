//! For what an answer of polkit's counts beside what was asked, and for how long.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

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

    /// Looks at something while polkit's answer to [`RUN`] is kept, and the door is shut. Nothing is kept in the first seconds
    /// after a change of rules, of another test's, too: then it is looked at once more.
    fn while_kept(&self, test_box: &TestBox, look: impl Fn()) {
        wait_until("what polkit has allowed is allowed again", || {
            self.open();
            by_bob(test_box, &RUN).assert_success();
            self.shut();
            is_kept(test_box) && {
                look();
                is_kept(test_box)
            }
        });
    }
}

/// Whether bob may run a program, although nobody lets him in.
fn is_kept(test_box: &TestBox) -> bool {
    let again = by_bob(test_box, &RUN);
    if again.code != 0 {
        again.assert_refused(2, ACTION);
    }
    again.code == 0
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
    door.while_kept(&test_box, || {
        for other in [
            &["--run", "--", "/bin/ls"][..],
            &["--wall-time=9", "--run", "--", "/bin/true"],
            &["--cleanup"],
        ] {
            by_bob(&test_box, other).assert_refused(2, ACTION);
        }
        let network = by_bob(&test_box, &["--share-net", "--run", "--", "/bin/true"]);
        network.assert_refused(2, "io.github.isolate_run.");
        let mut service = Command::new("systemd-run");
        let socket = test_box.broker().socket().display();
        service
            .args(["--quiet", "--wait", "--collect", "--pipe", "--uid=bob"])
            .arg(format!("--setenv=ISOLATE_RUN_BROKER={socket}"))
            .arg(binary())
            .arg(format!("--box-id={}", test_box.id()))
            .args(RUN);
        finish(service).assert_refused(2, ACTION);
    });
    door.open();
    by_bob(&test_box, &["--cleanup"]).assert_silent_success();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_change_of_rules_ends_what_polkit_had_allowed() {
    let test_box = keeps_answers();
    let door = Door::new(&test_box, "change");
    door.while_kept(&test_box, || {});
    // As good as any: it says nothing.
    let rules = Rules::new("99-test-change", "", || true);
    assert!(!is_kept(&test_box));
    drop(rules);
    assert!(!is_kept(&test_box));
    // Nor is it there again when answers are kept once more.
    let other = ["--run", "--", "/bin/ls"];
    wait_until("another answer is kept", || {
        door.open();
        by_bob(&test_box, &other).assert_success();
        door.shut();
        by_bob(&test_box, &other).code != 2
    });
    assert!(!is_kept(&test_box));
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
        door.open();
        by_bob(&test_box, &RUN).assert_success();
        door.shut();
        assert!(!is_kept(&test_box));
    }
    door.open();
    by_bob(&test_box, &["--cleanup"]).assert_silent_success();
}
