//! Configurations: what is wrong with one is said with file and line, and nothing runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use crate::support::{Output, TestBox, binary, finish};

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
    for (text, line, key) in [
        ("[boxes]\nroot = 5\n", 2, "boxes.root: "),
        ("[boxes]\n\ncolor = 'red'\n", 3, "boxes.color"),
        ("[nonsense]\n", 1, "nonsense"),
        ("[boxes]\ncount = 0\n", 2, "boxes.count: "),
        ("[boxes]\nroot = 'relative'\n", 2, "boxes.root: "),
        ("[boxes]\nroot = '/a/../b'\n", 2, "boxes.root: "),
        ("[boxes]\nfirst_uid = -1\n", 2, "boxes.first_uid: "),
        ("[boxes\n", 1, ""),
        ("[cgroup]\nmanager = 'other'\n", 2, "cgroup.manager: "),
        ("[cgroup]\nslice = 'a/b'\n", 2, "cgroup.slice: "),
        ("[defaults]\ntime = 'soon'\n", 2, "defaults.time: "),
        ("[defaults]\ncore = 'unlimited'\n", 2, "defaults.core: "),
        ("[directories]\nrules = ['a:b']\n", 2, "directories.rules"),
        ("[syscalls]\ndeny = ['fork']\n", 2, "syscalls.deny"),
        ("[[pin]]\nboxes = 1\n", 1, "pin"),
    ] {
        let (test_box, output) = check(text);
        let path = test_box.config_file().display().to_string();
        // In its line where somebody looks at the configuration, and on one line for everybody else.
        let said = output.stderr.contains(&format!("{path}:{line}:"));
        assert!(
            output.code == 2 && output.stdout.is_empty() && said,
            "{output:?}"
        );
        assert!(output.stderr.starts_with("error: "), "{output:?}");
        assert!(output.stderr.contains(key), "{output:?}");
        assert!(
            output.stderr.lines().nth(4).unwrap().contains('^'),
            "{output:?}"
        );
        let run = test_box.isolate(&["--run", "--", "/bin/true"]);
        run.assert_refused(2, &format!("{path}:{line}: {key}"));
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
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

/// Runs a script on a machine whose /etc, /run and /usr/local are empty; `$1` is the program.
fn on_empty_machine(script: &str) -> Output {
    let prelude = "set -e\nmount -t tmpfs none /etc\nmount -t tmpfs none /run\nmount -t tmpfs none /usr/local\n\
                   [ ! -d /usr/lib/isolate ] || mount -t tmpfs none /usr/lib/isolate\n\
                   mkdir -p /usr/local/etc /etc/isolate/isolate.toml.d /run/isolate/isolate.toml.d\n\
                   cd /etc/isolate\n";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "/bin/sh", "-c"]);
    command
        .arg(format!("{prelude}{script}"))
        .arg("sh")
        .arg(binary());
    finish(command)
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_key_is_set_in_a_drop_in_and_holds_at_once() {
    let output = on_empty_machine(
        "\"$1\" config set boxes.count 5\n\"$1\" config get boxes.count\n\
         \"$1\" config set --drop-in 60-more log.runs none\ncat isolate.toml.d/60-more.toml\n\
         ls -A . isolate.toml.d\nstat -c %a isolate.toml.d/50-set.toml\n\
         \"$1\" config unset boxes.count\n",
    );
    output.assert_success();
    let expected = "boxes.count = 5 # /etc/isolate/isolate.toml.d/50-set.toml:3\n5\n\
        log.runs = \"none\" # /etc/isolate/isolate.toml.d/60-more.toml:3\n\
        # Written by isolate-run config set; comments and lines of your own stay.\n\
        [log]\nruns = \"none\"\n\
        .:\nisolate.toml.d\n\nisolate.toml.d:\n50-set.toml\n60-more.toml\n644\n\
        boxes.count = 1000 # default\n";
    assert_eq!(output.stdout, expected);
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_would_have_no_effect_or_end_another_configuration_is_not_set() {
    let set = |before: &str| {
        let output = on_empty_machine(&format!("{before}\n\"$1\" config set boxes.count 5\n"));
        assert_eq!(output.stdout, "", "{output:?}");
        output
    };
    set("echo boxes.count=6 >isolate.toml.d/70-x.toml").assert_refused(
        2,
        "boxes.count in /etc/isolate/isolate.toml.d/50-set.toml would have no effect: /etc/isolate/isolate.toml.d/70-x.toml:1 counts later",
    );
    set("echo boxes.count=6 >/run/isolate/isolate.toml.d/70-x.toml")
        .assert_refused(2, "/run/isolate/isolate.toml.d/70-x.toml:1 counts later");
    set("ln -s /dev/null isolate.toml.d/50-set.toml").assert_refused(2, "50-set.toml is masked");
    set("rm -r /etc/isolate\necho num_boxes=9 >/etc/isolate")
        .assert_refused(2, "/etc/isolate is in force, the configuration of isolate");
    set("echo num_boxes=9 >/usr/local/etc/isolate")
        .assert_refused(2, "/usr/local/etc/isolate is in force");
    let broken = set("echo x >isolate.toml.d/10-x.toml");
    assert!(
        broken
            .stderr
            .contains("--> /etc/isolate/isolate.toml.d/10-x.toml:1"),
        "{broken:?}"
    );
    // What is hidden by the file that is written says nothing.
    let over = "echo boxes.count=6 >/run/isolate/isolate.toml.d/50-set.toml\n\"$1\" config set boxes.count 5";
    on_empty_machine(over).assert_success();
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_main_file_and_drop_ins_are_edited_and_isolates_file_is_brought_over() {
    let output = on_empty_machine(
        "export EDITOR='sed -i s/#count/count/'\n\"$1\" config edit\n\
         EDITOR=\"sed -i '\\$aboxes.first_uid=70000'\" \"$1\" config edit --drop-in 80-ids\n\
         cat isolate.toml.d/80-ids.toml | tail -1\n\"$1\" config diff || echo $?\n\
         grep -c '^count = 1000' isolate.toml",
    );
    output.assert_success();
    let expected = "/etc/isolate/isolate.toml is changed; runs that begin from now on have it.\n\
        /etc/isolate/isolate.toml.d/80-ids.toml is changed; runs that begin from now on have it.\n\
        boxes.first_uid=70000\n\
        -boxes.first_uid = 60000\n+boxes.first_uid = 70000 # /etc/isolate/isolate.toml.d/80-ids.toml:2\n1\n1\n";
    assert_eq!(output.stdout, expected);
    let two = on_empty_machine(
        "echo x >isolate.toml\necho y >isolate.toml.d/1.toml\nexport EDITOR='sed -i d'\n\
         EDITOR='sed -i s/x/#x/' \"$1\" config edit || echo $?\n\
         EDITOR='sed -i s/y/#y/' \"$1\" config edit --drop-in 1\n\"$1\" config diff",
    );
    two.assert_success();
    assert!(
        two.stderr.contains(
            "isolate.toml is changed, but nothing runs until this is mended, too:\nerror: "
        ),
        "{two:?}"
    );
    let imported =
        on_empty_machine("echo num_boxes=9 >/usr/local/etc/isolate\n\"$1\" config import");
    imported.assert_success();
    assert!(
        imported.stdout.contains("count = 9 # line 1, num_boxes\n"),
        "{imported:?}"
    );
    on_empty_machine("\"$1\" config import")
        .assert_refused(2, "isolate has no configuration there");
}
