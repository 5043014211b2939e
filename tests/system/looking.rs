//! Looking at boxes and runs, and looking back: what users see by the broker, what the journal tells, what is counted.

use std::process::Command;

use crate::support::systemd::Rules;
use crate::support::{ALICE, BOB, Output, TestBox, finish, wait_until};
use serde_json::Value;

fn alices() -> TestBox {
    TestBox::with_manager("systemd").called_by(ALICE)
}

/// A verb, called by a user by this box's broker.
fn by(test_box: &TestBox, uid: u32, args: &[&str]) -> Output {
    let mut command = test_box.broker().command(uid);
    command.args(args);
    finish(command)
}

fn boxes(output: &Output) -> Vec<u64> {
    output.assert_success();
    let seen: Value = serde_json::from_str(&output.stdout).unwrap();
    let boxes = seen["boxes"].as_array().unwrap();
    boxes
        .iter()
        .map(|seen| seen["box"].as_u64().unwrap())
        .collect()
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn users_see_and_end_their_own_runs_and_those_of_others_when_polkit_lets_them() {
    let test_box = alices();
    let (id, roots) = (test_box.id(), test_box.id() + 1);
    let as_root = |args: &[&str]| {
        let mut command = Command::new(crate::support::binary());
        command.arg("--config").arg(test_box.config_file());
        finish({
            command.arg(format!("--box-id={roots}")).args(args);
            command
        })
    };
    let running = test_box
        .shell("touch ready; sleep 1000")
        .options(&["-t50"])
        .spawn();
    running.wait_for_file("ready");
    as_root(&["--init"]).assert_success();
    let json = ["status", "--json"];
    assert_eq!(boxes(&by(&test_box, ALICE, &json)), [u64::from(id)]);
    let seen: Value = serde_json::from_str(&by(&test_box, ALICE, &json).stdout).unwrap();
    let run = &seen["boxes"][0]["run"];
    assert!(
        run["scope"]
            .as_str()
            .unwrap()
            .starts_with(&format!("isolate-{id}-")),
        "{seen}"
    );
    assert!(
        run["cpu_time_us"].as_u64().is_some() && run["processes"].as_u64() >= Some(1),
        "{seen}"
    );
    assert_eq!(seen["boxes"][0]["owner"]["name"], "alice");
    by(&test_box, BOB, &json).assert_refused(2, "io.github.isolate_run.use-box");
    by(&test_box, ALICE, &["status", "--all"]).assert_refused(2, "io.github.isolate_run.see-boxes");
    let kill = |uid, id: u32| by(&test_box, uid, &["kill", &id.to_string()]);
    kill(BOB, id).assert_refused(2, "io.github.isolate_run.use-box");
    kill(ALICE, roots).assert_refused(2, "belongs to a different user");
    kill(ALICE, id).assert_success();
    let run = running.finish();
    assert_eq!(run.meta.get("message"), Some("Interrupted"), "{run:?}");
    let rule = "polkit.addRule(function (action, subject) {\n\
        if (action.id == 'io.github.isolate_run.see-boxes' && subject.user == 'alice')\n\
        return polkit.Result.YES; });\n";
    let probe = || by(&test_box, ALICE, &["status", "--all"]).code == 0;
    let _rules = Rules::new("20-test-see", rule, probe);
    assert_eq!(
        boxes(&by(&test_box, ALICE, &json)),
        [u64::from(id), u64::from(roots)]
    );
    assert_eq!(
        boxes(&by(&test_box, ALICE, &["status", "--json", "--mine"])),
        [u64::from(id)]
    );
    by(&test_box, ALICE, &["gc", "--all"]).assert_refused(2, "io.github.isolate_run.manage-boxes");
    as_root(&["--cleanup"]).assert_silent_success();
}

/// The entries of the journal about the box of a test, the last ones at the end.
fn entries(test_box: &TestBox) -> Vec<Value> {
    let mut command = Command::new("journalctl");
    command.args([
        "--quiet",
        "--output=json",
        "--boot",
        "SYSLOG_IDENTIFIER=isolate-run",
        "_UID=0",
    ]);
    command.arg(format!("ISOLATE_BOX={}", test_box.id()));
    let output = finish(command);
    let lines = output.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_journal_tells_who_ran_what_and_how_it_ended_but_no_arguments() {
    let test_box = alices();
    let before = entries(&test_box).len();
    let run = test_box
        .command(&["/bin/sh", "-c", "exit 3 # secret"])
        .run();
    assert_eq!(run.meta.get("exitcode"), Some("3"), "{run:?}");
    finish(test_box.command_of(BOB, &["--run", "--", "/bin/true"])).assert_refused(2, "use-box");
    let mut new = Vec::new();
    wait_until("there are two entries", || {
        new = entries(&test_box).split_off(before);
        new.len() >= 2
    });
    let [run, refused] = &new[..] else {
        panic!("{new:#?}")
    };
    for (field, value) in [
        ("ISOLATE_USER", "1000"),
        ("ISOLATE_COMMAND", "run"),
        ("ISOLATE_PROGRAM", "/bin/sh"),
        ("ISOLATE_VERDICT", "exit_code"),
        ("ISOLATE_EXIT_CODE", "3"),
        ("ISOLATE_WAY", "broker"),
        ("PRIORITY", "6"),
    ] {
        assert_eq!(run[field], value, "{field}: {run:#}");
    }
    assert!(
        run["ISOLATE_CPU_USEC"].is_string() && run["ISOLATE_SCOPE"].is_string(),
        "{run:#}"
    );
    assert!(!run.to_string().contains("secret"), "{run:#}");
    let expected = [
        ("ISOLATE_USER", "1001"),
        ("ISOLATE_REFUSED_BY", "polkit"),
        ("PRIORITY", "4"),
    ];
    for (field, value) in expected {
        assert_eq!(refused[field], value, "{field}: {refused:#}");
    }
    // By the program itself: alice sees her own.
    let id = test_box.id().to_string();
    let told = by(&test_box, ALICE, &["logs", &id]);
    told.assert_success();
    assert!(
        told.stdout.contains("user alice ran /bin/sh in box"),
        "{told:?}"
    );
    assert!(!told.stdout.contains("user bob"), "{told:?}");
    let told = test_box.verb("logs", &["--since", "1 hour ago", "--json", "-n", "1", &id]);
    assert_eq!(told.stdout.lines().count(), 1, "{told:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_is_configured_not_to_be_told_is_not_told_but_counted() {
    let test_box = alices().config("[log]\nruns = \"failed\"\nrefusals = false\n");
    let before = entries(&test_box).len();
    test_box.command(&["/bin/true"]).run().assert_ok();
    let run = test_box.command(&["/bin/false"]).run();
    assert_eq!(run.code, 1, "{run:?}");
    finish(test_box.command_of(BOB, &["--run", "--", "/bin/true"])).assert_refused(2, "use-box");
    let failed = test_box.isolate(&["-d", "x=/nope", "--run", "--", "/bin/true"]);
    assert_eq!(failed.code, 2, "{failed:?}");
    let mut new = Vec::new();
    wait_until("there is an entry", || {
        new = entries(&test_box).split_off(before);
        !new.is_empty()
    });
    assert_eq!(new.len(), 1, "{new:#?}");
    let mut command = Command::new(crate::support::binary());
    command
        .arg("status")
        .arg("--config")
        .arg(test_box.config_file());
    command.arg("--prometheus");
    let figures = finish(command);
    figures.assert_success();
    for line in [
        "isolate_runs_total{user=\"alice\",verdict=\"ok\"} 1",
        "isolate_runs_total{user=\"alice\",verdict=\"exit_code\"} 1",
        "isolate_refused_total{user=\"\",by=\"polkit\"} 1",
        "isolate_failures_total{user=\"alice\"} 1",
        "isolate_boxes{user=\"alice\",state=\"idle\"} 1",
        "isolate_doctor_verdict{check=\"config\"} 0",
        "isolate_doctor_verdict{check=\"delegation\"} 0",
    ] {
        assert!(
            figures.stdout.lines().any(|found| found == line),
            "{line}: {figures:?}"
        );
    }
}
