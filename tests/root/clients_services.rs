//! Clients that run programs without control groups: their command lines, step by step.

use std::fs;

use crate::support::TestBox;
use crate::support::clients::both_modes::{broccoli, cafe_grader, judge0, taskgrader};
use crate::support::clients::{in_box, put, under_both_names};

/// Options on both sides of the command, no `--` before the program, slashes where nobody needs them, no meta file.
#[test]
#[ignore = "needs root: tests/run"]
fn activepieces_runs_a_flow() {
    under_both_names(TestBox::new, |client| {
        let id = client.id();
        client.cleanup(&format!("--box-id={id} --cleanup"));
        client.init(&format!("--box-id={id} --init"));
        let host = client.test_box.out();
        for name in ["etc", "cache", "pieces", "common"] {
            fs::create_dir_all(host.join(name)).unwrap();
            put(&host.join(name).join("name"), name, 0o644);
        }
        let script = "cat /etc/name /root/name /pieces/name /common/name; echo \" $1 $AP_NAME\"; pwd; ulimit -n; \
                      ls /absent 2>/dev/null; readlink /proc/self/ns/net; exit $2";
        put(&host.join("cache/main.sh"), script, 0o644);
        let at = host.display();
        let run = |code: u32| {
            client.shell(&format!(
                "isolate --dir=/usr/bin/ --dir=/etc/={at}/etc --dir=/root={at}/cache --dir=/pieces={at}/pieces:maybe \
                 --dir=/absent={at}/absent:maybe --dir=common=/{at}/common:maybe --share-net --box-id={id} \
                 --processes --chdir=/root --open-files=4096 --run --env=HOME='/tmp' --env=AP_NAME='a b' \
                 /usr/bin/sh /root/main.sh v {code}"
            ))
        };
        let net = fs::read_link("/proc/self/ns/net").unwrap();
        let expected = format!(
            "etccachepiecescommon v a b\n/root\n4096\n{}\n",
            net.display()
        );
        let output = run(0);
        assert_eq!((output.code, output.stdout), (0, expected.clone()));
        assert!(output.stderr.starts_with("OK ("), "{}", output.stderr);
        let output = run(3);
        assert_eq!((output.code, output.stdout), (1, expected));
        assert_eq!(output.stderr, "Exited with error status 3\n");
        client.cleanup(&format!("--box-id={id} --cleanup"));
    });
}

#[test]
#[ignore = "needs root: tests/run"]
fn judge0_judges_a_submission_with_limits_for_each_process() {
    // The number of a submission is that of its box, as far as there are numbers.
    in_box(2_147_483_646, TestBox::new, |client| {
        judge0(client, "", "", "-m 512000");
    });
}

#[test]
#[ignore = "needs root: tests/run"]
fn cafe_grader_grades_a_language_without_control_groups() {
    under_both_names(TestBox::new, |client| cafe_grader(client, false));
}

#[test]
#[ignore = "needs root: tests/run"]
fn taskgrader_evaluates_a_task_without_control_groups() {
    under_both_names(TestBox::new, |client| taskgrader(client, false));
}

#[test]
#[ignore = "needs root: tests/run"]
fn broccoli_judges_for_itself_and_for_a_user() {
    under_both_names(TestBox::new, |client| {
        broccoli(client, false, None);
        broccoli(client, false, Some(1234));
    });
}

/// It tells whether there is a sandbox by this. Where a step fails, it runs programs without one.
#[test]
#[ignore = "needs root: tests/run"]
fn a_judge_finds_the_sandbox_without_control_groups() {
    under_both_names(TestBox::new, |client| {
        let version = client.call("--version");
        assert_eq!((version.code, &*version.stderr), (0, ""));
        assert!(
            version.stdout.starts_with("The process isolator "),
            "{version:?}"
        );
        let id = client.id();
        for _ in 0..2 {
            client.init(&format!("--box-id {id} --init"));
            client.cleanup(&format!("--box-id {id} --cleanup"));
        }
    });
}
