//! Limits on the command line: each does what it says.

use std::time::Instant;

use crate::support::{TestBox, slow};

/// More CPU time than any test waits for.
const FOR_EVER: &[&str] = &["100000000"];

#[test]
#[ignore = "needs root: tests/run"]
fn a_busy_program_is_killed_when_its_cpu_time_is_used_up() {
    let run = TestBox::new()
        .program("burn_cpu")
        .args(FOR_EVER)
        .options(&["--time=0.3"])
        .run();
    run.assert_verdict(1, "TO", "Time limit exceeded");
    assert_eq!(run.meta.get("killed"), Some("1"));
    let time = run.meta.number("time");
    assert!(time > 0.3, "{run:?}");
    assert!(slow() || time < 0.45, "{run:?}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn sleeping_is_no_cpu_time() {
    let job = TestBox::new().command(&["/bin/sleep", "1.5"]);
    let run = job.options(&["--time=1"]).run();
    run.assert_ok();
    assert!(run.meta.number("time-wall") >= 1.5, "{run:?}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_program_within_its_extra_time_ends_by_itself_and_is_over_its_time_all_the_same() {
    let run = TestBox::new()
        .program("burn_cpu")
        .args(&["400"])
        .options(&["--time=0.2", "--extra-time=1000"])
        .run();
    run.assert_verdict(1, "TO", "Time limit exceeded");
    assert_eq!(run.meta.get("killed"), None, "{run:?}");
    assert!(run.meta.number("time") >= 0.4, "{run:?}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn extra_time_is_no_increment_and_the_later_of_both_kills() {
    for (options, least) in [
        (["--time=0.2", "--extra-time=0.5"], 0.5),
        (["--time=0.4", "--extra-time=0.1"], 0.4),
    ] {
        let job = TestBox::new().program("burn_cpu").args(FOR_EVER);
        let run = job.options(&options).run();
        run.assert_verdict(1, "TO", "Time limit exceeded");
        let time = run.meta.number("time");
        assert!(time > least, "{run:?}");
        assert!(slow() || time < least + 0.19, "{run:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn extra_time_alone_is_no_limit() {
    let job = TestBox::new().program("burn_cpu").args(&["300"]);
    job.options(&["--extra-time=0.1"]).run().assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_sleeping_program_is_killed_when_its_wall_time_is_used_up() {
    let begin = Instant::now();
    let job = TestBox::new().command(&["/bin/sleep", "1000"]);
    let run = job.options(&["--wall-time=0.5"]).run();
    run.assert_verdict(1, "TO", "Time limit exceeded (wall clock)");
    assert_eq!(run.meta.get("killed"), Some("1"));
    assert!(run.meta.number("time-wall") > 0.5, "{run:?}");
    assert!(slow() || begin.elapsed().as_secs() < 20, "{run:?}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn times_take_units() {
    let test_box = TestBox::new();
    let job = test_box.command(&["/bin/sleep", "1000"]);
    let run = job.options(&["-w200ms"]).run();
    run.assert_verdict(1, "TO", "Time limit exceeded (wall clock)");
    let job = test_box.command(&["/bin/sleep", "0.3"]);
    job.options(&["-w2min", "-t", "1h"]).run().assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn mem_limits_the_address_space() {
    let test_box = TestBox::new();
    let allocate = |mib: &str, limit: &str| {
        let job = test_box.program("allocate").args(&[mib]);
        job.options(&[format!("--mem={limit}")]).run()
    };
    allocate("50", "102400").assert_ok();
    let refused = allocate("150", "102400");
    refused.assert_verdict(1, "RE", "Exited with error status 1");
    assert_eq!(refused.stdout, "Cannot allocate memory\n");
    allocate("150", "200M").assert_ok();
    allocate("150", "0").assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_stack_is_unlimited_but_for_its_option() {
    let test_box = TestBox::new();
    let recurse = |options: &[&str]| {
        let job = test_box.program("recurse").args(&["20000"]);
        job.options(options).run()
    };
    recurse(&[]).assert_ok();
    recurse(&["--stack=65536"]).assert_ok();
    recurse(&["-k1024"]).assert_verdict(1, "SG", "Caught fatal signal 11");
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_stack_of_threads_can_be_configured_and_the_option_wins() {
    let test_box = TestBox::new().config("[defaults]\nsoft_stack = '64M'\n");
    let limits = |options: &[&str]| {
        let job = test_box.shell("ulimit -Ss; ulimit -Hs");
        let run = job.options(options).run();
        run.assert_ok().stdout.replace('\n', " ")
    };
    assert_eq!(limits(&[]), "65536 unlimited ");
    assert_eq!(limits(&["--stack=128M"]), "131072 131072 ");
    assert_eq!(limits(&["--stack=0"]), "unlimited unlimited ");
    let recurse = |megabytes: &str| {
        let job = test_box.program("thread_stack").args(&[megabytes]);
        job.options(&["-p2"]).run()
    };
    recurse("60").assert_ok();
    recurse("70").assert_verdict(1, "SG", "Caught fatal signal 11");
    let usual = TestBox::new();
    let job = usual.program("thread_stack").args(&["5"]).options(&["-p2"]);
    job.run().assert_verdict(1, "SG", "Caught fatal signal 11");
}

#[test]
#[ignore = "needs root: tests/run"]
fn every_rlimit_has_its_default_and_its_option() {
    let test_box = TestBox::new();
    let limit = |name: &str, options: &[&str]| {
        let job = test_box.command(&["/bin/cat", "/proc/self/limits"]);
        let run = job.options(options).run();
        run.assert_ok();
        let line = run.stdout.lines().find(|line| line.starts_with(name));
        let words: Vec<_> = line.unwrap()[name.len()..].split_whitespace().collect();
        (words[0].to_owned(), words[1].to_owned())
    };
    let both = |value: &str| (value.to_owned(), value.to_owned());
    for (name, options, expected) in [
        ("Max stack size", &[][..], "unlimited"),
        ("Max stack size", &["--stack=4096"], "4194304"),
        // One byte is no dump, and none piped to a handler, either.
        ("Max core file size", &[], "1"),
        ("Max core file size", &["--core=4"], "4096"),
        ("Max open files", &[], "1024"),
        ("Max open files", &["--open-files=77"], "77"),
        ("Max file size", &["--fsize=3"], "3072"),
        ("Max locked memory", &[], "0"),
        ("Max processes", &[], "1"),
        ("Max processes", &["-p5"], "5"),
        ("Max processes", &["--processes=6"], "6"),
        ("Max address space", &["-m", "1G"], "1073741824"),
        ("Max address space", &[], "unlimited"),
    ] {
        assert_eq!(limit(name, options), both(expected), "{name} {options:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn open_files_limits_descriptors() {
    // Descriptor 10 is the eleventh.
    let script = "exec 3</dev/null 9</dev/null && exec /bin/sh -c 'true 12</dev/null'";
    let test_box = TestBox::new();
    test_box
        .shell("true 9</dev/null")
        .options(&["-n40"])
        .run()
        .assert_ok();
    let run = test_box.shell(script).options(&["-n8"]).run();
    assert_eq!(run.meta.get("status"), Some("RE"), "{run:?}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn fsize_limits_the_size_of_files() {
    let test_box = TestBox::new();
    let fill = |kib: &str| {
        let job = test_box.program("fill_file").args(&["file", kib]);
        job.options(&["--fsize=100"]).run()
    };
    fill("100").assert_ok();
    fill("101").assert_verdict(1, "SG", "Caught fatal signal 25");
    let size = std::fs::metadata(test_box.inside().join("file"))
        .unwrap()
        .len();
    assert_eq!(size, 102_400);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_program_is_alone_unless_processes_are_allowed() {
    let test_box = TestBox::new();
    let count = |options: &[&str]| {
        let job = test_box.program("count_threads").args(&["20"]);
        let run = job.options(options).run();
        run.stdout.trim().to_owned()
    };
    assert_eq!(count(&[]), "1");
    assert_eq!(count(&["-p4"]), "4");
    assert_eq!(count(&["-p"]), "21");
    assert_eq!(count(&["--processes"]), "21");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_fork_bomb_stays_within_its_processes_and_ends_with_its_run() {
    let test_box = TestBox::new();
    let job = test_box.program("fork_bomb");
    // Whoever counts shares the processors with it.
    let wall_time = if slow() { 10 } else { 2 };
    let options = ["-p10", &format!("--wall-time={wall_time}")];
    let mut running = job.options(&options).spawn();
    let mut most = 0;
    while running.is_running() {
        most = most.max(running.processes().len());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    running
        .finish()
        .assert_verdict(1, "TO", "Time limit exceeded (wall clock)");
    assert!((2..=10).contains(&most), "{most} processes");
    assert_eq!(test_box.processes(), [] as [i32; 0]);
}

#[test]
#[ignore = "needs root: tests/run"]
fn limits_are_counted_for_each_box_by_itself() {
    let first = TestBox::new();
    let second = TestBox::new();
    let running = first.shell("> here; sleep 1000").options(&["-p3"]).spawn();
    running.wait_for_file("here");
    let job = second.program("count_threads").args(&["5"]);
    assert_eq!(job.options(&["-p3"]).run().stdout, "3\n");
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.finish().assert_verdict(1, "SG", "Interrupted");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_quota_on_a_file_system_without_quotas_is_refused_with_what_to_do() {
    let test_box = TestBox::new();
    let output = test_box.isolate(&["--quota=1024,100", "--init"]);
    output.assert_refused(2, "cannot set the disk quota on the file system of");
    // What it left is a box that can be removed or made anew.
    test_box.isolate(&["--init"]).assert_success();
    test_box.cleanup();
}

#[test]
#[ignore = "needs root: tests/run"]
fn control_group_mode_is_refused_where_there_is_none() {
    let test_box = TestBox::new();
    test_box
        .isolate(&["--cg", "--init"])
        .assert_refused(2, "--cg is not possible: ");
    test_box.assert_gone();
    let run = test_box.command(&["/bin/true"]).options(&["--cg"]).run();
    run.assert_failed("control group mode");
}

#[test]
#[ignore = "needs root: tests/run"]
fn defaults_of_the_configuration_hold_and_options_win_over_them() {
    let test_box = TestBox::new().config("[defaults]\nwall_time = 0.5\nopen_files = 33\n");
    let sleep = |options: &[&str]| {
        let job = test_box.command(&["/bin/sleep", "1"]);
        job.options(options).run()
    };
    sleep(&[]).assert_verdict(1, "TO", "Time limit exceeded (wall clock)");
    sleep(&["-w100"]).assert_ok();
    sleep(&["-w0"]).assert_ok();
    let limits = test_box.shell("ulimit -n").run();
    assert_eq!(limits.stdout, "33\n");
}
