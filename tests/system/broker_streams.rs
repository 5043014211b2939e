//! Standard streams and other descriptors of a user who comes by the broker are the program's, as root's are.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;

use crate::support::systemd::{let_go, same_for_both, user_box};
use crate::support::{ALICE, BOXES, Run, TestBox, finish};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// A directory of the user's own, where nobody else comes.
fn own_dir(test_box: &TestBox, name: &str) -> PathBuf {
    test_box.make_dir(name, ALICE, 0o700)
}

/// What a run says that is no figure.
fn said(run: &Run) -> (i32, String, String, Option<String>) {
    let message = run.meta.get("message").map(str::to_owned);
    (run.code, run.stdout.clone(), run.stderr.clone(), message)
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn redirections_are_opened_inside() {
    let found = same_for_both(|test_box| {
        test_box.write("in", "from the file\n");
        let job = test_box.shell("cat; echo error >&2").input("from a pipe\n");
        let options = ["--stdin=in", "--stdout=out", "--stderr=/box/err", "-s"];
        let run = job.options(&options).run();
        run.assert_ok();
        let mixed = test_box.shell("echo out; echo err >&2");
        let mixed = mixed.options(&["--stderr-to-stdout", "-o", "mixed", "-s"]);
        mixed.run().assert_ok();
        let absent = test_box.shell("exit 0").options(&["--stdin=absent"]).run();
        let read = |name| test_box.read(name);
        (
            said(&run),
            read("out"),
            read("err"),
            read("mixed"),
            said(&absent),
        )
    });
    let (_, out, err, mixed, absent) = found;
    assert_eq!(
        (&*out, &*err, &*mixed),
        ("from the file\n", "error\n", "out\nerr\n")
    );
    assert_eq!(
        absent.2,
        "cannot open standard input 'absent': No such file or directory\n"
    );
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn files_of_the_callers_keep_their_offsets_and_flags() {
    let test_box = user_box();
    let dir = own_dir(&test_box, "private");
    fs::write(dir.join("in"), "one\ntwo\nthree\n").unwrap();
    fs::write(dir.join("out"), "before\n").unwrap();
    must_own(&dir.join("out"));
    let script = format!(
        "cd {} && exec <in >>out 2>err && read line && \"$@\" && cat && echo after",
        dir.display()
    );
    let job = test_box.shell("read line; echo \"got $line\"; echo error >&2");
    let run = job.options(&["--silent"]).through(&script).run();
    assert_eq!((run.code, &*run.stdout, &*run.stderr), (0, "", ""));
    let read = |name| fs::read_to_string(dir.join(name)).unwrap();
    assert_eq!(read("out"), "before\ngot two\nthree\nafter\n");
    assert_eq!(read("err"), "error\n");
}

fn must_own(path: &std::path::Path) {
    std::os::unix::fs::chown(path, Some(ALICE), Some(ALICE)).unwrap();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn closed_descriptors_of_the_caller_are_as_for_root() {
    for closed in ["<&-", ">&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-"] {
        let found = same_for_both(|test_box| {
            let job = test_box.program("open_descriptors");
            let job = job.through(&format!("exec \"$@\" {closed}"));
            let run = job.options(&["--stdout=out", "--silent"]).run();
            assert_eq!(run.meta.get("exitcode"), Some("0"), "{closed}: {run:?}");
            (run.code, test_box.read("out"))
        });
        assert_eq!(found.0, 0, "{closed}");
    }
    // Another command, and the path that it cannot print.
    let init = |test_box: &TestBox| {
        test_box.init();
        let command = test_box.isolate_command(&["--init"]);
        finish(through(command, "exec \"$@\" <&- 2>&-")).assert_success();
        finish(through(
            test_box.isolate_command(&["--init"]),
            "exec \"$@\" >&-",
        ))
        .code
    };
    same_for_both(init);
}

/// The same command, started by a shell.
fn through(command: std::process::Command, script: &str) -> std::process::Command {
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", script, "sh"]).arg(command.get_program());
    shell.args(command.get_args());
    let changed = command.get_envs();
    shell.envs(changed.filter_map(|(name, value)| Some((name, value?))));
    shell
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn pipes_end_when_the_program_closes_them_though_the_run_goes_on() {
    let test_box = user_box();
    let script =
        "read line; echo \"got $line\"; exec <&- >&-; while [ ! -e go ]; do sleep 0.1; done";
    let job = test_box
        .shell(script)
        .options(&["--silent", "--wall-time=300"]);
    let mut command = job.to_command();
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command);
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    input.write_all(b"a line\n").unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(text, "got a line\n");
    // Nobody has the other end of the first pipe, either.
    let broken = (0..1000).find_map(|_| input.write_all(&[b'x'; 4096]).err());
    assert_eq!(broken.unwrap().kind(), std::io::ErrorKind::BrokenPipe);
    assert!(child.try_wait().unwrap().is_none(), "the run goes on");
    let_go(&test_box);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_pipe_without_a_reader_and_a_full_device_are_the_programs_affair() {
    let writer = "while echo line; do :; done 2>/dev/null";
    let found = same_for_both(|test_box| {
        let pipe = test_box.shell("while :; do echo line; done");
        let pipe = pipe.options(&["-w300"]).through("\"$@\" | head -n1");
        let pipe = pipe.run();
        let full = test_box.shell(&format!("{writer}; exit 7"));
        let full = full
            .options(&["-w300"])
            .through("exec \"$@\" >/dev/full")
            .run();
        let meta = test_box
            .shell("exit 0")
            .meta("-")
            .through("\"$@\" >/dev/full; echo $?");
        let meta = meta.run();
        (
            pipe.stdout,
            pipe.meta.get("message").map(str::to_owned),
            said(&full),
            meta.stdout,
        )
    });
    let (first, pipe, full, meta) = found;
    assert_eq!(
        (&*first, pipe.as_deref()),
        ("line\n", Some("Caught fatal signal 13"))
    );
    assert_eq!((full.0, &*full.2), (1, "Exited with error status 7\n"));
    assert_eq!(meta, "2\n", "a meta file that cannot be written");
}

/// As CMS runs a manager and a solution: two runs at the same time, which talk through FIFOs in a directory of the
/// caller's, opened by redirection on one side and by the program on the other.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn two_runs_talk_through_fifos_of_the_callers() {
    let test_box = user_box();
    let dir = test_box.make_dir("fifos", ALICE, 0o755);
    for name in ["to_user", "to_manager"] {
        mkfifo(&dir.join(name), Mode::S_IRWXU).unwrap();
        must_own(&dir.join(name));
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        fs::set_permissions(dir.join(name), everybody).unwrap();
    }
    let rule = format!("--dir=/fifo={}:rw", dir.display());
    let second = format!("--box-id={}", test_box.id() + BOXES - 1);
    test_box.isolate(&[&*second, "--init"]).assert_success();
    let manager = "exec >/fifo/to_user </fifo/to_manager; i=0; \
                   while [ $i -lt 200 ]; do echo $i; read answer; [ $answer = $((i * i)) ] || exit 9; i=$((i + 1)); done; \
                   echo -1";
    let user = "while read n; do [ $n = -1 ] && exit 0; echo $((n * n)); done; exit 8";
    let running = test_box.shell(manager).options(&[&*rule, "-w300"]).spawn();
    let redirections = ["--stdin=/fifo/to_user", "--stdout=/fifo/to_manager"];
    let mut args = vec![second.as_str(), &rule, "-w300", "--silent"];
    args.extend(redirections);
    args.extend(["--run", "--", "/bin/sh", "-c", user]);
    test_box.isolate(&args).assert_silent_success();
    running.finish().assert_ok();
    test_box
        .isolate(&[&*second, "--cleanup"])
        .assert_silent_success();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn inherited_descriptors_have_their_numbers_and_lead_where_they_led() {
    let script = "exec bash -c 'echo seven | exec \"$@\" 7<&0 0</dev/null 100<<<hundred 900<<<nine' bash \"$@\"";
    let found = same_for_both(|test_box| {
        let open = test_box.program("open_descriptors").through(script);
        let open = open.options(&["--inherit-fds", "--silent"]).run();
        let read = "cat <&7; cat <&100; cat <&900; ls /proc/self/fd | sort -n | xargs";
        let read = test_box.command(&["/bin/bash", "-c", read]).through(script);
        let read = read.options(&["--inherit-fds", "-p", "--silent"]).run();
        let without = test_box.program("open_descriptors").through(script);
        let without = without.options(&["--silent"]).run();
        [open, read, without].map(|run| run.assert_ok().stdout.clone())
    });
    assert!(found[0].ends_with(" 7 100 900 \n"), "{found:?}");
    assert!(
        found[1].starts_with("seven\nhundred\nnine\n0 1 2 "),
        "{found:?}"
    );
    assert_eq!(found[2], "0 1 2 \n");
}

/// More than fit beside one packet, and each another one's neighbor.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn six_hundred_descriptors_arrive_in_their_order() {
    let script = "exec bash -c 'for n in {10..609}; do eval \"exec $n<<<$((n * 7))\"; done; exec \"$@\"' bash \"$@\"";
    let found = same_for_both(|test_box| {
        let read = "for n in {10..609}; do read -u $n line; echo $line; done";
        let job = test_box.command(&["/bin/bash", "-c", read]).through(script);
        let run = job.options(&["--inherit-fds", "-p", "--silent"]).run();
        run.assert_ok().stdout.clone()
    });
    let expected: Vec<String> = (10..610).map(|n| (n * 7).to_string()).collect();
    assert_eq!(found, expected.join("\n") + "\n");
    // What is too much for one request says so.
    let script = "ulimit -n 4096; exec bash -c 'for n in {10..1100}; do eval \"exec $n</dev/null\"; done; exec \"$@\"' bash \"$@\"";
    let test_box = user_box();
    let job = test_box.command(&["/bin/true"]).through(script);
    let run = job.options(&["--inherit-fds"]).run();
    run.assert_failed("1024 descriptors");
}
