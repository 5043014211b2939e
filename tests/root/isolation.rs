//! What the program cannot do, see or outlive.

use crate::support;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{TestBox, finish, source, wait_until};
use nix::sys::signal::Signal;

/// The fields of `/proc/PID/status` inside, for the program itself or another process.
fn status(test_box: &TestBox, path: &str) -> Vec<(String, String)> {
    let run = test_box.command(&["/bin/cat", path]).run();
    run.assert_ok();
    let part = |line: &str| {
        let (key, value) = line.split_once(':').unwrap();
        let words: Vec<_> = value.split_whitespace().collect();
        (key.to_owned(), words.join(" "))
    };
    run.stdout.lines().map(part).collect()
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_program_is_the_box_user_without_groups_capabilities_or_new_privileges() {
    let test_box = TestBox::new();
    let status = status(&test_box, "/proc/self/status");
    let field = |name: &str| {
        let found = status.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).unwrap()
    };
    let uid = test_box.uid();
    let ids = format!("{uid} {uid} {uid} {uid}");
    assert_eq!(
        (field("Uid"), field("Gid"), field("Groups")),
        (&*ids, &*ids, "")
    );
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!((field("NoNewPrivs"), field("Seccomp")), ("1", "2"));
    assert_eq!((field("Pid"), field("PPid")), ("2", "1"));
}

#[test]
#[ignore = "needs root: tests/run"]
fn groups_and_ignored_signals_of_the_caller_do_not_come_in() {
    let test_box = TestBox::new();
    let job = test_box.shell("id -G; grep -E 'SigIgn|SigBlk' /proc/self/status");
    let through = "trap '' HUP INT QUIT TERM PIPE USR1; exec setpriv --groups 5,6,7 \"$@\"";
    let run = job.through(through).run();
    let expected = format!(
        "{}\nSigBlk:\t{1}\nSigIgn:\t{1}\n",
        test_box.uid(),
        "0".repeat(16)
    );
    assert_eq!(run.assert_ok().stdout, expected);
}

/// A caller may have made them such that neither another user nor another program takes them away.
#[test]
#[ignore = "needs root: tests/run"]
fn capabilities_of_the_caller_do_not_come_in() {
    let job = TestBox::new().shell("grep ^Cap /proc/self/status");
    let through = "exec setpriv --inh-caps=+chown,+net_raw --securebits=+no_setuid_fixup \"$@\"";
    let run = job.through(through).run();
    for line in run.assert_ok().stdout.lines() {
        assert!(line.ends_with(&"0".repeat(16)), "{line}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn set_user_id_programs_stay_without_effect() {
    let test_box = TestBox::new();
    let directory = test_box.make_dir("outside", 0, 0o755);
    let copy = directory.join("id");
    fs::copy("/usr/bin/id", &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o6755)).unwrap();
    let job = test_box.command(&["/in/id", "-u"]);
    let run = job
        .options(&[format!("--dir=in={}", directory.display())])
        .run();
    assert_eq!(run.assert_ok().stdout, format!("{}\n", test_box.uid()));
}

#[test]
#[ignore = "needs root: tests/run"]
fn only_own_processes_can_be_seen() {
    let test_box = TestBox::new();
    let run = test_box
        .shell("echo /proc/[0-9]*; ls /proc/1 2>&1 >/dev/null; true")
        .run();
    let first = run.assert_ok().stdout.lines().next().unwrap();
    assert_eq!(first, "/proc/2");
}

#[test]
#[ignore = "needs root: tests/run"]
fn nothing_of_the_hosts_mounts_can_be_seen() {
    let test_box = TestBox::new();
    let run = test_box
        .command(&["/bin/cat", "/proc/self/mountinfo"])
        .run();
    let places = run.assert_ok().stdout.lines();
    let places = places.map(|line| line.split(' ').nth(4).unwrap());
    let allowed = [
        "/bin", "/box", "/dev", "/lib", "/lib64", "/proc", "/tmp", "/usr",
    ];
    for place in places {
        let inside = |top: &str| place == top || place.starts_with(&format!("{top}/"));
        assert!(place == "/" || allowed.into_iter().any(inside), "{place}");
    }
    // Neither is the way there: the old root is gone, not covered.
    let script =
        "cd /../../..; pwd; test ! -e /etc && test ! -e /root && test ! -e /proc/1/root/etc";
    assert_eq!(test_box.shell(script).run().assert_ok().stdout, "/\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn dev_holds_harmless_devices_alone() {
    let script = "cd /dev; echo *; for device in null zero full random urandom; do \
                  head -c 0 $device || exit 1; done; echo lost > null; \
                  find / -xdev -type b 2>/dev/null";
    let run = TestBox::new().shell(script).run();
    let expected = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero\n";
    assert_eq!(run.assert_ok().stdout, expected);
}

#[test]
#[ignore = "needs root: tests/run"]
fn init_can_be_neither_killed_nor_taken_over() {
    let test_box = TestBox::new();
    let traced = test_box.program("trace_init").run();
    assert!(
        !traced.assert_ok().stdout.is_empty() && !traced.stdout.contains("done"),
        "{traced:?}"
    );
    let killed = test_box.program("kill_everything").run();
    assert!(
        killed.assert_ok().stdout.contains("init: EPERM"),
        "{killed:?}"
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn namespaces_are_the_runs_own() {
    let test_box = TestBox::new();
    let run = test_box
        .shell("cd /proc/self/ns && for n in ipc mnt net pid uts; do readlink $n; done")
        .run();
    let outside = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    let inside: Vec<_> = run.assert_ok().stdout.lines().collect();
    assert_eq!(inside.len(), 5);
    for (name, inside) in ["ipc", "mnt", "net", "pid", "uts"].iter().zip(inside) {
        assert_ne!(outside(name).to_str().unwrap(), inside);
    }
    let names = "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname";
    assert_eq!(
        test_box.shell(names).run().assert_ok().stdout,
        "localhost\n(none)\n"
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn objects_of_system_v_ipc_are_the_runs_own_and_end_with_it() {
    let test_box = TestBox::new();
    // Objects with these keys may not exist yet, each time.
    for _ in 0..2 {
        let run = test_box.program("make_ipc").run();
        assert_eq!(run.assert_ok().stdout, "done\n");
    }
    for kind in ["shm", "sem", "msg"] {
        let objects = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap();
        let key = 0x0150_7a7e.to_string();
        assert!(!objects.contains(&key), "{objects}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn there_is_no_way_to_the_outside_over_the_network() {
    let test_box = TestBox::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let job = test_box.program("connect").args(&[&port]);
    assert_eq!(job.run().stdout, "Connection refused\n");
    let job = test_box.program("connect").args(&[&port]);
    let shared = job.options(&["--share-net"]).run();
    assert_eq!(shared.assert_ok().stdout, "done\n");
    let routes = test_box.command(&["/bin/cat", "/proc/net/route"]).run();
    assert_eq!(routes.assert_ok().stdout.lines().count(), 1);
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_a_program_leaves_running_ends_with_it() {
    let test_box = TestBox::new();
    let job = test_box.program("leave_daemons").args(&["5"]);
    job.options(&["--processes"]).run().assert_ok();
    assert_eq!(test_box.processes(), [] as [i32; 0]);
}

#[test]
#[ignore = "needs root: tests/run"]
fn daemons_of_a_killed_program_end_with_it() {
    let test_box = TestBox::new();
    let job = test_box.program("burn_daemon").args(&["0"]);
    let run = job.options(&["--processes", "--wall-time=0.5"]).run();
    run.assert_verdict(1, "TO", "Time limit exceeded (wall clock)");
    assert_eq!(test_box.processes(), [] as [i32; 0]);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_program_that_ignores_and_blocks_signals_is_killed_all_the_same() {
    let job = TestBox::new().program("ignore_signals");
    let run = job.options(&["--wall-time=0.3"]).run();
    run.assert_verdict(1, "TO", "Time limit exceeded (wall clock)");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_stopped_program_is_stopped_until_its_time_is_over() {
    let job = TestBox::new().program("stop_self");
    let run = job.options(&["--wall-time=0.3"]).run();
    run.assert_verdict(1, "TO", "Time limit exceeded (wall clock)");
}

#[test]
#[ignore = "needs root: tests/run"]
fn closing_every_descriptor_does_not_hurt_the_sandbox() {
    let run = TestBox::new()
        .program("close_all")
        .options(&["--inherit-fds"])
        .run();
    run.assert_verdict(1, "RE", "Exited with error status 7");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_pipe_of_the_callers_ends_when_the_program_closes_it() {
    let test_box = TestBox::new();
    let script = "echo first; exec >&- 2>&-; while test ! -e go; do sleep 0.1; done";
    let through = "\"$@\" | { cat; > \"$GO\"; }";
    test_box.init();
    let job = test_box
        .shell(script)
        .env("GO", test_box.inside().join("go"));
    // cat ends, so that go is made, only when nobody but the program had the pipe.
    let run = job
        .options(&["--silent", "--wall-time=500"])
        .through(through)
        .run();
    assert_eq!(run.assert_ok().stdout, "first\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn when_the_keeper_is_killed_daemons_die_too() {
    let test_box = TestBox::new();
    let job = test_box.program("leave_daemons").args(&["3"]);
    job.options(&["--processes"]).run().assert_ok();
    let running = test_box
        .shell("setsid sleep 1000 & setsid sleep 1000 & > ready; wait")
        .spawn();
    running.wait_for_file("ready");
    running.signal(Signal::SIGKILL);
    wait_until("everything is dead", || test_box.processes().is_empty());
    assert_eq!(running.finish().code, -9);
}

/// A process that the keeper had just cloned could still have the keeper's end of their line.
#[test]
#[ignore = "needs root: tests/run"]
fn a_keeper_that_dies_before_init_has_armed_its_death_leaves_no_run() {
    let test_box = TestBox::new();
    test_box.init();
    let run = test_box.isolate_command(&["--run", "--", "/bin/sleep", "1000"]);
    let mut late = Command::new("python3");
    late.arg(source("tests/hostile/late_death.py"));
    late.arg(run.get_program()).args(run.get_args());
    let output = finish(late);
    assert_eq!(output.stdout, "began\nended\n", "{output:?}");
    assert!(test_box.processes().is_empty());
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_kernels_settings_cannot_be_changed() {
    let script = "! (echo 1 > /proc/sys/kernel/panic) 2>/dev/null && \
                  ! (echo b > /proc/sysrq-trigger) 2>/dev/null && \
                  ! mount -t tmpfs none /tmp 2>/dev/null && ! chroot / true 2>/dev/null";
    TestBox::new().shell(script).run().assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn proc_tells_nothing_of_the_machines_devices_keys_and_start() {
    let script = "for name in cmdline interrupts keys key-users; do \
                  if [ -e /proc/$name ]; then head -c 1 /proc/$name; fi; done; \
                  grep -qa sh /proc/self/cmdline && grep -q . /proc/cpuinfo && grep -q . /proc/meminfo";
    let run = TestBox::new().shell(script).options(&["-p"]).run();
    assert_eq!(run.assert_ok().stdout, "");
}

/// Descriptors of the sandbox itself lead to the host; a path of the caller's or of the program's must not find them.
#[test]
#[ignore = "needs root: tests/run"]
fn no_descriptor_of_the_sandbox_leads_out() {
    let test_box = TestBox::new();
    for number in 3..40 {
        let out = format!("/proc/self/fd/{number}/../../../../../../../..");
        let job = test_box.command(&["/bin/ls"]);
        let run = job.options(&[format!("--chdir={out}")]).run();
        run.assert_failed("cannot change directory to");
    }
    // The program of an earlier run may have made the path.
    let plant = "for n in 3 4 5 6 7 8 9 10 11 12; do \
                 ln -s /proc/self/fd/$n/../../../../../../../../tmp/escaped /tmp/link$n; done";
    test_box.shell(plant).run().assert_ok();
    for number in 3..13 {
        let job = test_box.command(&["/bin/true"]);
        let option = format!("--stdout=/tmp/link{number}");
        job.options(&[option])
            .run()
            .assert_failed("cannot open standard output");
    }
    assert!(!std::path::Path::new("/tmp/escaped").exists());
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_session_keyring_of_the_caller_is_not_shared() {
    let (one, other) = (TestBox::new(), TestBox::new());
    let all_allowed = ["--syscalls=0"];
    let key = |test_box: &TestBox, what| {
        let run = test_box
            .program("session_key")
            .args(&[what])
            .options(&all_allowed)
            .run();
        run.assert_ok().stdout.clone()
    };
    assert_eq!(key(&one, "add"), "done\n");
    assert_eq!(key(&other, "find"), "ENOKEY\n");
    assert_eq!(key(&one, "find"), "ENOKEY\n");
    let denied = one.program("session_key").args(&["add"]).run();
    assert_eq!(denied.assert_ok().stdout, "ENOSYS\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_a_program_leaves_in_its_temporary_directories_is_out_of_reach() {
    let test_box = TestBox::new();
    let job = test_box.shell(
        "cp /bin/sleep /tmp/own; chmod 4755 /tmp/own; chmod 777 /tmp; : >started; sleep 600",
    );
    let running = job.spawn();
    running.wait_for_file("started");
    for path in [
        test_box.path().join("tmp/tmp/own"),
        test_box.inside().join("started"),
    ] {
        let mut other = std::process::Command::new("setpriv");
        other
            .args(["--reuid=4321", "--regid=4321", "--clear-groups", "--", "ls"])
            .arg(&path);
        let seen = support::finish(other);
        assert_ne!(seen.code, 0, "{path:?}: {seen:?}");
    }
    running.signal(Signal::SIGTERM);
    running.finish().assert_verdict(1, "SG", "Interrupted");
    let mode = fs::metadata(test_box.path()).unwrap().permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o7777,
        0o755
    );
}

/// Somebody who may send signals to the keeper, a terminal for one, can stop it.
#[test]
#[ignore = "needs root: tests/run"]
fn a_stopped_keeper_does_not_lift_the_time_limits() {
    // A program that has not begun, since nobody opens the FIFO at the other end, is none for init to watch yet.
    let fifos = tempfile::tempdir().unwrap();
    fs::set_permissions(fifos.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let fifo = fifos.path().join("nobody");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::set_permissions(&fifo, fs::Permissions::from_mode(0o666)).unwrap();
    let rule = format!("--dir=/fifos={}:rw", fifos.path().display());
    let waits = [&*rule, "--stdin=/fifos/nobody", "--wall-time=1"];
    for (program, options, least) in [
        (
            &["/bin/sleep", "1000"][..],
            &["--wall-time=1"][..],
            "time-wall",
        ),
        (&["/bin/sleep", "1000"], &waits, "time-wall"),
        (&["./burn_cpu", "1000000"], &["--time=1"], "time"),
    ] {
        let test_box = TestBox::new();
        test_box.init();
        test_box.install("burn_cpu");
        let running = test_box.command(program).options(options).spawn();
        wait_until("the program runs", || !running.processes().is_empty());
        running.signal(Signal::SIGSTOP);
        wait_until("the program is dead", || running.processes().is_empty());
        running.signal(Signal::SIGCONT);
        let run = running.finish();
        assert_eq!(
            (run.code, run.meta.get("status")),
            (1, Some("TO")),
            "{run:?}"
        );
        assert!(run.meta.number(least) >= 1.0, "{run:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_control_groups_of_the_host_are_not_in_sight() {
    let run = TestBox::new()
        .command(&["/bin/cat", "/proc/self/cgroup"])
        .run();
    for line in run.assert_ok().stdout.lines() {
        assert!(line.ends_with(":/"), "{run:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_directory_is_no_standard_descriptor_unless_all_descriptors_are_passed_on() {
    let test_box = TestBox::new();
    let root = || fs::File::open("/").unwrap();
    let job = || test_box.command(&["/bin/true"]);
    let run = job().stdin(root()).run();
    run.assert_failed("standard input is a directory");
    run.assert_failed("--inherit-fds");
    for (number, name) in [(1, "output"), (2, "error")] {
        let run = job().through(&format!("exec \"$@\" {number}</")).run();
        let message = run.meta.get("message").unwrap();
        let expected = format!("standard {name} is a directory");
        assert!(message.contains(&expected), "{message}");
    }
    let inherited = job().options(&["--inherit-fds"]).stdin(root()).run();
    inherited.assert_ok();
    test_box.write("input", "");
    let redirected = job().options(&["--stdin=input"]).stdin(root()).run();
    redirected.assert_ok();
}
