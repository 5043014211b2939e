//! `exec`: init, run and cleanup in one.

use crate::support;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::support::{
    BOXES, FIGURES, Meta, Output, TestBox, finish, finish_with_input, wait_until,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Runs a shell script by exec.
fn shell(test_box: &TestBox, options: &[&str], script: &str) -> Output {
    let words = [options, &["/bin/sh", "-c", script]].concat();
    test_box.exec(&words)
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_exit_code_says_what_became_of_the_program() {
    let test_box = TestBox::new();
    for (options, script, code, words) in [
        (&[][..], "exit 0", 0, "isolate-run: ok; CPU "),
        (&[], "exit 77", 77, "isolate-run: exited with code 77; CPU "),
        (
            &[],
            "kill -11 $$",
            139,
            "isolate-run: killed by signal 11 (SIGSEGV); CPU ",
        ),
        (
            &["-w0.3"],
            "sleep 1000",
            124,
            "isolate-run: wall time limit exceeded; CPU ",
        ),
        (
            &["-t0.2"],
            "while :; do :; done",
            124,
            "isolate-run: CPU time limit exceeded; CPU ",
        ),
        (
            &["-c", "absent"],
            "exit 0",
            125,
            "isolate-run: cannot change directory to 'absent'",
        ),
        (
            &["--cg"],
            "exit 0",
            125,
            "isolate-run: --cg is not possible",
        ),
        (&["--memory=64M"], "exit 0", 125, "needs a control group: "),
        (&["--memory=64M"], "exit 0", 125, "-m SIZE limits"),
        (
            &["-d", "x=/no/such"],
            "exit 0",
            125,
            "cannot bind '/no/such' on 'x'",
        ),
    ] {
        let output = shell(&test_box, options, script);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (code, ""),
            "{output:?}"
        );
        assert!(output.stderr.contains(words), "{output:?}");
        let lines = 1 + usize::from(code == 139);
        assert_eq!(output.stderr.lines().count(), lines, "{output:?}");
        test_box.assert_gone();
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_program_that_cannot_be_executed_ends_with_127() {
    let output = TestBox::new().exec(&["no-such-program"]);
    output.assert_refused(
        127,
        "isolate-run: not started: cannot execute 'no-such-program': ",
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_summary_says_what_was_used_of_what() {
    let test_box = TestBox::new();
    let output = shell(&test_box, &[], "exit 0");
    for part in [
        "; CPU 0.",
        " s, wall 0.",
        ", largest process ",
        "; no limits\n",
    ] {
        assert!(output.stderr.contains(part), "{part}: {output:?}");
    }
    let limited = shell(&test_box, &["-t5", "-w1min"], "exit 0");
    for part in [" s of 5 s, wall 0.", " s of 60 s, largest"] {
        assert!(limited.stderr.contains(part), "{part}: {limited:?}");
    }
    assert!(!limited.stderr.contains("no limits"), "{limited:?}");
    let verbose = shell(&test_box, &["-v"], "exit 0");
    let holder = "held by namespaces and rlimits, no cgroup: [cgroup] manager is none; ";
    assert!(verbose.stderr.contains(holder), "{verbose:?}");
    let coded = shell(&test_box, &["--color=always"], "exit 139");
    let red = "isolate-run: \x1b[31mexited with code 139\x1b[0m; CPU";
    assert!(coded.stderr.contains(red), "{coded:?}");
    assert!(coded.stderr.contains("signal 11 (SIGSEGV)"), "{coded:?}");
    assert!(!output.stderr.contains('\x1b'), "{output:?}");
    let silent = shell(&test_box, &["--silent"], "echo out; exit 3");
    assert_eq!(
        (silent.code, &*silent.stdout, &*silent.stderr),
        (3, "out\n", "")
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_program_is_found_along_path_and_reads_standard_input() {
    let test_box = TestBox::new();
    let output = finish_with_input(test_box.exec_command(&["-s", "sort", "-r"]), b"1\n2\n");
    assert_eq!((output.code, output.stdout.as_str()), (0, "2\n1\n"));
    let env = test_box.exec(&["-s", "env"]);
    let mut found: Vec<_> = env.stdout.lines().collect();
    found.sort_unstable();
    let path = "PATH=/usr/local/bin:/usr/bin:/bin";
    assert_eq!(found, ["HOME=/box", "LIBC_FATAL_STDERR_=1", path]);
    let elsewhere = test_box.exec(&["-EPATH=/nowhere", "env"]);
    assert_eq!(elsewhere.code, 127);
}

#[test]
#[ignore = "needs root: tests/run"]
fn options_after_the_program_are_its_own() {
    let output = TestBox::new().exec(&["-s", "echo", "-t", "--run", "--", "-v"]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, "-t --run -- -v\n")
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn more_than_one_process_is_allowed_by_default() {
    let output = shell(&TestBox::new(), &["-s"], "echo one | cat | cat");
    assert_eq!((output.code, output.stdout.as_str()), (0, "one\n"));
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_meta_file_is_as_that_of_a_run() {
    let test_box = TestBox::new();
    let path = test_box.out().join("meta");
    let option = format!("--meta={}", path.display());
    let output = shell(&test_box, &[&option], "exit 4");
    assert_eq!(output.code, 4);
    let meta = Meta::parse(&fs::read_to_string(&path).unwrap());
    assert_eq!(
        meta.keys(),
        [&FIGURES[..], &["exitcode", "status", "message"]].concat()
    );
    let output = shell(&test_box, &[&option, "-d", "x=/no/such"], "exit 4");
    assert_eq!(output.code, 125);
    let meta = Meta::parse(&fs::read_to_string(&path).unwrap());
    assert_eq!(meta.keys(), ["status", "message"]);
}

#[test]
#[ignore = "needs root: tests/run"]
fn execs_at_the_same_time_get_boxes_of_their_own() {
    let test_box = TestBox::new();
    // All four wait for each other, so that they do run at the same time.
    let meeting = test_box.make_dir("meeting", 0, 0o777);
    let meeting = format!("--dir=meeting={}:rw", meeting.display());
    let script = "id -u; > /box/file; > /meeting/$(id -u); \
                  until set -- /meeting/* && test $# = 4; do sleep 0.1; done; echo /box/*";
    let started: Vec<_> = (0..4)
        .map(|_| {
            let command = test_box.exec_command(&["-s", &meeting, "/bin/sh", "-c", script]);
            std::thread::spawn(move || finish(command))
        })
        .collect();
    let mut uids = BTreeSet::new();
    for one in started {
        let output = one.join().unwrap();
        output.assert_success();
        let (uid, rest) = output.stdout.split_once('\n').unwrap();
        assert_eq!(rest, "/box/file\n");
        uids.insert(uid.to_owned());
    }
    assert_eq!(uids.len(), 4, "{uids:?}");
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_made_by_init_is_neither_taken_nor_touched() {
    let test_box = TestBox::new();
    let first = test_box.id();
    for id in first..first + BOXES {
        let id = id.to_string();
        test_box
            .isolate(&["--box-id", &id, "--init"])
            .assert_success();
    }
    test_box.write("file", "mine");
    let id = first.to_string();
    let refused = test_box.exec(&["--box-id", &id, "/bin/true"]);
    refused.assert_refused(125, &format!("box {id} is in use: it was made by --init"));
    let last = (first + BOXES - 1).to_string();
    let free = |id: &str| test_box.isolate(&["--box-id", id, "--cleanup"]);
    free(&last).assert_success();
    shell(&test_box, &[], "exit 0").assert_success();
    assert_eq!(test_box.read("file"), "mine");
    for id in first..first + BOXES {
        free(&id.to_string()).assert_success();
    }
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_named_box_that_is_free_is_used() {
    let test_box = TestBox::new();
    let id = (test_box.id() + 2).to_string();
    let output = shell(&test_box, &["-s", "--box-id", &id], "id -u");
    assert_eq!(output.stdout, format!("{}\n", test_box.uid() + 2));
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_signal_ends_the_program_and_gives_the_box_back() {
    let test_box = TestBox::new();
    let id = test_box.id().to_string();
    let words = ["--box-id", &id, "/bin/sh", "-c", "sleep 1000 & sleep 1000"];
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut command = test_box.exec_command(&words);
        command.stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        wait_until("the program runs", || test_box.processes().len() >= 2);
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(test_box.processes().is_empty());
        test_box.assert_gone();
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_box_of_a_killed_exec_is_free_again() {
    let test_box = TestBox::new();
    let id = test_box.id().to_string();
    let mut child = test_box.exec_command(&["--box-id", &id, "/bin/sleep", "1000"]);
    let mut child = child.spawn().unwrap();
    wait_until("the program runs", || !test_box.processes().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    let again = shell(&test_box, &["--wait", "-s", "--box-id", &id], "echo *");
    assert_eq!((again.code, again.stdout.as_str()), (0, "*\n"));
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn there_is_no_way_to_have_nothing_to_run() {
    let test_box = TestBox::new();
    test_box
        .exec(&[""])
        .assert_refused(127, "its name is empty");
    let mut bare = Command::new(support::binary());
    bare.arg("exec");
    finish(bare).assert_refused(2, "exec: no program given");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_damaged_box_is_passed_over() {
    let test_box = TestBox::new();
    let last = test_box.id() + support::BOXES - 1;
    let garbage = |id: u32| test_box.locks().join(id.to_string());
    test_box.exec(&["--", "/bin/true"]).assert_success();
    fs::write(garbage(last), "garbage").unwrap();
    fs::remove_file(garbage(last - 1)).ok();
    fs::create_dir(garbage(last - 1)).unwrap();
    fs::write(test_box.root().join((last - 2).to_string()), "").unwrap();
    test_box.exec(&["--", "/bin/true"]).assert_success();
    fs::remove_file(test_box.root().join((last - 2).to_string())).unwrap();
    fs::remove_file(garbage(last)).unwrap();
    fs::remove_dir(garbage(last - 1)).unwrap();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_file_that_the_program_could_not_see_is_told_and_how_it_gets_there() {
    let test_box = TestBox::new();
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("notes"), "hello\n").unwrap();
    let exec = |words: &[&str]| {
        let mut command = test_box.exec_command(words);
        command.current_dir(here.path());
        finish(command)
    };
    let said = exec(&["cat", "notes"]).stderr;
    assert!(said.contains("\n  the program does not see"), "{said}");
    assert!(said.contains("--in=notes copies 'notes'"), "{said}");
    for words in [
        &["--in=notes", "cat", "notes"][..],
        &["--silent", "cat", "notes"],
        &["--json", "cat", "notes"],
        &["cat", "other"],
        &["echo", "notes"],
    ] {
        let said = exec(words).stderr;
        assert!(!said.contains("does not see"), "{words:?}: {said}");
    }
}
