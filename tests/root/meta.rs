//! The meta file: every kind of ending has its exact keys, in their order, and its exact words.

use crate::support;
use std::fs;

use crate::support::{FIGURES, Meta, Run, TestBox, finish, isolate_command, wait_until};
use nix::sys::signal::Signal;

/// The keys of a run: these, the figures, and those.
fn keys(before: &[&'static str], after: &[&'static str]) -> Vec<&'static str> {
    [before, &FIGURES, after].concat()
}

/// Figures are as isolate formats them: seconds with three digits, whole numbers.
#[track_caller]
fn assert_figures(run: &Run) {
    for key in ["time", "time-wall"] {
        let value = run.meta.get(key).unwrap();
        let (seconds, millis) = value.split_once('.').unwrap();
        assert!(millis.len() == 3 && !seconds.is_empty(), "{key}:{value}");
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        assert!(digits(seconds) && digits(millis), "{key}:{value}");
    }
    for key in ["max-rss", "csw-voluntary", "csw-forced"] {
        let value = run.meta.get(key).unwrap();
        assert!(value.parse::<u64>().is_ok(), "{key}:{value}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn success_has_figures_and_the_exit_code_and_no_status() {
    let run = TestBox::new().shell("exit 0").run();
    run.assert_ok().assert_keys(&keys(&[], &["exitcode"]));
    assert_figures(&run);
    assert!(run.meta.number("max-rss") > 100.0, "{run:?}");
    let (time, wall) = (run.meta.get("time"), run.meta.get("time-wall"));
    let line = format!(
        "OK ({} sec real, {} sec wall)\n",
        time.unwrap(),
        wall.unwrap()
    );
    assert_eq!(run.stderr, line);
}

#[test]
#[ignore = "needs root: tests/run"]
fn another_exit_code_is_a_runtime_error() {
    let test_box = TestBox::new();
    for code in ["1", "2", "127", "255"] {
        let run = test_box.shell(&format!("exit {code}")).run();
        let message = format!("Exited with error status {code}");
        run.assert_verdict(1, "RE", &message)
            .assert_keys(&keys(&[], &["exitcode", "status", "message"]));
        assert_figures(&run);
        assert_eq!(run.meta.get("exitcode"), Some(code));
        assert_eq!(run.stderr, format!("{message}\n"));
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_fatal_signal_is_named_by_its_number() {
    let test_box = TestBox::new();
    for signal in ["1", "6", "9", "11", "15", "31", "34", "64"] {
        let run = test_box
            .shell(&format!("kill -{signal} $$; sleep 100"))
            .run();
        let message = format!("Caught fatal signal {signal}");
        run.assert_verdict(1, "SG", &message)
            .assert_keys(&keys(&[], &["exitsig", "status", "message"]));
        assert_figures(&run);
        assert_eq!(run.meta.get("exitsig"), Some(signal));
        assert_eq!(run.stderr, format!("{message}\n"));
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_program_killed_for_time_has_the_verdict_before_the_figures() {
    let test_box = TestBox::new();
    let cpu = test_box.program("burn_cpu").args(&["1000000"]);
    let wall = test_box.command(&["/bin/sleep", "1000"]);
    for (job, option, message) in [
        (cpu, "--time=0.1", "Time limit exceeded"),
        (wall, "--wall-time=0.1", "Time limit exceeded (wall clock)"),
    ] {
        let run = job.options(&[option]).run();
        run.assert_verdict(1, "TO", message)
            .assert_keys(&keys(&["status", "message", "killed"], &[]));
        assert_figures(&run);
        assert_eq!(run.meta.get("killed"), Some("1"));
        assert_eq!(run.stderr, format!("{message}\n"));
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_program_over_its_time_that_ended_by_itself_has_the_verdict_in_place_of_its_exit_code() {
    let job = TestBox::new().program("burn_cpu").args(&["200"]);
    let run = job.options(&["--time=0.1", "--extra-time=1000"]).run();
    run.assert_verdict(1, "TO", "Time limit exceeded")
        .assert_keys(&keys(&[], &["status", "message"]));
    assert_figures(&run);
}

#[test]
#[ignore = "needs root: tests/run"]
fn an_interruption_is_a_signal_that_killed() {
    let test_box = TestBox::new();
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
    ] {
        let name = format!("ready-{}", signal as i32);
        let running = test_box.shell(&format!("> {name}; sleep 1000")).spawn();
        running.wait_for_file(&name);
        running.signal(signal);
        let run = running.finish();
        run.assert_verdict(1, "SG", "Interrupted")
            .assert_keys(&keys(&["exitsig", "status", "message", "killed"], &[]));
        assert_figures(&run);
        let number = (signal as i32).to_string();
        assert_eq!(run.meta.get("exitsig"), Some(number.as_str()));
        assert_eq!(run.meta.get("killed"), Some("1"));
        assert_eq!(run.stderr, "Interrupted\n");
    }
}

/// script(1) has the other end of the terminal; when it dies, the kernel hangs up.
#[test]
#[ignore = "needs root: tests/run"]
fn a_terminal_that_goes_away_interrupts_the_run() {
    let test_box = TestBox::new();
    let sleep = test_box.command(&["/bin/sleep", "1000"]);
    let meta = test_box.dir().join("hung-up");
    let mut running = sleep
        .meta(&meta)
        .through("exec script --quiet --command \"$*\" /dev/null")
        .spawn();
    wait_until("the program runs", || !running.processes().is_empty());
    assert!(running.is_running());
    running.signal(Signal::SIGKILL);
    wait_until("the run has ended", || {
        fs::read_to_string(&meta).is_ok_and(|text| text.contains("status:"))
    });
    let text = fs::read_to_string(&meta).unwrap();
    assert!(text.contains("status:SG\nmessage:Interrupted\n"), "{text}");
    assert!(text.contains("exitsig:1\n"), "{text}");
    wait_until("nobody is left", || running.processes().is_empty());
    test_box.command(&["/bin/true"]).run().assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn after_a_mistake_in_the_command_line_there_are_no_results_of_an_earlier_run() {
    let test_box = TestBox::new();
    let meta = test_box.write("meta", "");
    let path = meta.to_str().unwrap();
    for (args, left) in [
        (&["-M", path, "--what", "--run", "a"][..], ""),
        (&["--run", "--meta", path], ""),
        (&["--what", "-M", path, "--run", "a"], "status:TO\n"),
    ] {
        fs::write(&meta, "status:TO\n").unwrap();
        let output = finish(isolate_command(args));
        assert_eq!(output.code, 2, "{output:?}");
        assert_eq!(fs::read_to_string(&meta).unwrap(), left, "{args:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn an_internal_error_has_status_xx_and_a_message_without_colons() {
    let test_box = TestBox::new();
    let absent = test_box
        .command(&["/bin/true"])
        .options(&["--dir=x=/no/such"])
        .run();
    absent.assert_failed("cannot bind '/no/such' on 'x': No such file or directory");
    absent.assert_keys(&["status", "message"]);
    let message = absent.meta.get("message").unwrap();
    assert!(!message.contains(':'), "{message}");
    let inside = test_box
        .command(&["/bin/true"])
        .options(&["--chdir=/absent"])
        .run();
    inside.assert_failed("cannot change directory to '/absent'");
    assert_eq!(inside.meta.get("exitcode"), None);
    assert_eq!(inside.stderr.lines().count(), 1, "{inside:?}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_refusal_is_in_the_meta_file_too() {
    let test_box = TestBox::new();
    let meta = test_box.out().join("meta");
    let path = meta.to_str().unwrap();
    let output = test_box.isolate(&["--meta", path, "--run", "--", "/bin/true"]);
    output.assert_refused(2, "Box not found, did you run `isolate --init'?");
    let meta = Meta::parse(&fs::read_to_string(&meta).unwrap());
    assert_eq!(meta.keys(), ["status", "message"]);
    assert_eq!(meta.get("status"), Some("XX"));
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_dash_is_standard_output_after_the_programs_own() {
    let test_box = TestBox::new();
    let run = test_box
        .shell("echo program")
        .meta("-")
        .options(&["-s"])
        .run();
    assert_eq!(run.code, 0);
    let meta = Meta::parse(run.stdout.strip_prefix("program\n").unwrap());
    assert_eq!(meta.keys(), keys(&[], &["exitcode"]));
}

#[test]
#[ignore = "needs root: tests/run"]
fn an_existing_meta_file_is_emptied_and_written_in_place() {
    let test_box = TestBox::new();
    let path = test_box.out().join("here");
    fs::write(&path, "something:old\n".repeat(1000)).unwrap();
    let before = fs::metadata(&path).unwrap();
    let run = test_box.shell("exit 0").meta(&path).run();
    run.assert_ok().assert_keys(&keys(&[], &["exitcode"]));
    let after = fs::metadata(&path).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_meta_file_that_cannot_be_opened_keeps_the_program_from_running() {
    let test_box = TestBox::new();
    let job = test_box.shell("> ran").meta("/no/such/directory/meta");
    let run = job.run();
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("/no/such/directory/meta"), "{run:?}");
    assert!(!test_box.inside().join("ran").exists());
}

#[test]
#[ignore = "needs root: tests/run"]
fn cpu_time_counts_children_orphans_and_nothing_else() {
    let test_box = TestBox::new();
    let idle = test_box.command(&["/bin/sleep", "0.3"]).run();
    idle.assert_ok();
    let busy = test_box.program("burn_daemon").args(&["300"]);
    let busy = busy.options(&["--processes"]).run();
    busy.assert_ok();
    let (idle, busy) = (idle.meta.number("time"), busy.meta.number("time"));
    assert!(busy >= 0.3, "{busy}");
    // Set-up is not the program's: what is left of it is the start of a small program.
    assert!(support::slow() || idle < 0.02, "{idle}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn max_rss_is_that_of_the_largest_process_and_not_the_keepers() {
    let test_box = TestBox::new();
    let rss = |mib: &str| {
        let job = test_box.program("allocate").args(&[mib]);
        job.run().meta.number("max-rss") / 1024.0
    };
    let (small, large) = (rss("1"), rss("50"));
    assert!((50.0..53.0).contains(&large), "{large} MiB");
    // The process shared the memory of init before it became the program, and the kernel remembers that.
    assert!(small < 10.0, "{small} MiB");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_program_cannot_forge_a_meta_file_in_its_box() {
    let test_box = TestBox::new();
    test_box.init();
    let meta = test_box.inside().join("meta");
    let forged = "yes 'time:0.001' | head -n 1000 >meta; exit 3";
    let run = test_box.shell(forged).meta(&meta).run();
    run.assert_verdict(1, "RE", "Exited with error status 3");
    assert!(!run.meta.raw.contains("time:0.001\ntime:0.001"), "{run:?}");
    for replace in [
        "rm meta; echo status:OK >meta",
        "mv meta other; echo status:OK >meta",
        "rm meta",
    ] {
        let run = test_box.shell(replace).meta(&meta).run();
        assert_eq!(run.code, 2, "{run:?}");
        assert!(
            run.stderr.contains("was removed or renamed during the run"),
            "{run:?}"
        );
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_report_is_json_with_what_the_meta_file_says_and_more() {
    let test_box = TestBox::new();
    let report = test_box.out().join("report");
    let option = format!("--report={}", report.display());
    let job = test_box
        .shell("exit 3")
        .options(&[&*option, "--wall-time=10", "--time=5"]);
    let run = job.run();
    run.assert_verdict(1, "RE", "Exited with error status 3");
    let value: serde_json::Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    for (path, expected) in [
        ("/verdict", "exit_code".into()),
        ("/status", "RE".into()),
        ("/exit_code", 3.into()),
        ("/killed", false.into()),
        ("/box/id", test_box.id().into()),
        ("/box/uid", test_box.uid().into()),
        ("/cgroup/manager", "none".into()),
        ("/limits/wall_time_us", 10_000_000.into()),
        ("/limits/cpu_kill_us", 5_000_000.into()),
        ("/restrictions/network", "none".into()),
    ] {
        assert_eq!(
            value.pointer(path),
            Some::<&serde_json::Value>(&expected),
            "{path}: {value}"
        );
    }
    let micros = value
        .pointer("/figures/cpu_time_us")
        .unwrap()
        .as_f64()
        .unwrap();
    let time = run.meta.number("time");
    assert!(
        time * 1e6 >= micros && time * 1e6 < micros + 1001.0,
        "{time} {micros}"
    );
    let stage = |name: &str| {
        value
            .pointer(&format!("/stages/{name}_us"))
            .unwrap()
            .as_u64()
            .unwrap()
    };
    assert!(stage("laid_out") <= stage("root_built") && stage("begun") <= stage("ended"));

    // A call that is refused says so there, too.
    let refused = test_box.isolate(&[&*option, "--cg", "--run", "--", "/bin/true"]);
    refused.assert_refused(2, "incompatible control group mode");
    let value: serde_json::Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(value["verdict"], "internal_error");
}

/// The link is from an earlier program, whose files are root's by now.
#[test]
#[ignore = "needs root: tests/run"]
fn a_link_in_the_box_does_not_lead_the_meta_file_out_of_it() {
    let test_box = TestBox::new();
    test_box.init();
    let victim = test_box.make_dir("victim", 0, 0o755).join("file");
    fs::write(&victim, "untouched").unwrap();
    let inside = test_box.inside();
    let plant = format!(
        "ln -s {0} meta; ln -s {1} dir",
        victim.display(),
        victim.parent().unwrap().display()
    );
    let job = test_box.shell(&plant).options(&["--special-files"]);
    job.run().assert_ok();
    std::os::unix::fs::symlink(&inside, test_box.dir().join("way")).unwrap();
    for meta in [
        inside.join("meta"),
        inside.join("dir/file"),
        test_box.dir().join("way/meta"),
        test_box
            .out()
            .join("../boxes")
            .join(test_box.id().to_string())
            .join("box/meta"),
    ] {
        let option = format!("--meta={}", meta.display());
        let refused = test_box.isolate(&[&*option, "--special-files", "--run", "--", "/bin/true"]);
        refused.assert_refused(2, "cannot open the meta file");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    }
    // Outside of boxes, too, where a program may write to a directory.
    let shared = test_box.make_dir("shared", 0, 0o777);
    let link = format!("ln -s {} /shared/meta", victim.display());
    let rule = format!("--dir=shared={}:rw", shared.display());
    test_box
        .shell(&link)
        .options(&[&*rule, "-p"])
        .run()
        .assert_ok();
    let option = format!("--meta={}/meta", shared.display());
    let refused = test_box.isolate(&[&*option, "--run", "--", "/bin/true"]);
    refused.assert_refused(2, "is a symbolic link of another user's");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    // A link of the caller's own is followed.
    let link = test_box.dir().join("link");
    std::os::unix::fs::symlink(test_box.out().join("real"), &link).unwrap();
    test_box
        .command(&["/bin/true"])
        .meta(&link)
        .run()
        .assert_ok();
    assert!(test_box.out().join("real").exists());
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_meta_file_on_a_full_disk_is_an_internal_error() {
    let test_box = TestBox::new();
    let run = test_box
        .init()
        .isolate(&["--meta=/dev/full", "--run", "--", "/bin/true"]);
    run.assert_refused(
        2,
        "cannot write the meta file '/dev/full': No space left on device",
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_keeper_that_is_sent_a_fatal_signal_says_so_and_takes_everything_along() {
    for signal in [Signal::SIGSEGV, Signal::SIGABRT] {
        let test_box = TestBox::new();
        let running = test_box.shell(": >started; sleep 600").spawn();
        running.wait_for_file("started");
        running.signal(signal);
        running.finish().assert_failed("received fatal signal");
        assert_eq!(test_box.processes(), [] as [i32; 0]);
        test_box.command(&["/bin/true"]).run().assert_ok();
    }
}
