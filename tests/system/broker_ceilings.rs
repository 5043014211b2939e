//! What users who are not root may have at most: requests above are refused with the figure, before anything starts.

use crate::support;
use crate::support::systemd;
use std::path::Path;

use crate::support::{ALICE, TestBox, finish, wait_until};

const RUN: [&str; 3] = ["--run", "--", "/bin/true"];

fn limited(limits: &str) -> TestBox {
    let test_box = TestBox::with_manager("systemd").called_by(ALICE);
    test_box.config(&format!("[ceilings]\n{limits}\n"))
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_limit_above_the_ceiling_is_refused_and_one_that_is_left_open_is_the_ceiling() {
    let test_box = limited("wall_time = '1s'\nprocesses = 3");
    test_box.init();
    for (option, reason) in [
        ("--wall-time=2", "1 s (ceilings.wall_time)"),
        ("--wall-time=0", "unlimited"),
        ("--processes=4", "3 (ceilings.processes)"),
        ("--processes", "unlimited"),
    ] {
        let refused = test_box.isolate(&[&[option], &RUN[..]].concat());
        refused.assert_refused(2, reason);
    }
    let run = test_box.command(&["/bin/sleep", "600"]).run();
    assert_eq!(run.meta.get("status"), Some("TO"), "{run:?}");
    // Root has no ceilings.
    let mut roots = std::process::Command::new(support::binary());
    roots.arg("--config").arg(test_box.config_file());
    roots.arg(format!("--box-id={}", test_box.id()));
    roots.args(["--wall-time=100", "--processes=9"]).args(RUN);
    finish(roots).assert_success();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn boxes_and_runs_are_counted_for_each_user() {
    let test_box = limited("boxes = 2\nruns = 1");
    test_box.init();
    let other = |id: u32, args: &[&str]| {
        let mut command = test_box.broker().command(ALICE);
        command.arg(format!("--box-id={id}")).args(args);
        finish(command)
    };
    let id = test_box.id();
    other(id + 1, &["--init"]).assert_success();
    let refused = other(id + 2, &["--init"]);
    refused.assert_refused(
        2,
        "user alice (uid 1000) has 2 boxes, of at most 2 (ceilings.boxes)",
    );
    // One of those that there are may be made anew.
    other(id + 1, &["--init"]).assert_success();
    let exec = test_box.exec(&["/bin/true"]);
    exec.assert_refused(125, "ceilings.boxes");

    let running = systemd::start(&test_box);
    other(id + 1, &RUN).assert_refused(
        2,
        "user alice (uid 1000) has 1 runs under way, of at most 1 (ceilings.runs)",
    );
    systemd::let_go(&test_box);
    let run = running.finish();
    assert_eq!(run.code, 0, "{run:?}");
    wait_until("the first run is over for the broker, too", || {
        other(id + 1, &RUN).code == 0
    });
    other(id + 1, &["--cleanup"]).assert_silent_success();
    other(id + 2, &["--init"]).assert_success();
    other(id + 2, &["--cleanup"]).assert_silent_success();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn memory_is_added_up_and_needs_a_control_group() {
    let test_box = limited("memory = '100M'");
    test_box.isolate(&["--init"]).assert_success();
    test_box.isolate(&RUN).assert_refused(2, "use --cg");
    test_box
        .isolate(&["--cg", "--cg-mem=101M", "--run", "--", "/bin/true"])
        .assert_refused(2, "100M (ceilings.memory)");
    test_box.isolate(&["--cleanup"]).assert_silent_success();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_cpu_quota_is_that_of_a_users_slice_and_goes_with_the_configuration() {
    let quotas = "cpu_quota = '20%'\ntotal_cpu_quota = '150%'\n";
    let slice = "slice = 'testquota.slice'\n[ceilings]\n";
    let test_box = TestBox::with_manager("systemd").called_by(ALICE);
    let test_box = test_box.config(&format!("{slice}{quotas}"));
    let all = Path::new("/sys/fs/cgroup/testquota.slice");
    // While something runs there.
    let in_force = || {
        let running = systemd::start(&test_box);
        let slices = [all.to_owned(), all.join("testquota-u1000.slice")];
        let quotas = slices.map(|slice| {
            let quota = std::fs::read_to_string(slice.join("cpu.max"));
            // The controller is there for a quota alone.
            quota.unwrap_or_else(|_| "max 100000\n".to_owned())
        });
        systemd::let_go(&test_box);
        running.finish().assert_ok();
        quotas
    };
    let wanted = ["150000 100000\n", "20000 100000\n"];
    assert_eq!(in_force(), wanted);
    let busy = test_box.shell("while :; do :; done");
    let run = busy.options(&["--wall-time=3"]).run();
    assert_eq!(run.meta.get("status"), Some("TO"), "{run:?}");
    // Of 3 s, a fifth; without the quota nearly all.
    assert!(run.meta.number("time") < 1.5, "{run:?}");
    assert_eq!(in_force(), wanted);

    let config = test_box.config_file();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(quotas, "")).unwrap();
    assert_eq!(in_force(), ["max 100000\n", "max 100000\n"]);

    let slices = ["testquota.slice", "testquota-u1000.slice"];
    systemd::must("systemctl", &[&["stop"], &slices[..]].concat());
    systemd::must("systemctl", &[&["revert"], &slices[..]].concat());
    wait_until("the slices are gone", || !all.exists());
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn users_have_numbers_of_their_own_and_root_any() {
    let test_box = limited("box_ids = '1000000,2000000-2147483647'");
    let by_alice = |args: &[&str]| {
        let mut command = test_box.broker().command(ALICE);
        command.args(args);
        finish(command)
    };
    let refused = by_alice(&["--init"]);
    refused.assert_refused(
        2,
        "box 0 is not for users, who may have 1000000,2000000-2147483647",
    );
    refused.assert_refused(2, "--box-id=auto");
    let exec = by_alice(&["exec", "--box-id=5", "--", "/bin/true"]);
    exec.assert_refused(125, "box 5 is not for users");
    for id in ["1000000", "2147483647"] {
        let id = format!("--box-id={id}");
        by_alice(&[&id, "--init"]).assert_success();
        by_alice(&[&[&*id], &RUN[..]].concat()).assert_success();
        by_alice(&[&id, "--cleanup"]).assert_silent_success();
    }
    let chosen = by_alice(&["--box-id=auto", "--init"]);
    chosen.assert_success();
    let number = Path::new(chosen.stdout.trim_end()).file_name().unwrap();
    let number: u32 = number.to_str().unwrap().parse().unwrap();
    assert!(number == 1_000_000 || number >= 2_000_000, "{number}");
    by_alice(&[&format!("--box-id={number}"), "--cleanup"]).assert_silent_success();
    by_alice(&["exec", "/bin/true"]).assert_success();
    // Root's are not concerned.
    let mut roots = std::process::Command::new(support::binary());
    roots.arg("--config").arg(test_box.config_file());
    roots.args(["--box-id=0", "--init"]);
    finish(roots).assert_success();
    let mut roots = std::process::Command::new(support::binary());
    roots.arg("--config").arg(test_box.config_file());
    roots.args(["--box-id=0", "--cleanup"]);
    finish(roots).assert_success();
    test_box.assert_gone();
}
