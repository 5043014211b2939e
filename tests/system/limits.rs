//! Limits of memory, processes and CPUs hold for everything in a run together, and for this run alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::systemd::{
    Mounted, assert_nothing_left, cg_box, let_go, must, only_scope, private_mounts, read_cgroup,
    start,
};
use crate::support::{CG_FIGURES, TestBox, program, wait_until};

/// The keys of a run that was killed for memory.
fn oom_keys() -> Vec<&'static str> {
    let ending = ["cg-oom-killed", "exitsig", "status", "message"];
    [&CG_FIGURES[..], &ending].concat()
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn many_processes_that_take_too_much_memory_together_are_killed_together() {
    let test_box = cg_box();
    let bomb = test_box.program("memory_bomb").args(&["4", "12"]);
    let run = bomb.options(&["--cg-mem=32M", "--processes=10"]).run();
    run.assert_verdict(1, "SG", "Caught fatal signal 9");
    run.assert_keys(&oom_keys());
    assert_eq!(run.meta.get("cg-oom-killed"), Some("1"));
    assert_eq!(run.meta.get("exitsig"), Some("9"));
    let peak = run.meta.number("cg-mem");
    assert!((30_000.0..=32_768.0).contains(&peak), "{run:?}");
    assert_nothing_left(&test_box);

    // The next run in the same box: no verdict, no peak and no limit of the one before.
    let run = test_box.program("burn_cpu").args(&["1"]).run();
    run.assert_ok()
        .assert_keys(&[&CG_FIGURES[..], &["exitcode"]].concat());
    assert!(run.meta.number("cg-mem") < 16_384.0, "{run:?}");
    let run = test_box.program("memory_bomb").args(&["1", "48"]).run();
    run.assert_ok();
    assert!(run.meta.number("cg-mem") >= 49_152.0, "{run:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn one_process_within_its_limit_is_not_killed_and_its_peak_is_reported() {
    let run = cg_box()
        .program("memory_bomb")
        .args(&["1", "24"])
        .options(&["--cg-mem=64M"])
        .run();
    run.assert_ok()
        .assert_keys(&[&CG_FIGURES[..], &["exitcode"]].concat());
    let (peak, largest) = (run.meta.number("cg-mem"), run.meta.number("max-rss"));
    assert!((24_576.0..30_000.0).contains(&peak), "{run:?}");
    assert!(largest >= 24_576.0, "{run:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn files_in_memory_count_as_memory() {
    let test_box = cg_box();
    let write = test_box.program("fill_file").args(&["/dev/shm/x", "30000"]);
    let run = write.options(&["--cg-mem=8M"]).run();
    run.assert_verdict(1, "SG", "Caught fatal signal 9");
    run.assert_keys(&oom_keys());
    assert!(run.meta.number("cg-mem") <= 8192.0, "{run:?}");
    // They are gone with the run.
    let run = test_box.shell("ls /dev/shm").run();
    run.assert_ok();
    assert_eq!(run.stdout, "");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_page_cache_counts_but_is_given_back_before_anyone_is_killed() {
    // A file system on a disk: what is in a tmpfs cannot be given back.
    let test_box = TestBox::new_in("/var/tmp".as_ref(), "systemd").options(&["--cg"]);
    let run = test_box.program("fill_file").args(&["file", "16000"]).run();
    run.assert_ok();
    // Read, not written: pages that wait for a slow disk cannot be given back in time, and the kernel kills for them.
    let read = || test_box.program("read_file").args(&["file"]);
    let run = read().run();
    run.assert_ok();
    assert_eq!(run.stdout, "16000\n");
    assert!(run.meta.number("cg-mem") >= 16_000.0, "{run:?}");
    let run = read().options(&["--cg-mem=8M"]).run();
    run.assert_ok()
        .assert_keys(&[&CG_FIGURES[..], &["exitcode"]].concat());
    assert_eq!(run.stdout, "16000\n");
    assert!(run.meta.number("cg-mem") <= 8192.0, "{run:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn processes_without_a_number_have_no_limit_of_systemds_either() {
    let test_box = cg_box();
    let running = test_box
        .command(&["/bin/sleep", "600"])
        .options(&["-p"])
        .spawn();
    wait_until("the program runs", || !running.processes().is_empty());
    let (scope, _) = only_scope(&test_box);
    for cgroup in [&scope, &scope.join("box")] {
        assert_eq!(read_cgroup(cgroup, "pids.max"), "max");
    }
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.finish().assert_verdict(1, "SG", "Interrupted");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_leaf_holds_the_limits_and_there_is_no_swap() {
    let test_box = cg_box();
    let sleep = test_box.command(&["/bin/sleep", "600"]);
    let running = sleep.options(&["--cg-mem=32M", "--processes=3"]).spawn();
    wait_until("the program runs", || !running.processes().is_empty());
    let leaf = only_scope(&test_box).0.join("box");
    assert_eq!(read_cgroup(&leaf, "memory.max"), (32 << 20).to_string());
    assert_eq!(read_cgroup(&leaf, "memory.swap.max"), "0");
    assert_eq!(read_cgroup(&leaf, "pids.max"), "3");
    running.signal(nix::sys::signal::Signal::SIGINT);
    running.finish().assert_verdict(1, "SG", "Interrupted");
}

/// Swap of this machine, in a file, until it is dropped.
struct Swap {
    file: PathBuf,
    _mounted: Mounted,
}

impl Swap {
    fn on() -> Self {
        private_mounts();
        let mounted = Mounted::image(96, &["mkfs.ext4", "-q"], "rw");
        let file = mounted.path().join("swap");
        fs::write(&file, vec![0; 64 << 20]).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        for command in ["mkswap", "swapon"] {
            must(command, &[&file]);
        }
        Self {
            file,
            _mounted: mounted,
        }
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        must("swapoff", &[&self.file]);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_does_not_fit_into_the_memory_of_a_run_does_not_go_to_swap() {
    let _swap = Swap::on();
    let bomb = program("memory_bomb");
    let limit = ["--scope", "--quiet", "--property=MemoryMax=16M"];
    // It would.
    must(
        "systemd-run",
        &[&limit[..], &[bomb.to_str().unwrap(), "1", "40"]].concat(),
    );
    let job = cg_box().program("memory_bomb").args(&["1", "40"]);
    let run = job.options(&["--cg-mem=16M"]).run();
    run.assert_verdict(1, "SG", "Caught fatal signal 9");
    assert_eq!(run.meta.get("cg-oom-killed"), Some("1"), "{run:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_fork_bomb_is_held_by_the_limit_of_processes_and_ended_by_that_of_time() {
    let test_box = cg_box();
    let bomb = test_box.program("fork_bomb");
    let running = bomb
        .options(&["--processes=12", "--wall-time=2", "--cg-mem=64M"])
        .spawn();
    wait_until("all processes are there", || {
        running.processes().len() >= 12
    });
    for _ in 0..5 {
        let processes = running.processes();
        assert!(processes.len() <= 12, "{processes:?}");
    }
    let run = running.finish();
    run.assert_verdict(1, "TO", "Time limit exceeded (wall clock)");
    run.assert_keys(&[&["status", "message", "killed"][..], &CG_FIGURES].concat());
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn threads_count_as_processes() {
    let test_box = cg_box();
    for (option, count) in [
        ("--processes=7", "7\n"),
        ("--processes", "21\n"),
        ("--silent", "1\n"),
    ] {
        let run = test_box
            .program("count_threads")
            .args(&["20"])
            .options(&[option])
            .run();
        run.assert_ok();
        assert_eq!(run.stdout, count, "{option}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_limit_of_the_control_group_needs_control_group_mode() {
    let test_box = TestBox::with_manager("systemd");
    test_box
        .init()
        .isolate(&["--cg-mem=1000", "--run", "--", "/bin/true"])
        .assert_refused(2, "--cg-mem needs --cg");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_box_keeps_to_the_mode_that_it_was_made_with() {
    let without = TestBox::with_manager("systemd");
    let run = without.command(&["/bin/true"]).options(&["--cg"]).run();
    run.assert_failed("incompatible control group mode");
    without.command(&["/bin/true"]).run().assert_ok();

    let with = TestBox::with_manager("systemd");
    with.isolate(&["--cg", "--init"]).assert_success();
    let run = with.isolate(&["--run", "--", "/bin/true"]);
    run.assert_refused(2, "incompatible control group mode");
    // Made anew, it is as asked; and it can be removed without --cg.
    with.isolate(&["--init"]).assert_success();
    with.isolate(&["--run", "--", "/bin/true"]).assert_success();
    with.isolate(&["--cg", "--init"]).assert_success();
    with.cleanup();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_box_is_bound_to_the_cpus_of_its_pin_and_others_are_not() {
    let plain = cg_box();
    let run = plain.program("list_cpus").run();
    run.assert_ok();
    let all = run.stdout.clone();
    assert!(
        all.split_whitespace().count() > 1,
        "this needs two CPUs: {all}"
    );
    for options in [&["--cg"][..], &[]] {
        let test_box = TestBox::with_manager("systemd").options(options);
        let pin = format!("[[pin]]\nboxes = {}\ncpus = '1'\n", test_box.id());
        let test_box = test_box.config(&pin);
        let run = test_box.program("list_cpus").run();
        run.assert_ok();
        assert_eq!(run.stdout, "1 \n");
    }
    let pin = format!("[[pin]]\nboxes = {}\ncpus = '1'\n", plain.id() + 1);
    let config = fs::read_to_string(plain.config_file()).unwrap();
    fs::write(plain.config_file(), config + &pin).unwrap();
    assert_eq!(plain.program("list_cpus").run().stdout, all);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_box_is_bound_to_the_memory_nodes_of_its_pin() {
    let bound_to = |nodes: &str| {
        let test_box = cg_box();
        let pin = format!("[[pin]]\nboxes = {}\nmems = '{nodes}'\n", test_box.id());
        test_box.config(&pin)
    };
    let test_box = bound_to("0");
    let running = start(&test_box);
    let leaf = only_scope(&test_box).0.join("box");
    for file in ["cpuset.mems", "cpuset.mems.effective"] {
        assert_eq!(read_cgroup(&leaf, file), "0", "{file}");
    }
    let_go(&test_box);
    running.finish().assert_ok();
    let nodes = "grep ^Mems_allowed_list: /proc/self/status";
    let run = test_box.shell(nodes).options(&["--processes=4"]).run();
    assert_eq!(run.assert_ok().stdout, "Mems_allowed_list:\t0\n");
    let run = bound_to("63").command(&["/bin/true"]).run();
    run.assert_failed("cpuset.mems");
    assert!(run.stderr.contains("63"), "{run:?}");
}

/// init is on one CPU for a while, which is nobody's business but its own.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_program_runs_on_the_cpus_that_its_caller_may_use() {
    let test_box = TestBox::with_manager("systemd");
    let list_by = |caller: &str| {
        let run = test_box.program("list_cpus").through(caller).run();
        run.assert_ok().stdout.clone()
    };
    let all = list_by("exec \"$@\"");
    assert!(
        all.split_whitespace().count() > 1,
        "this needs two CPUs: {all}"
    );
    let one = list_by("exec taskset --cpu-list 1 \"$@\"");
    // Before Linux 6.2 the kernel forgets what a process was bound to when it comes into another cpuset, and there is one
    // for each scope after a run of a box with a pin.
    let forgets = kernel() < (6, 2);
    assert!(one == "1 \n" || forgets && one == all, "{one}");
}

/// Version and patch level of the kernel.
fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn cpus_that_this_machine_does_not_have_are_refused_by_name() {
    let test_box = cg_box();
    let config = fs::read_to_string(test_box.init().config_file()).unwrap();
    let pin = format!("[[pin]]\nboxes = {}\ncpus = '77'\n", test_box.id());
    fs::write(test_box.config_file(), format!("{config}{pin}")).unwrap();
    let run = test_box.command(&["/bin/true"]).run();
    run.assert_failed("cpuset.cpus");
    assert!(run.stderr.contains("77"), "{run:?}");
    run.assert_keys(&["status", "message"]);
    assert_nothing_left(&test_box);
    assert!(test_box.processes().is_empty());

    fs::write(test_box.config_file(), config).unwrap();
    test_box.command(&["/bin/true"]).run().assert_ok();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn more_processes_than_there_can_be_are_no_limit() {
    let job = cg_box().command(&["/bin/true"]);
    job.options(&["--processes=2147483647"]).run().assert_ok();
}
