//! Hostile programs: they do not get out, do not disturb anybody outside, and do not survive.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command};

use crate::support::systemd::{any_box, assert_nothing_left, cg_box, must};
use crate::support::{Run, TestBox, processes_of, slow, wait_until};
use nix::sys::signal::Signal;

const WALL: &str = "Time limit exceeded (wall clock)";

/// The lines `what: result` of a program that tries things; what it could do.
fn done(run: &Run) -> Vec<&str> {
    run.assert_ok();
    assert!(!run.stdout.is_empty());
    let lines = run
        .stdout
        .lines()
        .map(|line| line.split_once(": ").unwrap());
    lines
        .filter(|(_, result)| *result == "done" || *result == "sent")
        .map(|(what, _)| what)
        .collect()
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_program_cannot_leave_or_change_its_control_group() {
    let test_box = cg_box();
    let run = test_box
        .program("escape_cgroup")
        .options(&["--cg-mem=32M"])
        .run();
    let done = done(&run);
    // In a user namespace it may look at its own leaf, where everything belongs to root.
    assert!(
        done.iter()
            .all(|what| ["unshare", "mount inside"].contains(what)),
        "{run:?}"
    );
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn no_control_group_but_its_own_is_in_sight_not_even_with_sysfs() {
    // Java looks for its limits where there is a cpu controller, and nowhere else.
    let script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max /proc/self/cgroup; \
                  cd /sys/fs/cgroup; find . -type d; \
                  for name in memory.max pids.max cpu.max cpu.weight cgroup.procs cgroup.kill; do \
                  (echo 1 > $name) 2>/dev/null && echo $name; done; mkdir new 2>/dev/null; echo end";
    for sysfs in ["--dir=sys=sysfs:fs", "--dir=sys/none="] {
        let options = [sysfs, "--cg-mem=64M", "-p7"];
        let run = cg_box().shell(script).options(&options).run();
        let expected = format!("{}\n7\nmax 100000\n0::/\n.\nend\n", 64 << 20);
        assert_eq!(run.assert_ok().stdout, expected, "{sysfs}");
    }
    let script = "cat /proc/self/mounts; ls -A /sys/fs/cgroup; echo end";
    let options = ["--dir=sys=sysfs:fs", "--dir=sys/fs/cgroup="];
    let run = cg_box().shell(script).options(&options).run();
    run.assert_ok();
    assert!(!run.stdout.contains(" cgroup"), "{run:?}");
    assert!(run.stdout.ends_with(" 0 0\nend\n"), "{run:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_program_sees_no_process_but_its_own() {
    let script =
        "for process in /proc/[0-9]*; do echo ${process#/proc/}; done; kill -0 1 || echo no";
    let run = any_box().shell(script).run();
    run.assert_ok();
    assert_eq!(run.stdout, "2\nno\n");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_program_cannot_take_init_over() {
    let test_box = any_box();
    let run = test_box.program("trace_init").run();
    assert_eq!(done(&run), [] as [&str; 0]);
}

/// A setting of the machine, as it was again when this is dropped.
struct Setting(&'static str, String);

impl Setting {
    fn set(path: &'static str, value: &str) -> Self {
        let before = fs::read_to_string(path).unwrap();
        fs::write(path, value).unwrap();
        Self(path, before)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        fs::write(self.0, &self.1).unwrap();
    }
}

/// Until it is executed a program has the memory of init.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_memory_of_init_is_opened_through_no_link_though_users_may_dump_theirs() {
    let _setting = Setting::set("/proc/sys/fs/suid_dumpable", "1");
    for option in ["--stdin=link", "--stdout=link"] {
        let test_box = cg_box();
        test_box.init();
        symlink("/proc/self/mem", test_box.inside().join("link")).unwrap();
        let proc = "--dir=proc=proc:fs:rw";
        let options = ["--special-files", proc, option];
        let run = test_box.shell("exit 0").options(&options).run();
        run.assert_failed("Permission denied");
    }
}

/// A process of the same user, outside of any box.
struct Neighbor(Child);

impl Neighbor {
    fn of(test_box: &TestBox) -> Self {
        let uid = test_box.uid();
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={uid}"), format!("--regid={uid}")]);
        command.args(["--clear-groups", "--", "sleep", "600"]);
        let new = Self(command.spawn().unwrap());
        // From now on boxes get other ids: with this one a run would be refused.
        wait_until("the neighbor is there", || !processes_of(uid).is_empty());
        new
    }
}

impl Drop for Neighbor {
    fn drop(&mut self) {
        let survived = matches!(self.0.try_wait(), Ok(None));
        drop(self.0.kill());
        drop(self.0.wait());
        assert!(
            survived || std::thread::panicking(),
            "a process outside was killed"
        );
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_program_that_kills_everything_kills_nobody_outside() {
    let test_box = any_box();
    let neighbor = Neighbor::of(&test_box);
    let run = test_box.program("kill_everything").run();
    assert_eq!(done(&run), [] as [&str; 0]);
    // Its own other processes it may kill.
    let run = test_box.shell("sleep 600 & exec ./kill_everything").run();
    run.assert_ok();
    assert!(run.stdout.ends_with("all: sent\n"), "{run:?}");
    drop(neighbor);
}

/// Runs a program that will not end by itself, and nothing of it may be left.
fn ends_by_the_clock(name: &str, args: &[&str], options: &[&str]) -> Run {
    let test_box = any_box();
    let job = test_box.program(name).args(args).options(&[if slow() {
        "--wall-time=8"
    } else {
        "--wall-time=1"
    }]);
    let run = job.options(options).run();
    run.assert_verdict(1, "TO", WALL);
    assert_nothing_left(&test_box);
    run
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_program_that_ignores_all_signals_is_ended() {
    ends_by_the_clock("ignore_signals", &[], &[]).assert_verdict(1, "TO", WALL);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_program_that_stops_itself_is_ended() {
    ends_by_the_clock("stop_self", &[], &[]).assert_verdict(1, "TO", WALL);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_deep_tree_of_processes_is_ended() {
    // Time for all twenty to begin beside other tests.
    let options = ["--processes=20", "--wall-time=8"];
    let run = ends_by_the_clock("deep_tree", &["20"], &options);
    assert_eq!(run.stdout, "bottom\n");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_storm_of_processes_and_threads_is_ended() {
    let options = ["--processes=30", "--cg-mem=128M"];
    ends_by_the_clock("storm", &["600"], &options).assert_verdict(1, "TO", WALL);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn daemons_do_not_outlive_the_program() {
    let test_box = any_box();
    let run = test_box
        .program("leave_daemons")
        .args(&["10"])
        .options(&["--processes=20"])
        .run();
    run.assert_ok();
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_program_may_close_every_descriptor() {
    let test_box = any_box();
    let run = test_box.program("close_all").run();
    run.assert_verdict(1, "RE", "Exited with error status 7");
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_a_program_writes_comes_out_as_it_is() {
    let script = "head -c 300000 /dev/zero | tr '\\0' x; echo status:OK >&2; echo killed:1";
    let run = any_box().shell(script).run();
    run.assert_ok();
    assert_eq!(run.stdout.len(), 300_000 + "killed:1\n".len());
    assert!(run.stderr.starts_with("status:OK\n"), "{run:?}");
    assert_eq!(run.meta.get("killed"), None);
}

/// A fork bomb is at its worst while it is being killed. Without a limit of memory: forks that are refused leave the
/// kernel memory to be freed later, which a slow machine does not catch up with.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_fork_bomb_ends_whoever_ends_it() {
    let test_box = cg_box();
    let neighbor = Neighbor::of(&test_box);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let bomb = test_box.program("fork_bomb");
        let mut running = bomb.options(&["--processes=25"]).spawn();
        // The neighbor is one of them.
        wait_until("the bomb has gone off, or is over", || {
            running.processes().len() > 15 || !running.is_running()
        });
        if !running.is_running() {
            panic!("{:?}", running.finish());
        }
        running.signal(signal);
        let run = running.finish();
        assert_eq!(
            run.code,
            if signal == Signal::SIGKILL { -9 } else { 1 },
            "{run:?}"
        );
        wait_until("the bomb is dead", || test_box.processes().len() == 1);
    }
    drop(neighbor);
    assert_nothing_left(&test_box);
    must("systemctl", &["is-active", "--quiet", "dbus.service"]);
}
