//! Configurations: what is wrong with one is said with file and line, and nothing runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::support::{Output, TestBox};

/// `--check-config` with this text as the configuration.
fn check(text: &str) -> (TestBox, Output) {
    let test_box = TestBox::new();
    fs::write(test_box.config_file(), text).unwrap();
    let output = test_box.isolate(&["--check-config"]);
    (test_box, output)
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_mistake_is_told_with_file_line_and_key() {
    for (text, expected) in [
        ("[boxes]\nroot = 5\n", ":2: boxes.root: "),
        ("[boxes]\n\ncolor = 'red'\n", ":3: boxes.color"),
        ("[nonsense]\n", "nonsense"),
        ("[boxes]\ncount = 0\n", ":2: boxes.count: "),
        ("[boxes]\nroot = 'relative'\n", ":2: boxes.root: "),
        ("[boxes]\nroot = '/a/../b'\n", ":2: boxes.root: "),
        ("[boxes]\nfirst_uid = -1\n", ":2: boxes.first_uid: "),
        ("[boxes\n", ":1"),
        ("[cgroup]\nmanager = 'other'\n", ":2: cgroup.manager: "),
        ("[cgroup]\nslice = 'a/b'\n", ":2: cgroup.slice: "),
        ("[defaults]\ntime = 'soon'\n", ":2: defaults.time: "),
        ("[defaults]\ncore = 'unlimited'\n", ":2: defaults.core: "),
        ("[directories]\nrules = ['a:b']\n", ":2: directories.rules"),
        ("[syscalls]\ndeny = ['fork']\n", ":2: syscalls.deny"),
        ("[[pin]]\nboxes = 1\n", "pin"),
    ] {
        let (test_box, output) = check(text);
        output.assert_refused(2, expected);
        let path = test_box.config_file().display().to_string();
        assert!(output.stderr.contains(&path), "{output:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn nothing_is_done_with_a_wrong_configuration() {
    let test_box = TestBox::new();
    fs::write(test_box.config_file(), "[boxes]\nroot = 7\n").unwrap();
    for args in [
        &["--init"][..],
        &["--run", "--", "/bin/true"],
        &["--cleanup"],
        &["--print-cg-root"],
    ] {
        test_box.isolate(args).assert_refused(2, ":2: boxes.root: ");
    }
    test_box
        .exec(&["/bin/true"])
        .assert_refused(125, ":2: boxes.root: ");
    assert!(!test_box.root().exists() && !test_box.locks().exists());
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_right_configuration_is_printed_merged() {
    let test_box = TestBox::new().config("[defaults]\nwall_time = 12.5\n");
    let output = test_box.isolate(&["--check-config"]);
    output.assert_success();
    assert!(output.stdout.contains("12.5"), "{output:?}");
    assert!(
        output.stdout.contains(test_box.root().to_str().unwrap()),
        "{output:?}"
    );
    // What is printed is a configuration itself.
    let (_other, again) = check(&output.stdout);
    again.assert_success();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_named_configuration_must_be_there() {
    let test_box = TestBox::new();
    fs::remove_file(test_box.config_file()).unwrap();
    let output = test_box.isolate(&["--check-config"]);
    output.assert_refused(2, "isolate.toml: cannot open");
}

#[test]
#[ignore = "needs root: tests/run"]
fn without_a_cgroup_there_is_no_cgroup_root_and_no_pinning() {
    let test_box = TestBox::new();
    test_box
        .isolate(&["--print-cg-root"])
        .assert_refused(2, "there is no cgroup root");
    let pinned = TestBox::new();
    let pin = format!("[[pin]]\nboxes = {}\ncpus = '0'\n", pinned.id());
    let pinned = pinned.config(&pin);
    pinned
        .command(&["/bin/true"])
        .run()
        .assert_failed("[[pin]]");
}

#[test]
#[ignore = "needs root: tests/run"]
fn places_that_everybody_can_write_to_are_refused() {
    let test_box = TestBox::new();
    test_box.make_dir("boxes", 0, 0o777);
    test_box
        .isolate(&["--init"])
        .assert_refused(2, "is writable for everybody");
    fs::set_permissions(test_box.root(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(test_box.root(), Some(1234), None).unwrap();
    test_box
        .isolate(&["--init"])
        .assert_refused(2, "does not belong");
    chown(test_box.root(), Some(0), None).unwrap();
    test_box.init();
}
