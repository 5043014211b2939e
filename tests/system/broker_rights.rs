//! Who may do what by the broker: members of the group, and whom polkit lets in by rules of the administrator.

use crate::support;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::support::systemd::{Rules, Silent, must};
use crate::support::{ALICE, BOB, TestBox, finish, wait_until};

const RUN: [&str; 3] = ["--run", "--", "/bin/true"];

fn test_box() -> TestBox {
    TestBox::with_manager("systemd").called_by(ALICE)
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_member_of_the_group_does_all_and_another_user_is_told_what_is_missing() {
    let test_box = test_box();
    test_box.isolate(&["--init"]).assert_success();
    test_box.isolate(&RUN).assert_success();
    test_box.isolate(&["--cleanup"]).assert_silent_success();
    let output = test_box.exec(&["--", "/bin/echo", "hello"]);
    assert_eq!((output.code, &*output.stdout), (0, "hello\n"), "{output:?}");

    for (args, code) in [(&["--init"][..], 2), (&RUN, 2), (&["--cleanup"], 2)] {
        let refused = finish(test_box.command_of(BOB, args));
        refused.assert_refused(code, "io.github.isolate_run.use-box");
        refused.assert_refused(code, "usermod -aG isolate");
    }
    let mut exec = test_box.broker().command(BOB);
    exec.args(["exec", "/bin/true"]);
    finish(exec).assert_refused(125, "io.github.isolate_run.use-box");
    test_box.assert_gone();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_hosts_network_and_devices_need_an_action_of_their_own() {
    let test_box = test_box();
    test_box.init();
    let network = ["--share-net", "--run", "--", "/bin/true"];
    let devices = ["--dir=dev:dev", "--run", "--", "/bin/true"];
    let refused = test_box.isolate(&network);
    refused.assert_refused(2, "io.github.isolate_run.share-network");
    let refused = test_box.isolate(&devices);
    refused.assert_refused(2, "io.github.isolate_run.use-devices");
    let rule = "polkit.addRule(function (action, subject) {\n\
        if (action.id == 'io.github.isolate_run.share-network' && subject.user == 'alice')\n\
        return polkit.Result.YES; });\n";
    let probe = || test_box.isolate(&network).code == 0;
    let _rules = Rules::new("20-test-network", rule, probe);
    let refused = test_box.isolate(&devices);
    refused.assert_refused(2, "io.github.isolate_run.use-devices");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_rule_lets_a_user_into_some_boxes_alone() {
    let test_box = test_box();
    let (allowed, other) = (test_box.id() + 1, test_box.id() + 2);
    let by_bob = |id: u32, args: &[&str]| {
        let mut command = test_box.broker().command(BOB);
        command.arg(format!("--box-id={id}")).args(args);
        finish(command)
    };
    let rule = format!(
        "polkit.addRule(function (action, subject) {{\n\
         if (action.id == 'io.github.isolate_run.use-box' && subject.user == 'bob'\n\
         && parseInt(action.lookup('box-id')) == {allowed}\n\
         && action.lookup('program') != '/bin/ls' && action.lookup('wall-time') != '9')\n\
         return polkit.Result.YES; }});\n"
    );
    let probe = || by_bob(allowed, &["--init"]).code == 0;
    let _rules = Rules::new("20-test-boxes", &rule, probe);
    by_bob(allowed, &RUN).assert_success();
    let action = "io.github.isolate_run.use-box";
    by_bob(other, &["--init"]).assert_refused(2, action);
    by_bob(allowed, &["--run", "--", "/bin/ls"]).assert_refused(2, action);
    let limited = ["--wall-time=9", "--run", "--", "/bin/true"];
    by_bob(allowed, &limited).assert_refused(2, action);
    // Any box is none of these.
    let mut exec = test_box.broker().command(BOB);
    exec.args(["exec", "/bin/true"]);
    finish(exec).assert_refused(125, action);
    by_bob(allowed, &["--cleanup"]).assert_silent_success();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_box_is_its_owners_roots_and_the_managers() {
    let test_box = test_box();
    let rule = format!(
        "polkit.addRule(function (action, subject) {{\n\
         if (action.id == 'io.github.isolate_run.use-box' && subject.user == 'bob'\n\
         && action.lookup('box-id') == '{}')\n\
         return polkit.Result.YES; }});\n",
        test_box.id()
    );
    let by_bob = |args: &[&str]| finish(test_box.command_of(BOB, args));
    let _rules = Rules::new("20-test-bob", &rule, || by_bob(&["--cleanup"]).code == 0);
    test_box.init();
    test_box.write("secret", "of alice");
    for args in [&["--init"][..], &RUN, &["--cleanup"]] {
        let refused = by_bob(args);
        refused.assert_refused(2, "This box belongs to a different user (uid 1000)");
        refused.assert_refused(2, "io.github.isolate_run.manage-boxes");
    }
    let mut look = test_box.broker().program(BOB, "/bin/ls");
    look.arg(test_box.inside());
    assert_ne!(finish(look).code, 0);
    // Root needs no broker, and what was alice's stays hers.
    let mut roots = Command::new(support::binary());
    roots.arg("--config").arg(test_box.config_file());
    roots.arg(format!("--box-id={}", test_box.id())).args(RUN);
    finish(roots).assert_success();
    test_box.isolate(&RUN).assert_success();

    let rule = rule.replace("use-box", "manage-boxes");
    let _managers = Rules::new("20-test-manager", &rule, || by_bob(&RUN).code == 0);
    assert_eq!(test_box.read("secret"), "of alice");
    test_box.isolate(&RUN).assert_success();
    by_bob(&["--cleanup"]).assert_silent_success();
    test_box.isolate(&RUN).assert_refused(2, "Box not found");
}

/// A judge's worker: an ordinary user in a system service, without a login and without anybody to ask.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_worker_in_a_system_service_needs_no_login() {
    let test_box = test_box();
    let socket = test_box.broker().socket().display().to_string();
    let binary = support::binary().display().to_string();
    let variable = format!("--setenv=ISOLATE_RUN_BROKER={socket}");
    let id = format!("--box-id={}", test_box.id());
    let script = "set -e; $0 $1 --init; echo 'echo hello' >$($0 $1 --init)/box/script; \
        $0 $1 --meta=- --run -- /bin/sh script; $0 $1 --cleanup";
    let output = must(
        "systemd-run",
        &[
            "--quiet",
            "--wait",
            "--collect",
            "--pipe",
            "--uid=alice",
            &variable,
            "--property=NoNewPrivileges=yes",
            "/bin/sh",
            "-c",
            script,
            &binary,
            &id,
        ],
    );
    assert!(output.contains("\nhello\ntime:"), "{output}");
    assert!(output.contains("\nexitcode:0\n"), "{output}");
    // One of another user's is refused at once.
    let arguments = [
        "--quiet",
        "--wait",
        "--collect",
        "--pipe",
        "--uid=bob",
        &variable,
        "/bin/sh",
        "-c",
        "\"$0\" exec /bin/true; echo code $?",
        &binary,
    ];
    assert!(must("systemd-run", &arguments).contains("code 125"));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_process_that_has_the_group_is_let_in_whatever_the_user_database_says() {
    let test_box = test_box();
    let mut as_group = Command::new("setpriv");
    as_group.args(["--reuid=1001", "--regid=isolate", "--clear-groups"]);
    let mut beside = Command::new("setpriv");
    beside.args(["--reuid=1001", "--regid=1001", "--groups=isolate"]);
    for mut command in [as_group, beside] {
        command.arg(support::binary());
        command.args(["exec", "-s", "/bin/echo", "hello"]);
        command.env("ISOLATE_RUN_BROKER", test_box.broker().socket());
        let output = finish(command);
        assert_eq!((output.code, &*output.stdout), (0, "hello\n"), "{output:?}");
    }
    let socket = test_box.broker().socket().display().to_string();
    let binary = support::binary().display().to_string();
    let run = |service: &[&str]| {
        let variable = format!("--setenv=ISOLATE_RUN_BROKER={socket}");
        let common = ["--quiet", "--wait", "--collect", "--pipe", &variable];
        let command = [
            "/bin/sh",
            "-c",
            "\"$0\" exec /bin/true; echo code $?",
            &binary,
        ];
        must("systemd-run", &[&common, service, &command].concat())
    };
    let member = "--property=SupplementaryGroups=isolate";
    assert!(run(&["--uid=bob", member]).contains("code 0"));
    assert!(run(&["--uid=bob"]).contains("code 125"));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_program_begins_when_polkit_has_answered_and_its_limits_count_from_there() {
    let test_box = test_box().config("[broker]\ngroups = []\n");
    test_box.init();
    let ran = test_box.inside().join("ran");
    let begin = |limit: &str| {
        let silent = Silent::new("polkit.service");
        let command = [limit, "--run", "--", "/bin/touch", "ran"];
        let waiting = support::Started::new(test_box.isolate_command(&command), Some(b""));
        wait_until("the program's process is there", || {
            !test_box.processes().is_empty()
        });
        (silent, waiting)
    };
    let limit = if support::slow() { 10 } else { 2 };
    let (silent, mut waiting) = begin(&format!("--wall-time={limit}"));
    // Longer than the limit, and than init's patience with a keeper that does not keep it.
    sleep(Duration::from_secs(limit + 2));
    assert!(waiting.is_running());
    assert!(!ran.exists());
    drop(silent);
    waiting.finish().assert_success();
    assert!(ran.exists());
    std::fs::remove_file(&ran).unwrap();

    let rule = "polkit.addRule(function (action, subject) {\n\
        if (action.id == 'io.github.isolate_run.use-box' && action.lookup('wall-time') == '77')\n\
        return polkit.Result.NO; });\n";
    let refused = ["--wall-time=77", "--run", "--", "/bin/true"];
    let probe = || test_box.isolate(&refused).code == 2;
    let _rules = Rules::new("20-test-limit", rule, probe);
    let (silent, waiting) = begin("--wall-time=77");
    drop(silent);
    let output = waiting.finish();
    output.assert_refused(2, "io.github.isolate_run.use-box");
    assert!(!ran.exists());
    assert!(test_box.processes().is_empty());
}
