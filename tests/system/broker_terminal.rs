//! Terminals of users who come by the broker: keys, job control, size and settings, with `--tty-hack` and without.

use std::fs;

use crate::support::systemd::{assert_nothing_left, must, same_for_both, user_box};
use crate::support::{ALICE, Job, Meta, Terminal, TestBox, children_of, wait_until};
use nix::sys::signal::{Signal, kill};

/// What the caller's shell does: it runs the sandbox, and says how that went, and whether the terminal is set as before.
const SCRIPT: &str = "before=$(stty -g); \"$@\"; echo \"status $?\"; [ \"$(stty -g)\" = \"$before\" ] && echo restored";

/// Starts a job on a terminal.
fn on_a_terminal(job: Job, options: &[&str]) -> Terminal {
    let job = job.options(&["-p", "--silent", "--wall-time=500"]);
    Terminal::start(job.options(options), ALICE, SCRIPT)
}

/// The end of the caller's shell: after this exit code of the sandbox, with the terminal set as before.
#[track_caller]
fn assert_restored(mut terminal: Terminal, code: i32) -> String {
    terminal.expect(&format!("status {code}\r\n"));
    terminal.expect("restored\r\n");
    terminal.finish().1
}

fn meta(test_box: &TestBox) -> Meta {
    let text = fs::read_to_string(test_box.out().join("meta")).unwrap();
    Meta::parse(&text)
}

/// A job whose meta file is known by name.
fn shell(test_box: &TestBox, script: &str) -> Job {
    test_box.shell(script).meta(test_box.out().join("meta"))
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn an_interactive_shell_has_job_control() {
    let test_box = user_box();
    let bash = ["/bin/bash", "--norc", "--noediting", "-i"];
    let job = test_box.command(&bash).meta(test_box.out().join("meta"));
    let options = [
        "--tty-hack",
        "-ETERM=dumb",
        "-EPS1=> ",
        "-EPATH=/usr/bin:/bin",
    ];
    let mut terminal = on_a_terminal(job, &options);
    terminal.expect("> ");
    // Once a command prints something, its group is in the foreground.
    let run = |terminal: &mut Terminal, command: &str| {
        terminal.type_in(&format!("sh -c \"echo be''gun; {command}\"\n"));
        terminal.expect("begun\r\n");
    };
    run(&mut terminal, "exec sleep 600");
    terminal.type_in("\x03");
    terminal.type_in("echo \"af\"ter $?\n");
    terminal.expect("after 130\r\n");
    run(&mut terminal, "exec sleep 601");
    terminal.type_in("\x1a");
    terminal.expect("Stopped");
    terminal.type_in("bg; jobs; kill %1; wait; echo do\"ne\"\n");
    terminal.expect("Running");
    terminal.expect("done\r\n");
    run(&mut terminal, "cat | sort -r; echo sor''ted");
    terminal.type_in("1\n2\n\x04");
    terminal.expect("2\r\n1\r\nsorted\r\n");
    terminal.type_in("exit 7\n");
    assert_restored(terminal, 1);
    assert_eq!(meta(&test_box).get("exitcode"), Some("7"));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn with_the_hack_the_terminal_can_be_opened_anew() {
    let test_box = user_box();
    let script = "echo one >/dev/tty; echo two >/proc/self/fd/1; echo three >/dev/stderr; \
                  stat -Lc %u:%a /proc/self/fd/0; read line </dev/stdin; echo \"read $line\"";
    let mut terminal = on_a_terminal(shell(&test_box, script), &["--tty-hack"]);
    terminal.expect("one\r\ntwo\r\nthree\r\n");
    terminal.expect(&format!("{}:600\r\n", test_box.uid()));
    terminal.type_in("typed\n");
    terminal.expect("read typed\r\n");
    assert_restored(terminal, 0);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn with_the_hack_keys_are_the_programs() {
    let found = same_for_both(|test_box| {
        let script = "trap 'echo caught; exit 5' INT; trap 'echo quit' QUIT; echo ready; while :; do sleep 0.1; done";
        let mut terminal = on_a_terminal(shell(test_box, script), &["--tty-hack"]);
        terminal.expect("ready\r\n");
        terminal.type_in("\x1c");
        terminal.expect("quit\r\n");
        terminal.type_in("\x03");
        terminal.expect("caught\r\n");
        assert_restored(terminal, 1);
        meta(test_box).get("exitcode").map(str::to_owned)
    });
    assert_eq!(found.as_deref(), Some("5"));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn without_the_hack_keys_interrupt_the_run() {
    for (key, signal) in [("\x03", "2"), ("\x1c", "3")] {
        let found = same_for_both(|test_box| {
            let script = "trap '' INT QUIT; echo ready; while :; do sleep 0.1; done";
            let job = shell(test_box, script).options(&["--silent", "--wall-time=500"]);
            // The caller's shell gets the signal, too.
            let outside = format!("trap : INT QUIT; {SCRIPT}");
            let mut terminal = Terminal::start(job, ALICE, &outside);
            terminal.expect("ready\r\n");
            terminal.type_in(key);
            assert_restored(terminal, 1);
            let meta = meta(test_box);
            ["message", "exitsig"].map(|key| meta.get(key).map(str::to_owned))
        });
        let expected = ["Interrupted", signal].map(|word| Some(word.to_owned()));
        assert_eq!(found, expected);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_program_learns_the_size_of_the_terminal_and_its_changes() {
    same_for_both(|test_box| {
        let script =
            "trap 'stty size; exit 3' WINCH; stty size; echo ready; while :; do sleep 0.1; done";
        let job = shell(test_box, script);
        let script = format!("stty rows 31 cols 77; {SCRIPT}");
        let job = job.options(&["-p", "--silent", "--wall-time=500", "--tty-hack"]);
        let mut terminal = Terminal::start(job, ALICE, &script);
        terminal.expect("31 77\r\n");
        terminal.expect("ready\r\n");
        must("stty", &["-F", terminal.path(), "rows", "42", "cols", "99"]);
        terminal.expect("42 99\r\n");
        assert_restored(terminal, 1);
    });
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_terminal_is_set_as_before_after_every_ending() {
    let test_box = user_box();
    for (script, options, code) in [
        ("exit 0", &[][..], 0),
        ("stty raw -echo; exit 0", &[], 0),
        ("stty raw -echo; kill -9 $$", &[], 1),
        ("stty raw -echo; sleep 600", &["--wall-time=0.3"], 1),
        ("exit 0", &["--dir=x=/no/such"], 2),
        ("exit 0", &["--stdin=absent"], 2),
    ] {
        let options = [options, &["--tty-hack"]].concat();
        assert_restored(on_a_terminal(shell(&test_box, script), &options), code);
    }
    // What ends the sandbox itself, and what it runs by.
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let job = shell(&test_box, "stty raw -echo; echo ready; sleep 600");
        let mut terminal = on_a_terminal(job, &["--tty-hack"]);
        terminal.expect("ready");
        kill(child_of(&terminal), signal).unwrap();
        assert_restored(terminal, 1);
        assert_eq!(meta(&test_box).get("message"), Some("Interrupted"));
    }
    let job = shell(&test_box, "echo ready; sleep 600");
    let mut terminal = on_a_terminal(job, &["--tty-hack"]);
    terminal.expect("ready");
    must(
        "kill",
        &["-KILL", &test_box.broker().keepers()[0].to_string()],
    );
    let seen = assert_restored(terminal, 2);
    assert!(seen.contains("ended without an answer"), "{seen:?}");
}

/// The one child of the caller's shell: the sandbox.
fn child_of(terminal: &Terminal) -> nix::unistd::Pid {
    let children = children_of(terminal.shell().as_raw());
    let [child] = children[..] else {
        panic!("not one child: {children:?}");
    };
    nix::unistd::Pid::from_raw(child)
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_terminal_that_goes_away_interrupts_the_run() {
    let hung_up = |test_box: &TestBox, options: &[&str]| {
        let script = "trap '' HUP; echo ready; while :; do sleep 0.1; done";
        let mut terminal = on_a_terminal(shell(test_box, script), options);
        terminal.expect("ready");
        terminal.hang_up();
        wait_until("the meta file is there", || {
            let text = fs::read_to_string(test_box.out().join("meta")).unwrap();
            text.contains("message:")
        });
        assert_nothing_left(test_box);
        let meta = meta(test_box);
        ["message", "exitsig"].map(|key| meta.get(key).map(str::to_owned))
    };
    let expected = ["Interrupted", "1"].map(|word| Some(word.to_owned()));
    let found = same_for_both(|test_box| hung_up(test_box, &[]));
    assert_eq!(found, expected);
    // Of root's the kernel tells the program alone, which has the terminal and need not care.
    assert_eq!(hung_up(&user_box(), &["--tty-hack"]), expected);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn much_that_is_printed_arrives_in_its_order_to_the_last_line() {
    let test_box = user_box();
    for _ in 0..3 {
        let job = test_box.command(&["/usr/bin/seq", "30000"]);
        let terminal = on_a_terminal(job, &["--tty-hack"]);
        let (_, seen) = terminal.finish();
        let numbers: Vec<String> = (1..=30000).map(|number| number.to_string()).collect();
        let expected = numbers.join("\r\n") + "\r\nstatus 0\r\nrestored\r\n";
        assert!(
            seen == expected,
            "{} of {} bytes",
            seen.len(),
            expected.len()
        );
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn much_that_is_typed_arrives_when_the_program_reads_late() {
    let lines = 4000;
    let found = same_for_both(|test_box| {
        let script = "stty -echo; echo ready; sleep 1; cat >typed; exit 0";
        let mut terminal = on_a_terminal(shell(test_box, script), &["--tty-hack"]);
        terminal.expect("ready\r\n");
        for number in 0..lines {
            terminal.type_in(&format!("line {number:05} and some more of it\n"));
        }
        terminal.type_in("\x04");
        terminal.expect("status 0\r\n");
        terminal.finish();
        test_box.read("typed").lines().count()
    });
    assert_eq!(found, lines);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn keys_arrive_one_by_one_where_the_program_wants_them_so() {
    same_for_both(|test_box| {
        let script = "stty -icanon -echo min 1; echo ready; key=$(dd bs=1 count=1 2>/dev/null); echo \"got $key\"";
        let mut terminal = on_a_terminal(shell(test_box, script), &["--tty-hack"]);
        terminal.expect("ready\r\n");
        terminal.type_in("x");
        terminal.expect("got x\r\n");
        terminal.expect("status 0\r\n");
        terminal.finish();
    });
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn streams_that_are_no_terminal_stay_what_they_are() {
    let test_box = user_box();
    let out = test_box.out().join("printed");
    let script = format!("\"$@\" >{}; echo \"status $?\"", out.display());
    let ask = "for n in 0 1 2; do [ -t $n ] && echo \"$n is one\"; done; read line; echo \"got $line\"; echo error >&2";
    let job = shell(&test_box, ask).options(&["-p", "--silent", "--tty-hack"]);
    let mut terminal = Terminal::start(job, ALICE, &script);
    terminal.type_in("typed\n");
    terminal.expect("error\r\n");
    terminal.expect("status 0\r\n");
    terminal.finish();
    let printed = fs::read_to_string(out).unwrap();
    assert_eq!(printed, "0 is one\n2 is one\ngot typed\n");
    let without = same_for_both(|test_box| {
        let job = test_box
            .shell("tty; cat")
            .options(&["--tty-hack", "--silent"]);
        let run = job.input("through\n").run();
        (run.assert_ok().stdout.clone(), run.stderr)
    });
    assert_eq!(without.0, "not a tty\nthrough\n");
}
