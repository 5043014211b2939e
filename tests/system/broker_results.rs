//! A user who comes by the broker is told how a run ended, as root is: exit code, words, meta file, report.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use crate::support::systemd::{same_for_both, user_box};
use crate::support::{ALICE, BOB, FIGURES, Meta, Run, entries};

/// Everything that a run says, without the figures.
type Said = (i32, String, Vec<String>);

fn said(run: &Run) -> Said {
    let line = |(key, value): &(String, String)| match FIGURES.contains(&key.as_str()) {
        true => key.clone(),
        false => format!("{key}:{value}"),
    };
    let lines = run.meta.lines.iter().map(line).collect();
    let is_figure = |line: &&str| line.starts_with("OK (");
    let words: Vec<_> = run.stderr.lines().filter(|line| !is_figure(line)).collect();
    (run.code, words.join("\n"), lines)
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn every_ending_has_the_same_exit_code_words_and_keys_as_for_root() {
    for (script, options, code, words) in [
        ("exit 0", &[][..], 0, ""),
        ("exit 3", &[], 1, "Exited with error status 3"),
        ("exit 3", &["--silent"], 1, ""),
        ("kill -11 $$", &[], 1, "Caught fatal signal 11"),
        ("kill -64 $$", &[], 1, "Caught fatal signal 64"),
        ("while :; do :; done", &["-t0.2"], 1, "Time limit exceeded"),
        (
            "sleep 600",
            &["-w0.2"],
            1,
            "Time limit exceeded (wall clock)",
        ),
        (
            "exec /absent",
            &[],
            1,
            "/bin/sh: 1: exec: /absent: not found\nExited with error status 127",
        ),
        (
            "exit 0",
            &["--chdir=/absent"],
            2,
            "cannot change directory to '/absent': No such file or directory",
        ),
        (
            "exit 0",
            &["--dir=x=/no/such"],
            2,
            "cannot bind '/no/such' on 'x': No such file or directory",
        ),
        (
            "exit 0",
            &["--stdin=absent"],
            2,
            "cannot open standard input 'absent': No such file or directory",
        ),
    ] {
        let found = same_for_both(|test_box| said(&test_box.shell(script).options(options).run()));
        assert_eq!((found.0, &*found.1), (code, words), "{script} {options:?}");
        let status = found.2.iter().any(|line| line.starts_with("status:"));
        assert_eq!(status, code != 0, "{found:?}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn refusals_and_mistakes_are_in_the_meta_file_of_the_caller() {
    let refused = |args: &[&str]| {
        same_for_both(|test_box| {
            let meta = test_box.out().join("meta");
            fs::write(&meta, "time:1\n").unwrap();
            fs::set_permissions(&meta, fs::Permissions::from_mode(0o666)).unwrap();
            let option = format!("--meta={}", meta.display());
            let output = test_box.isolate(&[&[&*option], args].concat());
            assert_eq!((output.code, &*output.stdout), (2, ""), "{output:?}");
            (output.stderr, fs::read_to_string(&meta).unwrap())
        })
    };
    let (words, meta) = refused(&["--run", "--", "/bin/true"]);
    assert_eq!(words, "Box not found, did you run `isolate --init'?\n");
    assert_eq!(
        meta,
        "status:XX\nmessage:Box not found, did you run `isolate --init'?\n"
    );
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn after_a_mistake_there_are_no_results_of_an_earlier_run() {
    let test_box = user_box();
    let dir = test_box.make_dir("private", ALICE, 0o700);
    let meta = dir.join("meta");
    fs::write(&meta, "time:1\n").unwrap();
    chown(&meta, Some(ALICE), Some(ALICE)).unwrap();
    let option = format!("--meta={}", meta.display());
    let refused = test_box.isolate(&[&*option, "--what", "--run", "--", "/bin/true"]);
    refused.assert_refused(2, "unrecognized option '--what'");
    assert_eq!(fs::read_to_string(&meta).unwrap(), "");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_meta_file_is_made_in_the_callers_own_directory_and_is_theirs() {
    let test_box = user_box();
    let private = test_box.make_dir("private", ALICE, 0o700);
    for umask in ["077", "000", "777"] {
        let meta = private.join(umask);
        let job = test_box.shell("exit 0").meta(&meta);
        let script = format!("cd {} && umask {umask} && \"$@\"", private.display());
        job.through(&script).run().assert_ok();
        let found = fs::metadata(&meta).unwrap();
        let expected = (ALICE, ALICE, 0o644);
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), expected);
    }
    // A relative path is one of the caller's.
    let script = format!("cd {} && \"$@\"", private.display());
    let job = test_box.shell("exit 0").meta("relative").through(&script);
    assert_eq!(job.run().code, 0);
    let text = fs::read_to_string(private.join("relative")).unwrap();
    assert!(text.ends_with("exitcode:0\n"), "{text}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_meta_file_where_the_caller_may_not_write_is_refused_and_nothing_is_written() {
    let test_box = user_box();
    test_box.init();
    let of_root = test_box.make_dir("of_root", 0, 0o755);
    let of_bob = test_box.make_dir("of_bob", BOB, 0o700);
    let secret = of_root.join("existing");
    fs::write(&secret, "untouched\n").unwrap();
    let link = test_box.out().join("link");
    symlink(&secret, &link).unwrap();
    for option in ["--meta", "--report"] {
        for path in [
            of_root.join("new"),
            secret.clone(),
            of_bob.join("new"),
            link.clone(),
            test_box.lock_file(),
            test_box.config_file(),
        ] {
            let option = format!("{option}={}", path.display());
            let refused = test_box.isolate(&[&*option, "--run", "--", "/bin/touch", "ran"]);
            refused.assert_refused(2, "Permission denied");
            assert!(refused.stderr.contains(&*path.to_string_lossy()));
        }
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "untouched\n");
    assert_eq!(entries(&of_root).collect::<Vec<_>>(), [secret]);
    assert_eq!(entries(&of_bob).count(), 0);
    assert!(!test_box.inside().join("ran").exists());
    let config = fs::read_to_string(test_box.config_file()).unwrap();
    assert!(config.contains("[boxes]"), "{config}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_dash_is_standard_output_after_the_programs_own() {
    let found = same_for_both(|test_box| {
        let job = test_box.shell("echo program").meta("-");
        let run = job.options(&["--silent"]).run();
        let meta = Meta::parse(run.stdout.strip_prefix("program\n").unwrap());
        (run.code, run.stderr, meta.keys().join(" "))
    });
    let keys = "time time-wall max-rss csw-voluntary csw-forced exitcode";
    assert_eq!(found, (0, String::new(), keys.to_owned()));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_meta_file_in_the_box_is_no_programs_to_forge() {
    let test_box = user_box();
    test_box.init();
    let meta = test_box.inside().join("meta");
    let forged = "yes 'time:0.001' 2>/dev/null | head -n 1000 >meta; exit 3";
    let run = test_box.shell(forged).meta(&meta).run();
    run.assert_verdict(1, "RE", "Exited with error status 3");
    assert!(!run.meta.raw.contains("0.001\ntime:0.001"), "{run:?}");
    for replace in ["rm meta; echo status:OK >meta", "mv meta other", "rm meta"] {
        let run = test_box.shell(replace).meta(&meta).run();
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains("was removed or renamed"), "{run:?}");
    }
}

/// The names in a JSON document, as paths.
fn names(value: &serde_json::Value, at: &str) -> BTreeSet<String> {
    match value {
        serde_json::Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| names(value, &format!("{at}/{key}")))
            .collect(),
        _ => BTreeSet::from([at.to_owned()]),
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_report_says_the_same_as_for_root() {
    let found = same_for_both(|test_box| {
        let report = test_box.out().join("report");
        let option = format!("--report={}", report.display());
        let job = test_box.shell("exit 3");
        let run = job.options(&[&*option, "--wall-time=10", "--time=5"]).run();
        run.assert_verdict(1, "RE", "Exited with error status 3");
        let text = fs::read(&report).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let told = ["/verdict", "/exit_code", "/cgroup/manager", "/limits"];
        let told = told.map(|path| value.pointer(path).unwrap().clone());
        assert_eq!(value["box"]["uid"], test_box.uid());
        let unit = value["cgroup"]["unit"].as_str().unwrap();
        assert!(unit.starts_with(&format!("isolate-{}-", test_box.id())));
        (told.to_vec(), names(&value, ""))
    });
    assert_eq!(found.0[1], 3);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn verbose_lines_come_on_standard_error_alone() {
    let test_box = user_box();
    let script = "echo out; echo err >&2";
    let run = |option: &str| {
        let run = test_box.shell(script).options(&[option]).run();
        assert_eq!(run.assert_ok().stdout, "out\n");
        run.stderr
    };
    assert_eq!(run("--silent"), "err\n");
    let (verbose, louder) = (run("-v"), run("-vvv"));
    let scope = format!(
        "isolate.slice/isolate-u1000.slice/isolate-{}-",
        test_box.id()
    );
    assert!(verbose.contains(&scope), "{verbose}");
    assert!(louder.len() > verbose.len(), "{louder}");
    for text in [&verbose, &louder] {
        assert!(text.lines().any(|line| line == "err"), "{text}");
        let last = text.lines().last().unwrap();
        assert!(last.starts_with("OK ("), "{text}");
    }
    let absent = format!("--box-id={}", test_box.id() + 1);
    let output = test_box.isolate(&["-v", &absent, "--cleanup"]);
    output.assert_success();
    let words = "Nothing to do -- box did not exist";
    assert!(output.stderr.contains(words), "{output:?}");
    // Somebody who does not read holds nothing up.
    let job = test_box.shell("exit 0").options(&["-vvv"]);
    let run = job.through("exec \"$@\" 2>/dev/full").run();
    assert_eq!((run.code, run.meta.get("exitcode")), (0, Some("0")));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn results_that_cannot_be_written_are_an_error_and_no_death() {
    let test_box = user_box();
    let job = test_box.shell("exit 0").through("ulimit -f 0; exec \"$@\"");
    let run = job.run();
    assert_eq!(run.code, 2, "{run:?}");
    let words = "cannot write the meta file";
    assert!(run.stderr.contains(words), "{run:?}");
    assert!(run.stderr.contains("File too large"), "{run:?}");
}
