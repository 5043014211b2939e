//! A program that never began: the report and the line of `exec` say why and what to do; what isolate's clients read
//! stays as it is.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::sys::stat::Mode;
use serde_json::Value;

use crate::support::{Run, TestBox};

/// Runs a program in the box; returns what isolate's clients see, and the report.
fn run(test_box: &TestBox, options: &[&str], argv: &[&str]) -> (Run, Value) {
    let report = test_box.out().join("report");
    let option = format!("--report={}", report.display());
    let run = test_box
        .command(argv)
        .options(&[&*option])
        .options(options)
        .run();
    let report = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    (run, report)
}

/// Makes a file in the box.
fn file(test_box: &TestBox, name: &str, content: &[u8], mode: u32) {
    let path = test_box.inside().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_report_says_why_and_isolates_contract_is_what_it_was() {
    let test_box = TestBox::new();
    test_box.init();
    file(&test_box, "data", b"hello\n", 0o755);
    file(&test_box, "plain", b"#!/bin/sh\n", 0o644);
    file(&test_box, "script", b"#!/opt/none/python\n", 0o755);
    file(&test_box, "windows", b"#!/bin/sh\r\n", 0o755);
    file(&test_box, "arm", &arm_program(), 0o755);
    let program = |name: &str| format!("/box/{name}");
    for (name, errno, said) in [
        (
            "true",
            "No such file or directory",
            "--run does not look along PATH",
        ),
        (
            "./absent",
            "No such file or directory",
            "'/box/absent' does not exist in the sandbox",
        ),
        ("/opt/none/x", "No such file or directory", "--dir=opt"),
        (
            &program("data"),
            "Exec format error",
            "neither an ELF program nor a script",
        ),
        (
            "./plain",
            "Permission denied",
            "whose mode is 0644: chmod a+rx",
        ),
        (
            "./script",
            "No such file or directory",
            "'/opt/none/python' as the interpreter",
        ),
        ("./windows", "No such file or directory", "carriage return"),
        ("./arm", "Exec format error", "ARM of 64 bits"),
        ("/usr", "Permission denied", "'/usr' is a directory"),
        ("./data/x", "Not a directory", "'/box/data' is no directory"),
        ("", "No such file or directory", "its name is empty"),
    ] {
        let (run, report) = run(&test_box, &[], &[name]);
        run.assert_verdict(1, "RE", "Exited with error status 127");
        assert_eq!(run.meta.get("exitcode"), Some("127"));
        let printed = format!("execve(\"{name}\"): {errno}\nExited with error status 127\n");
        assert_eq!(run.stderr, printed);
        let told = (&report["verdict"], &report["status"], &report["message"]);
        let wanted = (
            "not_started".into(),
            "RE".into(),
            "Exited with error status 127".into(),
        );
        assert_eq!(told, (&wanted.0, &wanted.1, &wanted.2), "{report}");
        let reason = report["reason"].as_str().unwrap();
        assert!(reason.contains(said), "{name}: {reason}");
        for absent in ["/exit_code", "/figures", "/stages/begun_us"] {
            assert_eq!(report.pointer(absent), None, "{report}");
        }
    }
    // A program's own 127 is one.
    let (own, report) = run(&test_box, &[], &["/bin/sh", "-c", "exit 127"]);
    own.assert_verdict(1, "RE", "Exited with error status 127");
    assert_eq!(report["verdict"], "exit_code");
    assert_eq!(report["exit_code"], 127);
    assert_eq!(report.pointer("/reason"), None);
}

/// The header of a program for another machine.
fn arm_program() -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..6].copy_from_slice(b"\x7fELF\x02\x01");
    header[16] = 2;
    header[18] = 183;
    header
}

#[test]
#[ignore = "needs root: tests/run"]
fn exec_says_in_one_line_what_to_do() {
    let test_box = TestBox::new();
    let links = test_box.out().join("links");
    fs::create_dir(&links).unwrap();
    symlink("/opt/none/bin/tool", links.join("tool")).unwrap();
    fs::set_permissions(&links, fs::Permissions::from_mode(0o755)).unwrap();
    let rule = format!("l={}", links.display());
    for (options, program, said) in [
        (
            &[][..],
            "./sum",
            "--dir=src=\"$PWD\" shows it as /src, and /src/sum is the program then",
        ),
        (
            &[],
            "no-such-program",
            "no such program in /usr/local/bin, /usr/bin, /bin; -E PATH=",
        ),
        (
            &["-d", &rule, "-E", "PATH=/usr/bin:/l"],
            "tool",
            "'/l/tool' is a symbolic link to '/opt/none/bin/tool', and '/opt' does not exist in the sandbox; if it exists \
          outside, --dir=opt/none/bin shows the directory",
        ),
    ] {
        let output = test_box.exec(&[options, &[program]].concat());
        assert_eq!((output.code, &*output.stdout), (127, ""), "{output:?}");
        let begins = format!("isolate-run: not started: cannot execute '{program}': ");
        assert!(
            output.stderr.starts_with(&begins) && output.stderr.contains(said),
            "{output:?}"
        );
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    }
    let silent = test_box.exec(&["-s", "./sum"]);
    assert_eq!(
        silent.stderr,
        "execve(\"./sum\"): No such file or directory\n"
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_directory_that_forbids_programs_is_named() {
    let test_box = TestBox::new();
    let dir = test_box.out().join("d");
    fs::create_dir(&dir).unwrap();
    fs::copy("/bin/true", dir.join("true")).unwrap();
    let rule = format!("--dir=d={}:noexec", dir.display());
    let (refused, report) = run(&test_box, &[&rule], &["/d/true"]);
    refused.assert_verdict(1, "RE", "Exited with error status 127");
    let reason = report["reason"].as_str().unwrap();
    assert!(
        reason.contains("the directory rule for 'd' has the option noexec"),
        "{reason}"
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_fifo_that_nobody_opens_is_told_as_such_and_not_as_the_programs_time() {
    let test_box = TestBox::new();
    let dir = test_box.out().join("fifos");
    fs::create_dir(&dir).unwrap();
    make_fifo(&dir.join("fifo"));
    let rule = format!("--dir=f={}:rw", dir.display());
    for (option, said) in [
        ("--stdin=/f/fifo", "standard input '/f/fifo'"),
        ("--stdout=/f/fifo", "standard output '/f/fifo'"),
        ("--stderr=/f/fifo", "standard error '/f/fifo'"),
    ] {
        let (waited, report) = run(&test_box, &[&rule, option, "-w0.2"], &["/bin/true"]);
        waited.assert_verdict(1, "TO", "Time limit exceeded (wall clock)");
        assert_eq!(report["verdict"], "not_started", "{report}");
        assert_eq!(report["status"], "TO");
        let reason = report["reason"].as_str().unwrap();
        assert!(reason.contains(said) && reason.contains("FIFO"), "{reason}");
        assert_eq!(report.pointer("/stages/begun_us"), None);
    }
    let (slept, report) = run(&test_box, &["-w0.2"], &["/bin/sleep", "1000"]);
    slept.assert_verdict(1, "TO", "Time limit exceeded (wall clock)");
    assert_eq!(report["verdict"], "wall_time_limit");
    assert!(report.pointer("/stages/begun_us").is_some());
}

fn make_fifo(path: &Path) {
    nix::unistd::mkfifo(path, Mode::S_IRUSR).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
}
