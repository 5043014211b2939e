//! `exec` and `--box-id=auto` for users who come by the broker.

use std::fs;

use crate::support::systemd::{same_for_both, user_box};
use crate::support::{ALICE, BOXES, Meta, Started, entries, finish, finish_with_input, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_exit_code_is_the_programs_or_says_what_became_of_it() {
    for (options, words, code, said) in [
        (&[][..], "exit 0", 0, "isolate-run: ok; CPU "),
        (&[], "exit 77", 77, "isolate-run: exited with code 77; CPU "),
        (
            &[],
            "exit 124",
            124,
            "isolate-run: exited with code 124; CPU ",
        ),
        (
            &[],
            "kill -11 $$",
            139,
            "isolate-run: killed by signal 11 (SIGSEGV)",
        ),
        (
            &["-w0.3"],
            "sleep 600",
            124,
            "isolate-run: wall time limit exceeded",
        ),
        (
            &["-t0.2"],
            "while :; do :; done",
            124,
            "isolate-run: CPU time limit exceeded",
        ),
        (
            &["-c", "absent"],
            "exit 0",
            125,
            "cannot change directory to 'absent'",
        ),
        (
            &["-d", "x=/no/such"],
            "exit 0",
            125,
            "cannot bind '/no/such' on 'x'",
        ),
        (&["-s"], "exit 9", 9, ""),
    ] {
        let found = same_for_both(|test_box| {
            let args = [options, &["/bin/sh", "-c", words]].concat();
            let output = test_box.exec(&args);
            assert!(output.stderr.contains(said), "{output:?}");
            test_box.assert_gone();
            (output.code, output.stdout, output.stderr.lines().count())
        });
        let lines = usize::from(!said.is_empty()) + usize::from(code == 139);
        assert_eq!(found, (code, String::new(), lines), "{words}");
    }
    let absent = same_for_both(|test_box| test_box.exec(&["-s", "no-such-program"]).code);
    assert_eq!(absent, 127);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn streams_search_path_and_environment_are_as_for_root() {
    let found = same_for_both(|test_box| {
        let mut command = test_box.exec_command(&["-s", "sort", "-r"]);
        command.env("PATH", "/nowhere:/usr/bin:/bin");
        let sorted = finish_with_input(command, b"1\n2\n");
        let env = test_box.exec(&["-s", "-EX=1", "env"]);
        let mut env: Vec<_> = env.stdout.lines().map(str::to_owned).collect();
        env.sort();
        let elsewhere = test_box.exec(&["-EPATH=/nowhere", "env"]).code;
        (sorted.code, sorted.stdout, env, elsewhere)
    });
    assert_eq!((found.0, &*found.1, found.3), (0, "2\n1\n", 127));
    let path = "PATH=/usr/local/bin:/usr/bin:/bin";
    assert_eq!(found.2, ["HOME=/box", "LIBC_FATAL_STDERR_=1", path, "X=1"]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_meta_file_is_as_that_of_a_run_and_the_callers() {
    let test_box = user_box();
    let dir = test_box.make_dir("private", ALICE, 0o700);
    let option = format!("--meta={}", dir.join("meta").display());
    let output = test_box.exec(&[&*option, "/bin/sh", "-c", "exit 4"]);
    assert_eq!(output.code, 4, "{output:?}");
    let meta = Meta::parse(&fs::read_to_string(dir.join("meta")).unwrap());
    assert_eq!(meta.get("message"), Some("Exited with error status 4"));
    let refused = test_box.exec(&["--meta=/etc/meta", "/bin/true"]);
    refused.assert_refused(125, "Permission denied");
    test_box.assert_gone();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn files_repetitions_and_kept_boxes_are_as_for_root() {
    let found = same_for_both(|test_box| {
        let dir = test_box.make_dir("files", ALICE, 0o777);
        fs::write(dir.join("script"), "cat > result; echo done").unwrap();
        let in_dir = |args: &[&str]| {
            let mut command = test_box.exec_command(args);
            command.current_dir(&dir);
            finish_with_input(command, b"text")
        };
        let copied = in_dir(&["-s", "--in=script", "--out=result", "sh", "script"]);
        let result = fs::read_to_string(dir.join("result")).unwrap();
        fs::remove_file(dir.join("result")).unwrap();
        let repeated = in_dir(&["--repeat=3", "--in=script", "sh", "script"]);
        assert!(repeated.stderr.contains("3 runs, all ok"), "{repeated:?}");
        let kept = in_dir(&["--keep", "sh", "-c", "cat > file"]);
        let id = kept.stderr.split("kept box ").nth(1).unwrap();
        let id = id.split(':').next().unwrap().to_owned();
        let entered = in_dir(&["-s", "--keep", "--box-id", &id, "cat", "file"]);
        let mut cleanup = test_box.isolate_command(&["--cleanup", "--box-id", &id]);
        cleanup.current_dir("/");
        finish(cleanup).assert_silent_success();
        test_box.assert_gone();
        (
            copied.code,
            copied.stdout,
            result,
            repeated.stdout,
            entered.stdout,
        )
    });
    let (done, text) = ("done\n".to_owned(), "text".to_owned());
    assert_eq!(found, (0, done.clone(), text.clone(), done, text));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_box_by_itself_is_a_free_one_and_named() {
    let test_box = user_box();
    let mut made = Vec::new();
    for _ in 0..3 {
        let mut command = test_box.broker().command(ALICE);
        command.args(["--box-id=auto", "--init"]);
        let output = finish(command);
        output.assert_success();
        let path = output.stdout.trim_end().to_owned();
        assert!(fs::metadata(&path).is_ok(), "{output:?}");
        made.push(path);
    }
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 3, "each another one");
    for path in made {
        let id = path.rsplit('/').next().unwrap().to_owned();
        let mut command = test_box.broker().command(ALICE);
        command.args([&format!("--box-id={id}"), "--cleanup"]);
        finish(command).assert_silent_success();
    }
    test_box.assert_gone();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn as_many_as_there_are_boxes_run_at_the_same_time_and_one_more_does_not() {
    let test_box = user_box();
    let go = test_box.make_dir("wait", 0, 0o755);
    let rule = format!("--dir=wait={}", go.display());
    let script = "while [ ! -e /wait/go ]; do sleep 0.1; done; exit 7";
    let start = || {
        let command = test_box.exec_command(&[&*rule, "-s", "/bin/sh", "-c", script]);
        Started::new(command, Some(b""))
    };
    let free = usize::try_from(test_box.id() + BOXES).unwrap();
    let at_once = free.min(6);
    let mut running: Vec<_> = (0..at_once).map(|_| start()).collect();
    let boxes = || entries(&test_box.root()).count();
    wait_until("all of them have boxes", || boxes() == at_once);
    assert!(running.iter_mut().all(Started::is_running));
    fs::write(go.join("go"), "").unwrap();
    for one in running {
        assert_eq!(one.finish().code, 7);
    }
    test_box.assert_gone();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_signal_ends_it_and_a_kill_of_the_callers_process_does_too_and_the_box_is_free_again() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        let test_box = user_box();
        let id = format!("--box-id={}", test_box.id());
        let command = test_box.exec_command(&[&*id, "sleep", "600"]);
        let running = Started::new(command, Some(b""));
        let is_there = || !test_box.processes().is_empty();
        wait_until("the program runs", is_there);
        kill(Pid::from_raw(running.pid()), signal).unwrap();
        let output = running.finish();
        match signal {
            Signal::SIGKILL => assert_eq!(output.code, -9),
            _ => assert_eq!(output.code, 128 + signal as i32, "{output:?}"),
        }
        wait_until("nothing is left", || {
            entries(&test_box.root()).count() == 0 && !is_there()
        });
        assert_eq!(test_box.exec(&["-s", "true"]).code, 0);
        test_box.assert_gone();
    }
}
