//! `container-init`, the first process of a PID namespace, without cgroups.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{Output, TestBox, binary, finish, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The program in a PID namespace of its own, or not.
fn command(test_box: &TestBox, is_first: bool, words: &[&str]) -> Command {
    let mut command = match is_first {
        true => {
            let mut unshare = Command::new("unshare");
            unshare.args(["--pid", "--mount-proc", "--fork", "--kill-child"]);
            unshare.arg(binary());
            unshare
        }
        false => Command::new(binary()),
    };
    let config = test_box.config_file();
    command.arg("container-init").arg("--config").arg(config);
    command.arg("--").args(words);
    command
}

fn shell(test_box: &TestBox, is_first: bool, script: &str) -> Output {
    finish(command(test_box, is_first, &["/bin/sh", "-c", script]))
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_exit_code_is_the_programs_and_says_when_there_is_none() {
    let test_box = TestBox::new();
    for is_first in [true, false] {
        assert_eq!(shell(&test_box, is_first, "exit 77").code, 77);
        assert_eq!(shell(&test_box, is_first, "kill -KILL $$").code, 137);
        let absent = finish(command(&test_box, is_first, &["absent-program"]));
        assert_eq!(absent.code, 127, "{absent:?}");
        assert!(absent.stderr.contains("cannot run 'absent-program'"));
        let directory = finish(command(&test_box, is_first, &["/etc"]));
        assert_eq!(directory.code, 126, "{directory:?}");
    }
    let absent = Command::new(binary())
        .args(["container-init", "--config=/absent", "true"])
        .output();
    assert_eq!(absent.unwrap().status.code(), Some(125));
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_program_has_the_signals_of_a_fresh_process_and_a_group_of_its_own() {
    let test_box = TestBox::new();
    let output = shell(
        &test_box,
        true,
        "grep -E 'Sig(Blk|Ign)' /proc/self/status; cat /proc/$$/stat",
    );
    let mut lines = output.stdout.lines();
    for name in ["SigBlk:", "SigIgn:"] {
        let line = lines.next().unwrap();
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            [name, "0000000000000000"]
        );
    }
    let stat: Vec<_> = lines.next().unwrap().split(' ').collect();
    assert_eq!((stat[3], stat[0]), ("1", stat[4]), "{stat:?}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn signals_are_passed_on() {
    let test_box = TestBox::new();
    let started = test_box.dir().join("started");
    for signal in [
        "TERM", "INT", "HUP", "USR1", "USR2", "QUIT", "WINCH", "CONT",
    ] {
        drop(fs::remove_file(&started));
        let script = format!(
            "trap 'exit 9' {signal}; : >{}; while :; do sleep 0.05; done",
            started.display()
        );
        let mut child = command(&test_box, false, &["/bin/sh", "-c", &script]);
        let mut child: Child = child.stdin(Stdio::null()).spawn().unwrap();
        wait_until("the program listens", || started.exists());
        let number: Signal = format!("SIG{signal}").parse().unwrap();
        kill(Pid::from_raw(child.id().try_into().unwrap()), number).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(9), "{signal}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn orphans_are_reaped_while_the_program_runs_and_killed_when_it_has_ended() {
    let test_box = TestBox::new();
    let left = test_box.dir().join("left");
    for is_first in [true, false] {
        // Each of three processes has lost its parent.
        let script = format!(
            "for i in 1 2 3; do sh -c 'true & :'; done; sleep 0.3; \
             ls -d /proc/[0-9]* | wc -l; sh -c 'sleep 600 & echo $! >{}'; exit 5",
            left.display()
        );
        let output = shell(&test_box, is_first, &script);
        assert_eq!(output.code, 5, "{output:?}");
        if is_first {
            // This process, the shell, ls, and wc if it is there by then.
            let count: u32 = output.stdout.trim().parse().unwrap();
            assert!((3..=4).contains(&count), "{output:?}");
        } else {
            let pid = fs::read_to_string(&left).unwrap();
            let pid = pid.trim();
            assert!(!Path::new("/proc").join(pid).exists(), "{pid} is left");
        }
    }
}
