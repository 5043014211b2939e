//! `exec` with files of the caller's, more than once, and boxes that stay.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{Output, TestBox, finish, finish_with_input};

/// Runs `exec` in a directory of its own.
fn exec_in(test_box: &TestBox, args: &[&str], input: &str) -> Output {
    let mut command = test_box.exec_command(args);
    command.current_dir(test_box.out());
    finish_with_input(command, input.as_bytes())
}

#[test]
#[ignore = "needs root: tests/run"]
fn files_are_copied_in_before_and_out_after() {
    let test_box = TestBox::new();
    fs::write(test_box.out().join("script"), "cat > result; echo done").unwrap();
    let args = ["--in", "script", "--out", "result", "sh", "script"];
    let output = exec_in(&test_box, &args, "text");
    assert_eq!((output.code, &*output.stdout), (0, "done\n"), "{output:?}");
    assert_eq!(
        fs::read_to_string(test_box.out().join("result")).unwrap(),
        "text"
    );
    let args = [
        "--in",
        "a/b=script",
        "--out",
        "c=copy",
        "sh",
        "-c",
        "ls a; cp a/b c",
    ];
    let output = exec_in(&test_box, &args, "");
    assert_eq!((output.code, &*output.stdout), (0, "b\n"), "{output:?}");
    let copy = fs::read_to_string(test_box.out().join("copy")).unwrap();
    assert!(copy.starts_with("cat > result"), "{copy}");
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_file_that_is_not_there_is_named_and_the_programs_own_failure_comes_first() {
    let test_box = TestBox::new();
    let missing = exec_in(&test_box, &["--in", "none", "true"], "");
    missing.assert_refused(125, "--in: cannot copy 'none' into the box: No such file");
    let left = exec_in(&test_box, &["--out", "none", "touch", "other"], "");
    left.assert_refused(125, "left no file 'none' in /box, where other is");
    let failed = exec_in(&test_box, &["--out", "none", "sh", "-c", "exit 3"], "");
    failed.assert_refused(3, "left no file 'none' in /box, where nothing is");
    let link = [
        "--out",
        "x",
        "--special-files",
        "ln",
        "-s",
        "/etc/passwd",
        "x",
    ];
    exec_in(&test_box, &link, "").assert_refused(125, "--out: cannot open 'x' in the box");
    assert!(fs::symlink_metadata(test_box.out().join("x")).is_err());
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn runs_are_repeated_in_fresh_boxes_with_the_same_input() {
    let test_box = TestBox::new();
    fs::write(test_box.out().join("script"), "ls; cat; echo more > left").unwrap();
    let args = ["--repeat", "3", "--in", "script", "sh", "script"];
    let output = exec_in(&test_box, &args, "in\n");
    assert_eq!(
        (output.code, &*output.stdout),
        (0, "script\nin\n"),
        "{output:?}"
    );
    let lines: Vec<_> = output.stderr.lines().collect();
    assert_eq!(lines[0], "isolate-run: 3 runs, all ok", "{output:?}");
    for (line, name) in lines[2..].iter().zip(["CPU", "wall", "memory"]) {
        assert!(line.trim_start().starts_with(name), "{output:?}");
    }
    // Each run reads all of it.
    let script = "test \"$(cat)\" = in";
    for stdin in ["in", "in\n"] {
        let args = ["--repeat=4", "--json", "sh", "-c", script];
        let output = exec_in(&test_box, &args, stdin);
        output.assert_success();
        let told: Value = serde_json::from_str(&output.stderr).unwrap();
        assert_eq!(told["runs"], 4);
        assert!(told["cpu_time_us"]["min"].as_f64() > Some(0.0), "{told}");
    }
    let mut from_file = test_box.exec_command(&["--repeat=2", "-s", "sh", "-c", script]);
    fs::write(test_box.out().join("input"), "in").unwrap();
    from_file.stdin(fs::File::open(test_box.out().join("input")).unwrap());
    assert!(from_file.output().unwrap().status.success());
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_first_repeated_run_that_fails_ends_the_others() {
    let test_box = TestBox::new();
    let output = exec_in(&test_box, &["--repeat=5", "sh", "-c", "echo x; exit 7"], "");
    assert_eq!((output.code, &*output.stdout), (7, "x\n"), "{output:?}");
    assert!(
        output.stderr.contains("run 1 of 5: exit code: "),
        "{output:?}"
    );
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_that_is_kept_can_be_entered_and_removed() {
    let test_box = TestBox::new();
    let kept = test_box.exec(&["--keep", "sh", "-c", "echo text > file"]);
    kept.assert_success();
    let words = kept.stderr.split("kept box ").nth(1).unwrap();
    let id = words.split(':').next().unwrap().to_owned();
    assert!(
        kept.stderr.contains(&format!("isolate-run shell {id}\n")),
        "{kept:?}"
    );
    let config = format!("--config={}", test_box.config_file().display());
    let called = |words: &[&str]| {
        let mut command = Command::new(crate::support::binary());
        command.args(words);
        finish(command)
    };
    for words in [
        &["shell", &config, "-s", &id, "--", "cat", "file"][..],
        &["shell", &config, "-s", &id, "cat", "file"],
        &[
            "exec", &config, "-s", "--keep", "--box-id", &id, "cat", "file",
        ],
    ] {
        let output = called(words);
        assert_eq!((output.code, &*output.stdout), (0, "text\n"), "{output:?}");
        assert_eq!(output.stderr, "");
    }
    let taken = called(&["exec", &config, "--box-id", &id, "true"]);
    taken.assert_refused(125, "is in use: it was made by --init");
    called(&[&config, "--box-id", &id, "--cleanup"]).assert_silent_success();
    let gone = called(&["shell", &config, &id]);
    gone.assert_refused(125, &format!("there is no box {id}: "));
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_result_can_be_told_as_json() {
    let test_box = TestBox::new();
    let output = test_box.exec(&["--json", "sh", "-c", "exit 3"]);
    assert_eq!((output.code, &*output.stdout), (3, ""));
    let told: Value = serde_json::from_str(&output.stderr).unwrap();
    assert_eq!(
        (&told["verdict"], &told["exit_code"]),
        (&"exit_code".into(), &3.into())
    );
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn an_interrupted_session_leaves_nothing() {
    use nix::sys::signal::{Signal, kill};
    let test_box = TestBox::new();
    fs::write(test_box.out().join("file"), "").unwrap();
    let mut command = test_box.exec_command(&["--repeat=9", "--in=file", "sleep", "600"]);
    command.current_dir(test_box.out());
    command.stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    crate::support::wait_until("the program runs", || !test_box.processes().is_empty());
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn whoever_waits_for_what_is_to_be_copied_can_be_interrupted() {
    use nix::sys::signal::{Signal, kill};
    let test_box = TestBox::new();
    let fifo = test_box.out().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (args, made) in [
        (["--in=fifo", "true"], Some("fifo")),
        (["--in=zeros=/dev/zero", "true"], Some("zeros")),
        (["--repeat=2", "true"], None),
    ] {
        let mut command = test_box.exec_command(&args);
        command.current_dir(test_box.out());
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        command.stdin(reader);
        command.stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let is_made = |name: &str| {
            let mut boxes = crate::support::entries(&test_box.root());
            boxes.any(|one| one.join("box").join(name).exists())
        };
        // From here on signals are taken over (SigBlk in proc_pid_status(5)).
        let takes_signals = || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
            let blocked = u64::from_str_radix(blocked.unwrap().trim(), 16).unwrap();
            blocked & 1 << (Signal::SIGTERM as i32 - 1) != 0
        };
        crate::support::wait_until("it copies", || made.map_or_else(takes_signals, is_made));
        kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        crate::support::wait_until("it has ended", || child.try_wait().unwrap().is_some());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{args:?}: {said}");
        assert!(said.contains("interrupted"), "{args:?}: {said}");
    }
    test_box.assert_gone();
}
