//! Judges that run in control-group mode, each with its own command lines, step by step.

use crate::support;
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom};

use crate::support::clients::both_modes::{COMPILER, SOURCE, broccoli, cafe_grader, taskgrader};
use crate::support::clients::{Client, copy, get, in_box, meta, put, strict, under_both_names};
use crate::support::systemd::{assert_nothing_left, assert_nothing_left_of};
use crate::support::{Started, TestBox, finish, finish_with_input, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn boxes() -> TestBox {
    TestBox::with_manager("systemd")
}

/// It keeps the meta file open from before the run, and interrupts the sandbox when a user gives up.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn kilonova_reads_the_meta_file_that_it_has_open() {
    under_both_names(boxes, |client| {
        let version = client.call("--version");
        let first = version.stdout.lines().next().unwrap();
        let number = first.strip_prefix("The process isolator ").unwrap();
        assert!(number.starts_with(|c: char| c.is_ascii_digit()), "{first}");
        let id = client.id();
        let inside = client
            .init(&format!("--cg --box-id={id} --init"))
            .join("box");
        put(&inside.join("main.src"), SOURCE, 0o644);
        put(&inside.join("compile"), COMPILER, 0o644);
        put(&inside.join("wait"), ": >up; sleep 1000", 0o644);
        put(&inside.join("in"), "30\n3\n", 0o644);
        let path = client.test_box.out().join("kilonova.meta");
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        let mut read = || {
            let mut text = String::new();
            file.seek(SeekFrom::Start(0)).unwrap();
            file.read_to_string(&mut text).unwrap();
            strict(&text, true)
        };
        let line = |streams: &str, program: &str| {
            format!(
                "--box-id={id} --cg --processes --dir=/host=/etc:noexec --dir=/usr/local= --full-env --env=JUDGE=yes \
                 --time=30 --wall-time=60 --cg-mem=524288 {streams} --meta={} --silent --run -- {program}",
                path.display()
            )
        };
        let compile = line(
            "--stdin=/dev/null --stderr-to-stdout",
            "/bin/sh compile main.src main",
        );
        client.call(&compile).assert_silent_success();
        assert_eq!(read().get("exitcode"), Some("0"));
        let run = line(
            "--stdin=/box/in --stdout=/box/out --stderr=/box/err",
            "./main",
        );
        client.call(&run).assert_silent_success();
        assert_eq!(
            (get(&inside.join("out")), get(&inside.join("err"))),
            ("33\n".into(), "2\n".into())
        );
        assert!(read().number("cg-mem") > 0.0);
        let absent = client.call(&line("", "./absent"));
        assert_eq!((absent.code, read().get("exitcode")), (1, Some("127")));
        assert!(
            absent.stderr.starts_with("execve(\"./absent\"): "),
            "{absent:?}"
        );

        let running = Started::new(client.command(&line("", "/bin/sh wait")), Some(b""));
        wait_until("the program runs", || inside.join("up").exists());
        kill(Pid::from_raw(running.pid()), Signal::SIGINT).unwrap();
        let output = running.finish();
        assert_eq!((output.code, &*output.stderr), (1, ""));
        let interrupted = read();
        assert_eq!(interrupted.get("message"), Some("Interrupted"));
        assert_eq!(interrupted.get("exitsig"), Some("2"));
        fs::remove_file(inside.join("up")).unwrap();
        client.cleanup(&format!("--box-id={id} --cg --cleanup"));
        assert_nothing_left(&client.test_box);
    });
}

/// Without a box id: it has box 0. What sandbox and program print is one stream.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn kjudge_judges_in_the_box_that_nobody_names() {
    in_box(0, boxes, |client| {
        let version = client.call("--version");
        assert!(version.code == 0 && version.stdout.contains("The process isolator"));
        let path = client.init("--init --cg");
        assert_eq!(path, client.test_box.root().join("0"));
        let inside = path.join("box");
        put(&inside.join("main.src"), SOURCE, 0o644);
        put(&inside.join("compile"), COMPILER, 0o644);
        let result = client.test_box.out().join("meta.txt");
        let run = |limits: &str, input: &[u8], program: &str| {
            let mut command = client.command(&format!(
                "--cg --run -M {} {limits} -f 262144 -p -s --env=ONLINE_JUDGE=true --env=KJUDGE=true \
                 --cg-mem=524288 -- {program}",
                result.display()
            ));
            command.current_dir(&inside);
            let output = finish_with_input(command, input);
            let meta = meta(&result, true);
            assert!(meta.number("cg-mem") > 0.0 && meta.number("time") >= 0.0);
            assert_eq!(
                meta.get("message").is_some(),
                output.code == 1,
                "{output:?}"
            );
            output
        };
        let limits = "-t 10.0 -w 30.0 -x 10.0";
        run(limits, b"", "/bin/sh compile main.src main").assert_silent_success();
        let output = run(limits, b"1\n5\n", "./main");
        assert_eq!(
            (output.code, &*output.stdout, &*output.stderr),
            (0, "6\n", "2\n")
        );
        let env = run(limits, b"", "/usr/bin/env");
        let mut set: Vec<_> = env.stdout.lines().collect();
        set.sort_unstable();
        assert_eq!(
            set,
            ["KJUDGE=true", "LIBC_FATAL_STDERR_=1", "ONLINE_JUDGE=true"]
        );
        let output = run("-t 1.0 -w 0.5 -x 1.0", b"", "/bin/sleep 1000");
        assert_eq!((output.code, &*output.stderr), (1, ""));
        client.cleanup("--cleanup --cg");
        assert_nothing_left_of(&client.test_box, 0);
    });
}

/// The same box, now in this mode and now in that.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn cafe_grader_goes_from_one_mode_to_the_other() {
    under_both_names(boxes, |client| {
        for cg in [true, false, true] {
            cafe_grader(client, cg);
        }
    });
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn taskgrader_evaluates_a_task() {
    under_both_names(boxes, |client| taskgrader(client, true));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn broccoli_judges() {
    under_both_names(boxes, |client| broccoli(client, true, Some(1234)));
}

/// It tries each mode, and cleans up without saying which. Where a step fails, it runs programs without a sandbox.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_judge_finds_both_modes_each_time_it_tries() {
    under_both_names(boxes, |client| {
        let id = client.id();
        let result = client.test_box.out().join("meta");
        for _ in 0..2 {
            assert_eq!(client.call("--version").code, 0);
            client.init(&format!("--box-id {id} --init"));
            client.cleanup(&format!("--box-id {id} --cleanup"));
            client.init(&format!("--box-id {id} --cg --init"));
            client.cleanup(&format!("--box-id {id} --cleanup"));
        }
        client.init(&format!("--box-id {id} --cg --init"));
        let output = client.call(&format!(
            "--box-id {id} --cg --cg-timing --cg-mem=65536 --meta={} --run -- /bin/true",
            result.display()
        ));
        assert_eq!(
            (output.code, meta(&result, true).get("exitcode")),
            (0, Some("0"))
        );
        client.cleanup(&format!("--box-id {id} --cleanup"));
    });
}

/// rusty-grader and its predecessor: the program is a file in the box, without a slash.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn programming_in_th_grades_by_the_meta_file_alone() {
    under_both_names(boxes, |client| {
        let id = client.id();
        let result = client.test_box.out().join("meta");
        let at = result.display();
        let rust = |limits: &str| {
            format!(
                "-b {id} -M {at} {limits} -i input -o output --processes=128 --cg --cg-mem=32768 \
                 --dir=/etc/alternatives --run -- runner"
            )
        };
        let go = |limits: &str| {
            format!(
                "--cg --cg-timing --processes=128 -b {id} -M {at} {limits} --cg-mem=32768 --dir=etc/alternatives \
                 -i input -o output --run -- runner"
            )
        };
        let lines: [&dyn Fn(&str) -> String; 2] = [&rust, &go];
        for line in lines {
            let inside = client.init(&format!("--init --cg -b {id}")).join("box");
            put(&inside.join("input"), "64\n", 0o644);
            grade(client, &inside, &line);
            client.cleanup(&format!("--cleanup --cg -b {id}"));
        }
        assert_nothing_left(&client.test_box);
    });
}

/// Every verdict that it knows.
fn grade(client: &Client, inside: &std::path::Path, line: &dyn Fn(&str) -> String) {
    let result = client.test_box.out().join("meta");
    let install = |name| copy(&support::program(name), &inside.join("runner"));
    let run = |limits: &str| {
        drop(finish(client.command(&line(limits))));
        let meta = meta(&result, true);
        for key in ["cg-mem", "time", "time-wall"] {
            assert!(meta.number(key) >= 0.0);
        }
        let text = |key| meta.get(key).map(str::to_owned);
        (
            text("status"),
            text("exitcode").or(text("exitsig")),
            text("cg-oom-killed"),
        )
    };
    let some = |text: &str| Some(text.to_owned());
    let limits = "-t 10 -w 25 -x 11";
    put(
        &inside.join("runner"),
        "#!/bin/sh\nread n; echo $((n * n))\n",
        0o755,
    );
    assert_eq!(run(limits), (None, some("0"), None));
    assert_eq!(get(&inside.join("output")), "4096\n");
    install("burn_cpu");
    assert_eq!(run("-t 0.05 -w 5.05 -x 0.01"), (some("TO"), None, None));
    put(&inside.join("runner"), "not a program", 0o755);
    assert_eq!(run(limits), (some("RE"), some("127"), None));
    install("memory_bomb");
    assert_eq!(run(limits), (some("SG"), some("9"), some("1")));
}
