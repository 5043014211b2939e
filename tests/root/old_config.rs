//! Machines with a configuration file of isolate (`key = value`) and no TOML.

use crate::support;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Output, TestBox, binary, finish};

/// Runs the program on a machine with these files below /etc and /usr/local/etc, which are empty otherwise.
/// Directories are made as needed.
fn on_machine(test_box: &TestBox, files: &[(&str, &str)], args: &[&str]) -> Output {
    let mut script = String::from(
        "set -e\nmount -t tmpfs none /etc\nmount -t tmpfs none /usr/local\nmkdir /usr/local/etc\n\
         [ ! -d /usr/lib/isolate ] || mount -t tmpfs none /usr/lib/isolate\n",
    );
    for (number, (path, text)) in files.iter().enumerate() {
        let copy = test_box.dir().join(format!("file-{number}"));
        fs::write(&copy, text).unwrap();
        script += &format!("mkdir -p $(dirname {path})\ncp {} {path}\n", copy.display());
    }
    script += "exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "/bin/sh",
            "-c",
            &script,
            "sh",
        ])
        .arg(binary())
        .args(args);
    finish(command)
}

/// What isolate would have in its configuration to use the directories and ids of this box.
fn old_text(test_box: &TestBox) -> String {
    format!(
        "# The boxes of a test\n\
         box_root = {}\n\
         lock_root = {}\n\
         cg_root = auto:/run/isolate/cgroup\n\
         first_uid = {uid}\n\
         first_gid = {uid}\n\
         num_boxes = {}\n",
        test_box.root().display(),
        test_box.locks().display(),
        test_box.id() + support::BOXES,
        uid = test_box.first_uid() - test_box.id(),
    )
}

/// The lines of `--check-config` that are no comments, without the comments at their ends.
fn values(output: &Output) -> Vec<String> {
    output.assert_success();
    let lines = output.stdout.lines();
    let values = lines.map(|line| line.split('#').next().unwrap().trim().to_owned());
    values.filter(|value| !value.is_empty()).collect()
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_old_file_is_read_and_shown_with_its_lines() {
    let test_box = TestBox::new();
    let text = old_text(&test_box);
    let output = on_machine(&test_box, &[("/etc/isolate", &text)], &["--check-config"]);
    output.assert_success();
    let root = test_box.root();
    for line in [
        "# read: /etc/isolate".to_owned(),
        format!("root = \"{}\" # /etc/isolate:2", root.display()),
        "manager = \"auto\" # default".to_owned(),
        "only_root_inits = false # default".to_owned(),
    ] {
        assert!(
            output.stdout.lines().any(|other| other == line),
            "{line}: {output:?}"
        );
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_is_made_used_and_removed_with_the_old_file_alone() {
    let test_box = TestBox::new();
    let text = old_text(&test_box);
    let id = format!("--box-id={}", test_box.id());
    let call = |args: &[&str]| {
        let args = [&[id.as_str()][..], args].concat();
        on_machine(&test_box, &[("/usr/local/etc/isolate", &text)], &args)
    };
    let init = call(&["--init"]);
    init.assert_success();
    let path = PathBuf::from(init.stdout.trim_end());
    assert_eq!(path, test_box.root().join(test_box.id().to_string()));
    let run = call(&["--run", "--", "/usr/bin/id", "-u"]);
    assert_eq!(
        (run.code, run.stdout),
        (0, format!("{}\n", test_box.uid())),
        "{}",
        run.stderr
    );
    call(&["--cleanup"]).assert_silent_success();
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_first_file_counts_and_any_toml_comes_before_it() {
    let test_box = TestBox::new();
    let check = |files: &[(&str, &str)], expected: &str| {
        let output = on_machine(&test_box, files, &["--check-config"]);
        output.assert_success();
        assert!(output.stdout.contains(expected), "{expected}: {output:?}");
    };
    let other = ("/usr/local/etc/isolate", "num_boxes = 22\n");
    check(&[], "# no configuration file");
    check(&[other], "count = 22 # /usr/local/etc/isolate:1");
    check(
        &[other, ("/etc/isolate", "num_boxes = 33\n")],
        "count = 33 # /etc/isolate:1",
    );
    // A directory of that name is our own, with a configuration in it or without.
    check(&[other, ("/etc/isolate/notes", "")], "count = 22 # /usr/");
    check(
        &[other, ("/etc/isolate/isolate.toml", "")],
        "count = 1000 #",
    );
    check(
        &[other, ("/etc/isolate/isolate.toml.d/a.toml", "")],
        "count = 1000 # default",
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn nothing_is_done_with_a_wrong_old_file() {
    let test_box = TestBox::new();
    let wrong = |text: &str, args: &[&str], code: i32, expected: &str| {
        let text = old_text(&test_box) + text;
        on_machine(&test_box, &[("/etc/isolate", &text)], args).assert_refused(code, expected);
    };
    for (text, expected) in [
        ("color = red\n", "/etc/isolate:8: color: unknown key; "),
        ("num_boxes = -5\n", "/etc/isolate:8: num_boxes: '-5' is out"),
        ("\nbox_root\n", "/etc/isolate:9: 'box_root' has no '='; "),
        (
            "box_root = a\n",
            "/etc/isolate:8: box_root: 'a' cannot be used; ",
        ),
        (
            "box3.cpus = all\n",
            "/etc/isolate:8: box3.cpus: 'all' is no list; ",
        ),
        (
            "subid_user = isolate\n",
            "/etc/isolate:8: subid_user: stands beside boxes.first_uid at /etc/isolate:5; ",
        ),
    ] {
        wrong(text, &["--check-config"], 2, expected);
        wrong(text, &["--init"], 2, expected);
        wrong(text, &["exec", "/bin/true"], 125, expected);
    }
    assert!(!test_box.root().exists() && !test_box.locks().exists());
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_is_imported_holds_as_the_old_file_does() {
    let test_box = TestBox::new();
    let text = old_text(&test_box)
        + "syscall_flags = 27\nrestricted_init = 1\nbox1.cpus = 0\nbox3.mems = 0\ncg_parent = x\n";
    let old = ("/etc/isolate", text.as_str());
    let imported = on_machine(&test_box, &[old], &["config", "import", "/etc/isolate"]);
    imported.assert_success();
    assert!(
        imported.stdout.contains("# line 2, box_root\n"),
        "{imported:?}"
    );
    assert!(
        imported.stdout.contains("line 12, cg_parent: "),
        "{imported:?}"
    );
    let toml = ("/etc/isolate/isolate.toml", imported.stdout.as_str());
    let [old, new] = [old, toml].map(|file| on_machine(&test_box, &[file], &["--check-config"]));
    assert_eq!(values(&old), values(&new));
    assert!(old.stdout.contains("# /etc/isolate:8\n"), "{old:?}");
}
