//! What the program finds around it is the sandbox's and what its caller chose: nothing else of the caller's, and
//! nothing of the broker's.

use std::fs;
use std::process::Command;

use crate::support::systemd::{must, same_for_both, user_box};
use crate::support::{ALICE, TestBox, finish};

/// What `env` prints inside for these options, sorted, when the caller has A=1, B=2 and C= in their environment.
fn environment(test_box: &TestBox, options: &[&str]) -> Vec<String> {
    let job = test_box.command(&["/usr/bin/env"]).options(options);
    let keep = "exec env -i ISOLATE_RUN_BROKER=\"$ISOLATE_RUN_BROKER\" A=1 B=2 C= \"$@\"";
    let run = job.through(keep).run();
    let lines = run.assert_ok().stdout.lines();
    let is_ours = |line: &&str| !line.starts_with("ISOLATE_RUN_BROKER=");
    let mut found: Vec<_> = lines.filter(is_ours).map(str::to_owned).collect();
    found.sort();
    found
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_environment_is_what_the_options_say_of_the_callers() {
    for (options, expected) in [
        (&[][..], &[][..]),
        (&["-EA"], &["A=1"]),
        (&["--env=A", "-EC", "-E", "ABSENT"], &["A=1", "C="]),
        (&["-EX=y=z", "-EY=a b"], &["X=y=z", "Y=a b"]),
        (&["-EA=9", "-EA"], &["A=1"]),
        (&["-EABSENT=9", "-EABSENT"], &[]),
        (&["-e"], &["A=1", "B=2", "C="]),
        (&["-EB=", "--full-env"], &["A=1", "C="]),
        (&["--full-env", "-EB=7", "-EA="], &["B=7", "C="]),
    ] {
        let mut found = same_for_both(|test_box| environment(test_box, options));
        found.retain(|line| line != "LIBC_FATAL_STDERR_=1");
        assert_eq!(found, expected, "{options:?}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_callers_umask_counts_neither_inside_nor_for_what_is_made() {
    let found = same_for_both(|test_box| {
        let script =
            "cat /opt/judge/lib/hostname >/dev/null && umask && echo text >new && stat -c %a new";
        let job = test_box
            .shell(script)
            .options(&["--dir=opt/judge/lib=/etc"]);
        job.through("umask 777; exec \"$@\"")
            .run()
            .assert_ok()
            .stdout
            .clone()
    });
    assert_eq!(found, "0022\n644\n");
    let test_box = user_box();
    let init = test_box.isolate_command(&["--init"]);
    let mut shell = test_box.broker().program(ALICE, "/bin/sh");
    shell.args(["-c", "umask 777; shift 4; exec \"$@\"", "sh"]);
    shell.args(init.get_args());
    finish(shell).assert_success();
    test_box.shell("exit 0").run().assert_ok();
    test_box.cleanup();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn where_the_caller_is_does_not_matter() {
    let test_box = user_box();
    let private = test_box.make_dir("private", ALICE, 0o700);
    let gone = test_box.make_dir("gone", ALICE, 0o700);
    for script in [
        format!("cd {} && exec \"$@\"", private.display()),
        format!("cd {} && chmod 0 . && exec \"$@\"", private.display()),
        format!("cd {0} && rmdir {0} && exec \"$@\"", gone.display()),
        "cd /proc/self && exec \"$@\"".to_owned(),
    ] {
        // Writing in a directory that is gone takes a path from elsewhere.
        fs::create_dir(&gone).ok();
        std::os::unix::fs::chown(&gone, Some(ALICE), Some(ALICE)).unwrap();
        std::os::unix::fs::chown(test_box.dir(), Some(ALICE), None).unwrap();
        let run = test_box.command(&["/bin/pwd"]).through(&script).run();
        assert_eq!(run.assert_ok().stdout, "/box\n", "{script}");
    }
    std::os::unix::fs::chown(test_box.dir(), Some(0), None).unwrap();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn ignored_signals_of_the_caller_do_not_come_in() {
    let expected = format!("SigBlk:\t{0}\nSigIgn:\t{0}\n", "0".repeat(16));
    let found = same_for_both(|test_box| {
        let job = test_box.shell("grep -E 'SigIgn|SigBlk' /proc/self/status");
        let ignored = "trap '' HUP INT QUIT TERM PIPE CHLD USR1 TSTP TTOU; exec \"$@\"";
        job.through(ignored).run().assert_ok().stdout.clone()
    });
    assert_eq!(found, expected);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn many_groups_of_the_caller_open_their_directories_and_do_not_come_in() {
    let test_box = user_box();
    test_box.init();
    let dir = test_box.make_dir("of_group", 0, 0o750);
    std::os::unix::fs::chown(&dir, Some(0), Some(20_150)).unwrap();
    fs::create_dir(dir.join("child")).unwrap();
    fs::write(dir.join("child/file"), "of the group\n").unwrap();
    let groups: Vec<_> = (20_000..20_300).map(|gid| gid.to_string()).collect();
    let rule = format!("--dir=in={}/child", dir.display());
    let command = test_box.isolate_command(&[&*rule, "-p", "-s", "--run", "--"]);
    let mut setpriv = Command::new("setpriv");
    setpriv.args([&format!("--reuid={ALICE}"), &format!("--regid={ALICE}")]);
    setpriv.arg(format!("--groups={}", groups.join(",")));
    // After the options of the harness's own setpriv.
    setpriv.args(command.get_args().skip_while(|word| *word != "--"));
    setpriv.args(["/bin/sh", "-c", "cat /in/file; id -G"]);
    setpriv.env("ISOLATE_RUN_BROKER", test_box.broker().socket());
    let output = finish(setpriv);
    output.assert_success();
    assert_eq!(output.stdout, format!("of the group\n{}\n", test_box.uid()));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_program_has_ids_and_rights_as_for_root() {
    let fields = "Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Pid|PPid|NSpid|SigBlk|SigIgn|Cpus_allowed|CoreDumping|Umask";
    let script = format!(
        "grep -E '^({fields}):' /proc/self/status; cat /proc/self/cgroup /proc/self/oom_score_adj /proc/self/loginuid; \
         nice; ulimit -a; ls /proc/self/fd | wc -l; echo /proc/[0-9]*; readlink /proc/self/cwd; tty"
    );
    let found = same_for_both(|test_box| {
        let run = test_box.shell(&script).options(&["--silent"]).run();
        let own = test_box.uid().to_string();
        (run.stdout.replace(&own, "OWN"), run.stderr)
    });
    let words = &found.0;
    for line in [
        "Uid:\tOWN\tOWN\tOWN\tOWN",
        "Groups:\t ",
        "CapBnd:\t0000000000000000",
        "0::/",
        "NoNewPrivs:\t1",
    ] {
        assert!(words.lines().any(|found| found == line), "{line}: {words}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn nothing_of_the_brokers_comes_in() {
    let test_box = user_box();
    let broker = test_box.broker().pid();
    // What a service might have.
    let broker = broker.to_string();
    must("renice", &["-n", "-5", "-p", &broker]);
    must(
        "prlimit",
        &["--pid", &broker, "--core=123", "--stack=1000000:"],
    );
    let script = "nice; ulimit -c; ulimit -Hs";
    let inside = test_box.shell(script).options(&["-s"]).run();
    let mut outside = test_box.broker().program(ALICE, "/bin/sh");
    outside.args(["-c", script]);
    let outside = finish(outside).stdout;
    let found: Vec<_> = inside.assert_ok().stdout.lines().collect();
    // The default limits are the sandbox's.
    assert_eq!(found, [outside.lines().next().unwrap(), "0", "unlimited"]);
    let open = test_box
        .program("open_descriptors")
        .options(&["--inherit-fds"]);
    let open = open.through("exec \"$@\" 4<&- 5<&- 6<&-").run();
    assert!(open.assert_ok().stdout.starts_with("0 1 2 "), "{open:?}");
    let env = environment(&test_box, &["--full-env"]);
    assert_eq!(env, ["A=1", "B=2", "C=", "LIBC_FATAL_STDERR_=1"]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_session_keyring_of_the_broker_is_not_shared() {
    let (one, other) = (user_box(), user_box());
    let key = |test_box: &TestBox, what| {
        let job = test_box.program("session_key").args(&[what]);
        let run = job.options(&["--syscalls=8"]).run();
        run.assert_ok().stdout.clone()
    };
    assert_eq!(key(&one, "add"), "done\n");
    assert_eq!(key(&other, "find"), "ENOKEY\n");
    assert_eq!(key(&one, "find"), "ENOKEY\n");
}
