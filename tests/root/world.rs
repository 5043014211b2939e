//! What the program finds around it: standard streams, directory, environment, network, terminal, system calls.

use crate::support;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Job, Output, Terminal, TestBox, finish, wait_until};

#[test]
#[ignore = "needs root: tests/run"]
fn standard_streams_are_those_of_the_sandbox() {
    let job = TestBox::new().shell("cat; echo error >&2; exit 3");
    let run = job.input("through\n").options(&["--silent"]).run();
    run.assert_verdict(1, "RE", "Exited with error status 3");
    assert_eq!(
        (run.stdout.as_str(), run.stderr.as_str()),
        ("through\n", "error\n")
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_reader_sees_the_end_of_an_empty_input() {
    let run = TestBox::new().command(&["/bin/cat"]).run();
    assert_eq!(run.assert_ok().stdout, "");
}

/// The tests' streams are pipes.
#[test]
#[ignore = "needs root: tests/run"]
fn pipes_of_the_caller_are_opened_anew_for_what_they_are_good_for_and_files_keep_their_modes() {
    let test_box = TestBox::new();
    let script = "cat /dev/stdin; echo out > /dev/stdout; echo err > /dev/stderr; \
                  (: < /dev/stdout) 2>/dev/null || echo not read; \
                  (: > /dev/stdin) 2>/dev/null || echo not written";
    let job = test_box.shell(script).options(&["-p", "--silent"]);
    let run = job.input("in\n").run();
    assert_eq!(run.assert_ok().stdout, "in\nout\nnot read\nnot written\n");
    assert_eq!(run.stderr, "err\n");
    let path = test_box.out().join("secret");
    fs::write(&path, "secret").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let script = "(: > /dev/stdin) 2>/dev/null || cat";
    let job = test_box.shell(script).options(&["-p"]);
    let run = job.stdin(fs::File::open(&path).unwrap()).run();
    assert_eq!(run.assert_ok().stdout, "secret");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
#[ignore = "needs root: tests/run"]
fn redirections_are_opened_inside_by_the_box_user() {
    let test_box = TestBox::new();
    test_box.write("in", "from the file\n");
    test_box.write("out", "something longer that was there before\n");
    let run = test_box
        .shell("cat; echo error >&2")
        .input("from the pipe\n")
        .options(&[
            "--stdin=in",
            "--stdout=out",
            "--stderr=/box/err",
            "--silent",
        ])
        .run();
    run.assert_ok();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    assert_eq!(test_box.read("out"), "from the file\n");
    assert_eq!(test_box.read("err"), "error\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(test_box.inside().join("err"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o7777, 0o644);
}

#[test]
#[ignore = "needs root: tests/run"]
fn redirections_come_before_the_change_of_directory() {
    let test_box = TestBox::new();
    test_box.init();
    fs::create_dir(test_box.inside().join("sub")).unwrap();
    let job = test_box.shell("pwd").options(&["-c", "sub", "-o", "where"]);
    job.run().assert_ok();
    assert_eq!(test_box.read("where"), "/box/sub\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_redirection_that_cannot_be_opened_is_an_internal_error_that_names_the_file() {
    let test_box = TestBox::new();
    for (options, message) in [
        (
            ["--stdin=absent"],
            "cannot open standard input 'absent': No such file or directory",
        ),
        (["--stdout=/out"], "cannot open standard output '/out': "),
        (
            ["--stderr=/usr/x"],
            "cannot open standard error '/usr/x': Read-only file system",
        ),
        (
            ["--stdin=/proc/1/environ"],
            "cannot open standard input '/proc/1/environ': ",
        ),
    ] {
        let run = test_box.command(&["/bin/true"]).options(&options).run();
        run.assert_failed(message);
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_stream_cannot_be_redirected_through_a_link_to_a_file_of_the_host() {
    let test_box = TestBox::new();
    let secret = test_box.dir().join("secret");
    fs::write(&secret, "").unwrap();
    test_box.init();
    std::os::unix::fs::symlink(&secret, test_box.inside().join("out")).unwrap();
    let job = test_box.shell("echo written");
    let run = job.options(&["--special-files", "-o", "out"]).run();
    run.assert_failed("cannot open standard output 'out': ");
    assert_eq!(fs::read(&secret).unwrap(), b"");
}

#[test]
#[ignore = "needs root: tests/run"]
fn of_stderr_and_stderr_to_stdout_the_later_wins() {
    let test_box = TestBox::new();
    let both = |options: &[&str]| {
        drop(fs::remove_file(test_box.inside().join("err")));
        let job = test_box.shell("echo out; echo err >&2").options(options);
        let run = job.options(&["--silent"]).run();
        run.assert_ok();
        (run.stdout, test_box.inside().join("err").exists())
    };
    let mixed = "out\nerr\n".to_owned();
    assert_eq!(both(&["--stderr-to-stdout"]), (mixed.clone(), false));
    assert_eq!(
        both(&["--stderr=err", "--stderr-to-stdout"]),
        (mixed, false)
    );
    assert_eq!(
        both(&["--stderr-to-stdout", "-r", "err"]),
        ("out\n".into(), true)
    );
    let run = test_box.shell("echo out; echo err >&2");
    run.options(&["--stderr-to-stdout", "-o", "out"])
        .run()
        .assert_ok();
    assert_eq!(test_box.read("out"), "out\nerr\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_program_starts_in_box_and_chdir_is_relative_to_it() {
    let test_box = TestBox::new();
    test_box.init();
    fs::create_dir(test_box.inside().join("sub")).unwrap();
    for (options, expected) in [
        (&[][..], "/box\n"),
        (&["--chdir=sub"], "/box/sub\n"),
        (&["--chdir=.."], "/\n"),
        (&["--chdir=../usr"], "/usr\n"),
        (&["--chdir=/tmp"], "/tmp\n"),
    ] {
        let run = test_box.command(&["/bin/pwd", "-P"]).options(options).run();
        assert_eq!(run.assert_ok().stdout, expected, "{options:?}");
    }
    let job = test_box.command(&["/bin/pwd"]);
    let run = job.options(&["--chdir=absent"]).run();
    run.assert_failed("cannot change directory to 'absent': No such file or directory");
}

/// What `env` prints inside for these options, when the sandbox has A=1, B=2 and C= in its environment.
fn environment(options: &[&str]) -> Vec<String> {
    let job = TestBox::new().command(&["/usr/bin/env"]);
    let job = job.through("exec env -i A=1 B=2 C= \"$@\"");
    let run = job.options(options).run();
    run.assert_ok();
    run.stdout.lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_environment_is_made_by_rules_in_their_order() {
    for (options, expected) in [
        (&[][..], &[][..]),
        (&["-EA"], &["A=1"]),
        (&["--env=A", "-EC", "-E", "ABSENT"], &["A=1", "C="]),
        (&["-EX=y=z", "-EY=a b"], &["X=y=z", "Y=a b"]),
        (&["-EX=1", "-EX=2"], &["X=2"]),
        (&["-EX=1", "-EX="], &[]),
        (&["-EA=9", "-EA"], &["A=1"]),
        (&["-EABSENT=9", "-EABSENT"], &[]),
        (&["-e"], &["A=1", "B=2", "C="]),
        (&["-EB=", "--full-env"], &["A=1", "C="]),
        (&["--full-env", "-EB=7", "-EA="], &["B=7", "C="]),
    ] {
        let mut found = environment(options);
        let fatal = found.iter().position(|one| one == "LIBC_FATAL_STDERR_=1");
        found.remove(fatal.expect("always there"));
        found.sort();
        assert_eq!(found, expected, "{options:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn there_is_no_search_along_path() {
    let job = TestBox::new().command(&["true"]);
    let run = job.options(&["-EPATH=/bin:/usr/bin"]).run();
    run.assert_verdict(1, "RE", "Exited with error status 127");
    assert!(
        run.stderr
            .starts_with("execve(\"true\"): No such file or directory\n"),
        "{run:?}"
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_cannot_be_executed_is_the_programs_failure() {
    let test_box = TestBox::new();
    test_box.write("data", "no program");
    for (program, reason) in [
        ("./absent", "No such file or directory"),
        ("./data", "Permission denied"),
        ("/usr", "Permission denied"),
        ("", "No such file or directory"),
    ] {
        let run = test_box.command(&[program]).options(&["-r", "err"]).run();
        run.assert_verdict(1, "RE", "Exited with error status 127");
        let printed = format!("execve(\"{program}\"): {reason}\n");
        assert_eq!(test_box.read("err"), printed);
    }
}

/// As when another thread of the caller forks while this one writes the program.
#[test]
#[ignore = "needs root: tests/run"]
fn a_program_that_is_still_open_for_writing_is_waited_for_and_not_for_ever() {
    let test_box = TestBox::new();
    let program = test_box.init().install("report_cpu");
    let writer = || fs::File::options().append(true).open(&program).unwrap();
    let run = || test_box.command(&["./report_cpu", "1"]).spawn();
    let open = writer();
    let running = run();
    // Its process is there, so that it is about to execute the file.
    wait_until("the program's process is there", || {
        !running.processes().is_empty()
    });
    std::thread::sleep(Duration::from_millis(5));
    drop(open);
    running.finish().assert_ok();
    let _open = writer();
    let busy = run().finish();
    busy.assert_verdict(1, "RE", "Exited with error status 127");
    let words = "execve(\"./report_cpu\"): Text file busy\n";
    assert!(busy.stderr.starts_with(words), "{busy:?}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn arguments_arrive_as_they_are() {
    let test_box = TestBox::new();
    let job = test_box.command(&[
        "/usr/bin/printf",
        "[%s]",
        "a b",
        "",
        "--meta=x",
        "--",
        "ü\n",
    ]);
    assert_eq!(job.run().assert_ok().stdout, "[a b][][--meta=x][--][ü\n]");
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_network_is_a_loopback_device_of_its_own_that_works() {
    let test_box = TestBox::new();
    let devices = |options: &[&str]| {
        let run = test_box
            .command(&["/bin/cat", "/proc/net/dev"])
            .options(options)
            .run();
        let named = run.stdout.lines().filter_map(|line| line.split_once(':'));
        named
            .map(|(name, _)| name.trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(devices(&[]), ["lo"]);
    assert_eq!(
        test_box.program("loopback").run().assert_ok().stdout,
        "done\n"
    );
    let outside = fs::read_to_string("/proc/self/net/dev").unwrap();
    let shared = devices(&["--share-net"]);
    assert_eq!(
        shared.len(),
        outside.lines().filter(|line| line.contains(':')).count()
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_network_namespace_is_shared_only_on_request() {
    let test_box = TestBox::new();
    let namespace = |options: &[&str]| {
        let job = test_box.command(&["/bin/readlink", "/proc/self/ns/net"]);
        job.options(options).run().stdout
    };
    let outside = fs::read_link("/proc/self/ns/net").unwrap();
    let outside = format!("{}\n", outside.display());
    assert_ne!(namespace(&[]), outside);
    assert_eq!(namespace(&["--share-net"]), outside);
}

#[test]
#[ignore = "needs root: tests/run"]
fn descriptors_are_closed_unless_they_are_inherited() {
    let test_box = TestBox::new();
    let script = "exec \"$@\" 5</dev/null 9</dev/null";
    let open = |options: &[&str]| {
        let job = test_box.program("open_descriptors").options(options);
        let run = job.through(script).run();
        run.assert_ok();
        run.stdout
    };
    assert_eq!(open(&[]), "0 1 2 \n");
    // Those that this test got from its own caller are inherited, too.
    let mut outside = Command::new("/bin/sh");
    outside.args(["-c", script, "sh"]);
    outside.arg(support::program("open_descriptors"));
    let expected = finish(outside).stdout;
    assert!(expected.contains(" 5 ") && expected.contains(" 9 "));
    assert_eq!(open(&["--inherit-fds"]), expected);
}

#[test]
#[ignore = "needs root: tests/run"]
fn closed_standard_streams_stay_closed_or_are_redirected() {
    let test_box = TestBox::new();
    let job = test_box
        .program("open_descriptors")
        .through("exec \"$@\" <&- 2>&-");
    let run = job.options(&["--stdout=out"]).run();
    assert_eq!(run.code, 0, "{run:?}");
    // A program without descriptor 0 or 2 would give its next file that number: /dev/null is as good as closed.
    let found = test_box.read("out");
    assert!(["1 \n", "0 1 2 \n"].contains(&found.as_str()), "{found}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn special_files_go_unless_they_are_to_stay() {
    let test_box = TestBox::new();
    let script = "ln -s /etc/passwd link; mkfifo fifo; mkdir -p deep; ln -s . deep/link; > file";
    let names = ["link", "fifo", "deep/link", "file"];
    let left = |options: &[&str]| {
        test_box.shell(script).options(options).run().assert_ok();
        names.map(|name| test_box.inside().join(name).symlink_metadata().is_ok())
    };
    assert_eq!(left(&["--special-files"]), [true; 4]);
    let there = "test -h link && test -p fifo && test -h deep/link";
    let job = test_box.shell(there).options(&["--special-files"]);
    job.run().assert_ok();
    // They go before a run, too.
    let none = "test ! -h link && test ! -p fifo && test ! -h deep/link && test -f file";
    test_box.shell(none).run().assert_ok();
    assert_eq!(left(&[]), [false, false, false, true]);
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_terminal_is_lent_to_the_program_and_taken_back() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let test_box = TestBox::new();
    // setsid makes the pseudo-terminal the controlling terminal of a session of its own.
    let script = "exec setsid -c sh -c '\"$@\"; echo \"status $?\" >&2; read line; echo \"after $line\" >&2' sh \"$@\"";
    let job = test_box.shell("read line && echo \"inside $line\" >&2 && stty -a >/dev/null");
    let running = job
        .options(&["--tty-hack", "--silent"])
        .through(script)
        .stdin(pty.slave)
        .spawn();
    let mut terminal = fs::File::from(pty.master);
    terminal.write_all(b"one\ntwo\n").unwrap();
    let run = running.finish();
    assert_eq!(run.stderr, "inside one\nstatus 0\nafter two\n");
    let mut echoed = [0; 5];
    terminal.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"one\r\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_terminal_is_after_a_run_what_it_was_before() {
    let test_box = TestBox::new();
    for options in [&["-p"][..], &["-p", "--tty-hack"]] {
        let job = test_box.shell("stty -echo -icanon min 0").options(options);
        let mut terminal = Terminal::start(job, 0, "\"$@\"; stty -a");
        terminal.expect(" icanon ");
        terminal.expect(" echo ");
    }
}

/// A shell's words for a run.
fn words(job: &Job) -> String {
    let command = job.to_command();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<_> = words
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    quoted.join(" ")
}

/// `script` gives the sandbox a terminal that controls its session, as a shell has it. Nobody types
/// but this, after a second, and nobody closes the terminal before the end.
fn on_a_terminal(job: &Job, typed: Option<&str>) -> Output {
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &words(job), "/dev/null"]);
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = script.stderr(Stdio::piped()).spawn().unwrap();
    let mut keyboard = script.stdin.take().unwrap();
    if let Some(typed) = typed {
        std::thread::sleep(Duration::from_secs(1));
        keyboard.write_all(typed.as_bytes()).unwrap();
    }
    let output = script.wait_with_output().unwrap();
    drop(keyboard);
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_program_forges_no_input_for_the_terminal_of_its_caller() {
    let test_box = TestBox::new();
    let plain = test_box
        .program("forge_input")
        .options(&["--stdout=seen", "--syscalls=0"]);
    on_a_terminal(&plain, None).assert_success();
    let seen = fs::read_to_string(test_box.inside().join("seen")).unwrap();
    assert_eq!(seen, "tty ENXIO\nstdin EPERM\n");
    let hack = test_box
        .program("forge_input")
        .options(&["--stdout=seen", "--tty-hack"]);
    on_a_terminal(&hack, None).assert_success();
    let seen = fs::read_to_string(test_box.inside().join("seen")).unwrap();
    assert_eq!(seen, "tty EPERM\nstdin EPERM\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_program_reads_from_a_terminal_without_being_stopped() {
    let test_box = TestBox::new();
    let job = test_box
        .shell("read line; echo got $line >seen")
        .options(&["--wall-time=20"]);
    on_a_terminal(&job, Some("typed\n")).assert_success();
    let seen = fs::read_to_string(test_box.inside().join("seen")).unwrap();
    assert_eq!(seen, "got typed\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn redirections_need_no_open_files_to_spare() {
    let test_box = TestBox::new();
    test_box.write("in", "input\n");
    let job = test_box.command(&["/bin/true"]);
    let options = [
        "--open-files=3",
        "--stdin=in",
        "--stdout=out",
        "--stderr=err",
    ];
    // The dynamic loader wants a fourth one: what fails is the program, not the sandbox.
    job.options(&options)
        .run()
        .assert_verdict(1, "RE", "Exited with error status 127");
    let job = test_box.program("burn_cpu").args(&["1"]).options(&options);
    job.run().assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_umask_of_the_caller_is_not_that_of_the_sandbox() {
    let test_box = TestBox::new();
    let job = test_box.shell("cat /opt/judge/lib/hostname >/dev/null && umask");
    let run = job
        .options(&["--dir=opt/judge/lib=/etc"])
        .through("umask 077; exec \"$@\"")
        .run();
    assert_eq!(run.assert_ok().stdout, "0022\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn without_a_terminal_the_tty_hack_changes_nothing() {
    let job = TestBox::new().shell("echo fine").options(&["--tty-hack"]);
    assert_eq!(job.run().assert_ok().stdout, "fine\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn without_silent_one_line_says_how_it_went_and_with_it_none() {
    let test_box = TestBox::new();
    let said =
        |script: &str, options: &[&str]| test_box.shell(script).options(options).run().stderr;
    let ok = said("exit 0", &[]);
    let words: Vec<_> = ok.split(' ').collect();
    assert!(
        matches!(words[..], ["OK", _, "sec", "real,", _, "sec", "wall)\n"]),
        "{ok}"
    );
    assert_eq!(said("exit 5", &[]), "Exited with error status 5\n");
    assert_eq!(said("kill -9 $$", &[]), "Caught fatal signal 9\n");
    assert_eq!(said("exit 5", &["--silent"]), "");
    assert_eq!(said("exit 0", &["-s"]), "");
    assert!(said("exit 0", &["-s", "-c", "absent"]).contains("cannot change directory"));
}

#[test]
#[ignore = "needs root: tests/run"]
fn verbose_says_more_on_standard_error_alone() {
    let test_box = TestBox::new();
    let run = test_box.shell("echo out").options(&["-v"]).run();
    assert_eq!(run.assert_ok().stdout, "out\n");
    let louder = test_box.shell("echo out").options(&["-vvv"]).run();
    assert_eq!(louder.assert_ok().stdout, "out\n");
    assert!(louder.stderr.len() > run.stderr.len(), "{louder:?}");
    let output = test_box.isolate(&[
        "-v",
        "--box-id",
        &(test_box.id() + 1).to_string(),
        "--cleanup",
    ]);
    output.assert_success();
    assert!(
        output.stderr.contains("Nothing to do -- box did not exist"),
        "{output:?}"
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_cannot_be_said_does_not_change_what_happened() {
    let test_box = TestBox::new();
    for (script, code) in [("exit 0", 0), ("exit 5", 1)] {
        let run = test_box
            .shell(script)
            .through("exec \"$@\" 2>/dev/full")
            .run();
        assert_eq!(run.code, code, "{run:?}");
    }
    let exec = test_box.exec_command(&["--", "/bin/sh", "-c", "exit 5"]);
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "exec \"$@\" 2>/dev/full", "sh"])
        .arg(exec.get_program())
        .args(exec.get_args());
    assert_eq!(finish(shell).code, 5);
}

/// O_NONBLOCK belongs to the pipe that the sandbox writes to as well.
#[test]
#[ignore = "needs root: tests/run"]
fn a_program_that_makes_standard_error_not_block_changes_nothing() {
    let test_box = TestBox::new();
    let job = test_box.program("fill_pipe").args(&["2"]);
    let run = job
        .through("{ \"$@\"; echo $? >&3; } 3>&1 2>&1 >/dev/null | { sleep 1; tail -c 100; }")
        .run();
    assert!(run.stdout.contains(" sec wall)"), "{run:?}");
    assert!(
        run.stdout.ends_with("0\n") || run.stdout.contains("\n0"),
        "{run:?}"
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn alarms_and_other_signals_that_the_caller_left_behind_end_nothing() {
    let test_box = TestBox::new();
    for signal in [
        "ALRM", "XCPU", "PROF", "VTALRM", "IO", "USR1", "TSTP", "TRAP",
    ] {
        let started = test_box.inside().join("started");
        let running = test_box.shell(": >started; sleep 1").spawn();
        running.wait_for_file("started");
        let mut kill = std::process::Command::new("kill");
        kill.args([&format!("-{signal}"), &running.pid().to_string()]);
        finish(kill).assert_success();
        let run = running.finish();
        assert_eq!(
            (run.code, run.meta.get("exitcode")),
            (0, Some("0")),
            "{signal}: {run:?}"
        );
        fs::remove_file(started).unwrap();
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn few_descriptors_of_the_caller_are_enough_or_an_error_that_says_so() {
    let job = |limit: &str| {
        // With CAP_SYS_RESOURCE there is no limit.
        let script = format!("ulimit {limit}; exec setpriv --bounding-set=-sys_resource \"$@\"");
        TestBox::new().command(&["/bin/true"]).through(&script)
    };
    job("-Sn 12").run().assert_ok();
    job("-n 12").run().assert_failed("Too many open files");
}
