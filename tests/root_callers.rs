//! Callers who are not root: here by a real uid of their own, as in a setuid program.

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use support::{Output, TestBox, finish};

mod support;

/// Runs the sandbox with root's rights on behalf of the calling user `uid`.
fn called_by<S: AsRef<OsStr>>(uid: u32, test_box: &TestBox, args: &[S]) -> Output {
    let command = test_box.isolate_command(args);
    let mut setpriv = Command::new("setpriv");
    setpriv
        .arg(format!("--ruid={uid}"))
        .arg(format!("--rgid={uid}"));
    setpriv.arg("--clear-groups").arg(command.get_program());
    setpriv.args(command.get_args());
    finish(setpriv)
}

const RUN: [&str; 3] = ["--run", "--", "/bin/true"];

#[test]
#[ignore = "needs root: tests/run"]
fn a_user_can_use_a_box_of_their_own() {
    let test_box = TestBox::new();
    called_by(1234, &test_box, &["--init"]).assert_success();
    called_by(1234, &test_box, &RUN).assert_success();
    called_by(1234, &test_box, &["--init"]).assert_success();
    called_by(1234, &test_box, &["--cleanup"]).assert_silent_success();
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_of_another_user_is_refused_with_its_owner() {
    let test_box = TestBox::new();
    called_by(1234, &test_box, &["--init"]).assert_success();
    for args in [&RUN[..], &["--init"], &["--cleanup"]] {
        let refused = called_by(4321, &test_box, args);
        refused.assert_refused(2, "This box belongs to a different user (uid 1234)");
    }
    // Root may use it, and what it had stays that user's.
    test_box.isolate(&RUN).assert_success();
    called_by(1234, &test_box, &RUN).assert_success();
    test_box.cleanup();
    test_box.init();
    let refused = called_by(1234, &test_box, &RUN);
    refused.assert_refused(2, "This box belongs to a different user (uid 0)");
}

#[test]
#[ignore = "needs root: tests/run"]
fn only_root_may_act_for_others() {
    let test_box = TestBox::new();
    for args in [&["--init"][..], &RUN] {
        let args = [&["--as-uid=0", "--as-gid=0"], args].concat();
        let refused = called_by(1234, &test_box, &args);
        refused.assert_refused(2, "You must be root to use --as-uid or --as-gid");
    }
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn users_cannot_make_boxes_where_only_root_may() {
    let test_box = TestBox::new();
    let text = fs::read_to_string(test_box.config_file()).unwrap();
    let text = text.replace("[cgroup]", "only_root_inits = true\n[cgroup]");
    fs::write(test_box.config_file(), text).unwrap();
    let refused = called_by(1234, &test_box, &["--init"]);
    refused.assert_refused(2, "New sandboxes can be created only by root");
    test_box.assert_gone();
    let root = ["--as-uid=1234", "--as-gid=1234", "--init"];
    test_box.isolate(&root).assert_success();
    called_by(1234, &test_box, &RUN).assert_success();
    test_box.cleanup();
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_a_user_may_not_read_cannot_be_bound() {
    let test_box = TestBox::new();
    let closed = test_box.make_dir("closed", 0, 0o700);
    fs::create_dir(closed.join("sub")).unwrap();
    called_by(1234, &test_box, &["--init"]).assert_success();
    let rule = format!("--dir=in={}", closed.join("sub").display());
    let refused = called_by(1234, &test_box, &[&[&*rule], &RUN[..]].concat());
    refused.assert_refused(2, "Permission denied");
    called_by(1234, &test_box, &["--cleanup"]).assert_silent_success();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_meta_file_where_a_user_may_not_write_is_refused() {
    let test_box = TestBox::new();
    called_by(1234, &test_box, &["--init"]).assert_success();
    let meta = format!("--meta={}", test_box.dir().join("meta").display());
    let refused = called_by(1234, &test_box, &[&[&*meta], &RUN[..]].concat());
    refused.assert_refused(2, "Permission denied");
    assert!(!test_box.dir().join("meta").exists());
    called_by(1234, &test_box, &["--cleanup"]).assert_silent_success();
}
