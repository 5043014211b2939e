//! Users without root and without the broker: everything works, is held as for root, and leaves nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::dice::Dice;
use crate::support::rootless::{Rootless, SUBORDINATE};
use crate::support::systemd::cg_box;
use crate::support::{Meta, Started, TestBox, finish, finish_with_input, program, wait_until};

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_user_makes_uses_and_removes_boxes_by_themselves() {
    let user = Rootless::new();
    let output = user.call(&["exec", "--report=report", "--", "/bin/echo", "hello"]);
    assert_eq!((output.code, &*output.stdout), (0, "hello\n"), "{output:?}");
    assert!(
        output.stderr.starts_with("isolate-run: ok; CPU "),
        "{output:?}"
    );
    let report = json(&user.path("home/report"));
    assert_eq!(report["way"], "rootless", "{report}");
    assert_eq!(report["cgroup"]["manager"], "systemd", "{report}");
    let made = user.call(&["--init", "--box-id=3"]);
    let inside = user.inside(3);
    let path = inside.parent().unwrap().display();
    assert_eq!((made.code, made.stdout), (0, format!("{path}\n")));
    finish(user.program(&["sh", "-c", &format!("echo 6 > {}/in", inside.display())]))
        .assert_silent_success();
    let words = [
        "--box-id=3",
        "-i",
        "in",
        "-o",
        "out",
        "--meta=meta",
        "--run",
        "--",
    ];
    let script = "read x; echo $((x + 1)); : > made; mkdir -m 0 closed";
    let ran = user.call(&[&words[..], &["/bin/sh", "-c", script]].concat());
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
    let ran = user.call(&[&["-p9"], &words[..], &["/bin/sh", "-c", script]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(fs::read_to_string(inside.join("out")).unwrap(), "7\n");
    let owner = fs::metadata(inside.join("made")).unwrap().uid();
    assert_eq!(
        owner,
        crate::support::ALICE,
        "between runs all is the user's"
    );
    let meta = Meta::parse(&fs::read_to_string(user.path("home/meta")).unwrap());
    assert_eq!(meta.get("exitcode"), Some("0"));
    let cleaned = user.call(&["--box-id=3", "--cleanup"]);
    cleaned.assert_silent_success();
    user.assert_nothing_left();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn where_there_is_no_broker_users_go_this_way_by_themselves() {
    let user = Rootless::new();
    // Nobody else sees what is hidden.
    let hiding = |folders: &[&str]| {
        let hide = |folder: &&str| format!("mkdir -p {folder} && mount -t tmpfs tmpfs {folder}");
        let mut script: Vec<_> = folders.iter().map(hide).collect();
        script.push("exec setpriv \"$@\"".to_owned());
        let mut hidden = Command::new("unshare");
        hidden.args(["--mount", "sh", "-c", &script.join(" && "), "sh"]);
        hidden
    };
    let isolate = crate::support::binary();
    let argv = [
        isolate.to_str().unwrap(),
        "exec",
        "-s",
        "--",
        "/bin/echo",
        "hi",
    ];
    let units = [
        "/run/isolate",
        "/usr/lib/systemd/system",
        "/etc/systemd/system",
        "/usr/local/lib/systemd",
    ];
    let output = finish(user.behind(hiding(&units), &argv));
    assert_eq!((output.code, &*output.stdout), (0, "hi\n"), "{output:?}");
    // A broker that is stopped is no reason to go where less is held.
    if Path::new("/usr/lib/systemd/system/isolate.socket").exists() {
        let stopped = finish(user.behind(hiding(&["/run/isolate"]), &argv));
        stopped.assert_refused(125, "have the broker running");
    }
    user.assert_nothing_left();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_configuration_that_is_shown_and_changed_is_the_users_own() {
    let user = Rootless::new();
    let root = user.path("state/isolate-run").display().to_string();
    let got = user.call(&["config", "get", "boxes.root"]);
    assert_eq!((got.code, got.stdout), (0, root + "\n"));
    let set = user.call(&["config", "set", "defaults.time", "7s"]);
    assert_eq!(set.code, 0, "{set:?}");
    let drop_in = user.path("config/isolate-run/isolate.toml.d/50-set.toml");
    let owner = fs::metadata(&drop_in).unwrap().uid();
    assert_eq!(owner, crate::support::ALICE);
    let shown = user.call(&["--check-config"]);
    let main = user.path("config/isolate-run/isolate.toml");
    for file in [&drop_in, &main] {
        let file = file.display().to_string();
        assert!(shown.stdout.contains(&file), "{file}: {shown:?}");
    }
    let report = ["exec", "--report=report", "--", "/bin/true"];
    assert_eq!(user.call(&report).code, 0);
    let report = json(&user.path("home/report"));
    assert_eq!(report["limits"]["cpu_time_us"], 7_000_000, "{report}");
    fs::write(&drop_in, "[defaults]\ntime = 'soon'\n").unwrap();
    let shown = user.call(&["config", "show"]);
    assert_eq!(shown.code, 2, "{shown:?}");
    assert!(shown.stderr.contains("50-set.toml"), "{shown:?}");
    user.assert_nothing_left();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn doctor_examines_what_runs_of_the_user_need() {
    let user = Rootless::new();
    let isolate = crate::support::binary();
    let argv = [isolate.to_str().unwrap(), "doctor", "--rootless", "--json"];
    // A mistake of the machine's is none of theirs.
    let broken = "mkdir -p /etc/isolate && mount -t tmpfs tmpfs /etc/isolate && \
        echo 'color = 1' >/etc/isolate/isolate.toml && exec setpriv \"$@\"";
    let doctor = || {
        let mut elsewhere = Command::new("unshare");
        elsewhere.args(["--mount", "sh", "-c", broken, "sh"]);
        let output = finish(user.behind(elsewhere, &argv));
        let said: Result<Value, _> = serde_json::from_str(&output.stdout);
        said.unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let found = |said: &Value, check: &str| {
        let mut checks = said["checks"].as_array().unwrap().iter();
        let found = checks.find(|found| found["name"] == check).unwrap();
        let text = |key: &str| found[key].as_str().unwrap().to_owned();
        (text("verdict"), text("value"))
    };
    let said = doctor();
    for (check, words) in [
        ("config", "it can be used"),
        ("boxes", "only you and root may write there"),
        ("delegation", "systemd delegates the scope"),
        ("slice", &format!("{} leaves", user.slice())),
    ] {
        let (verdict, value) = found(&said, check);
        assert!(
            verdict == "ok" && value.starts_with(words),
            "{check}: {verdict}: {value}"
        );
    }
    for check in ["ids", "subids", "quota", "polkit", "group"] {
        assert_eq!(found(&said, check).0, "not-applicable", "{check}");
    }
    // Of a service that is the machine's.
    assert_ne!(found(&said, "oomd").0, "not-applicable");
    let (verdict, rootless) = found(&said, "rootless");
    assert!(
        rootless.contains("subordinate ids"),
        "{verdict}: {rootless}"
    );
    // So it is for those who look often, by root of the namespace.
    let metrics = user.call(&["status", "--prometheus"]);
    let line = "isolate_doctor_verdict{check=\"config\"} 0\n";
    assert!(metrics.stdout.contains(line), "{metrics:?}");
    // Whose they are cannot be seen from inside.
    assert!(!metrics.stdout.contains("check=\"boxes\""), "{metrics:?}");
    let drop_in = user.path("config/isolate-run/isolate.toml.d");
    fs::create_dir(&drop_in).unwrap();
    fs::write(drop_in.join("60-own.toml"), "[cpus]\nlease = 'core'\n").unwrap();
    let (verdict, value) = found(&doctor(), "leases");
    assert_eq!(verdict, "error", "{value}");
    fs::write(drop_in.join("60-own.toml"), "color = 'red'\n").unwrap();
    let (verdict, value) = found(&doctor(), "config");
    assert!(
        verdict == "error" && value.contains("60-own.toml:1: color"),
        "{verdict}: {value}"
    );
    // Without the option it is what the broker reads.
    let output = finish(user.program(&[argv[0], "doctor", "--json"]));
    let said: Value = serde_json::from_str(&output.stdout).unwrap();
    if Path::new("/usr/lib/systemd/system/isolate.socket").exists() {
        assert_eq!(found(&said, "config").0, "ok");
    }
    let refused = user.call(&["doctor", "--root=/"]);
    refused.assert_refused(2, "exclude each other");
    user.assert_nothing_left();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn limits_hold_without_root_and_verdicts_are_those_of_root() {
    let user = Rootless::new();
    user.call(&["--cg", "--init"]).assert_success();
    for name in ["memory_bomb", "burn_cpu", "fork_bomb"] {
        let copy = user.write(name, fs::read(program(name)).unwrap(), 0o755);
        let inside = user.inside(0);
        finish(user.program(&["cp".as_ref(), copy.as_os_str(), inside.as_os_str()]))
            .assert_silent_success();
    }
    let root = cg_box();
    for (job, args, options) in [
        (
            "memory_bomb",
            &["1", "48"][..],
            &["--cg-mem=32M", "-p10"][..],
        ),
        ("memory_bomb", &["2", "8"], &["--cg-mem=64M", "-p10"]),
        ("burn_cpu", &["9000"], &["--time=0.2"]),
        ("burn_cpu", &["50"], &["--time=20", "--cg-mem=64M"]),
        ("fork_bomb", &[], &["-p8", "--time=0.3", "--wall-time=9"]),
    ] {
        let theirs = root.program(job).args(args).options(options).run();
        let report = "--report=report";
        let mut words = vec!["--cg", "--meta=meta", report];
        words.extend(options);
        let inside = format!("./{job}");
        words.extend(["--run", "--", &inside]);
        words.extend(args);
        let own = user.call(&words);
        let meta = Meta::parse(&fs::read_to_string(user.path("home/meta")).unwrap());
        let told = [
            "status",
            "message",
            "exitcode",
            "exitsig",
            "killed",
            "cg-oom-killed",
        ];
        assert_eq!(
            told.map(|key| meta.get(key)),
            told.map(|key| theirs.meta.get(key)),
            "{job} {options:?}: {own:?}"
        );
        assert_eq!(own.code, theirs.code, "{job} {own:?}");
        assert_same_figures(&meta, &theirs.meta);
        let report = json(&user.path("home/report"));
        assert_eq!(report["cgroup"]["control_group_mode"], true, "{report}");
    }
    user.call(&["--cg", "--cleanup"]).assert_silent_success();
    user.assert_nothing_left();
}

/// There are the same ones, and those that a program decides about by itself are near each other.
fn assert_same_figures(meta: &Meta, theirs: &Meta) {
    let sorted = |meta: &Meta| {
        let mut keys: Vec<_> = meta.keys().into_iter().map(str::to_owned).collect();
        // Whether somebody else wanted the processor, nobody knows.
        keys.retain(|key| !key.starts_with("csw-"));
        keys.sort();
        keys
    };
    assert_eq!(sorted(meta), sorted(theirs));
    if meta.get("exitcode") != Some("0") {
        return;
    }
    for (key, difference) in [("cg-mem", 2048.0), ("max-rss", 1024.0)] {
        let (ours, other) = (meta.number(key), theirs.number(key));
        // KiB: pages of the system's that one of them touched first.
        assert!(
            (ours - other).abs() <= difference,
            "{key}: {ours} and {other}"
        );
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn tests_pairs_batches_and_sessions_work_without_root() {
    let user = Rootless::new();
    user.write("sum.sh", "#!/bin/sh\nread a b\necho $((a + b))\n", 0o755);
    for (name, text) in [
        ("1.in", "1 2"),
        ("1.ans", "3"),
        ("2.in", "4 5"),
        ("2.ans", "8"),
    ] {
        user.write(name, format!("{text}\n"), 0o644);
    }
    let tested = user.call(&["test", "--in=*.in", "--out=*.ans", "--", "./sum.sh"]);
    assert!(
        tested.stdout.ends_with("2 tests: 1 OK, 1 WA\n"),
        "{tested:?}"
    );
    let paired = user.call(&[
        "pair",
        "--",
        "/bin/sh",
        "-c",
        "echo 5; read x; echo $x >&2",
        "--",
        "/bin/sh",
        "-c",
        "read x; echo $((x + 1))",
    ]);
    assert!(
        paired.code == 0 && paired.stdout.contains("A: 6\n"),
        "{paired:?}"
    );
    let job = r#"{"id": "a", "steps": [{"argv": ["/bin/echo", "hi"], "stdout": {"inline": {}}}]}"#;
    let batch = finish_with_input(user.command(&["batch"]), job.as_bytes());
    let result: Value = serde_json::from_str(&batch.stdout).unwrap();
    assert_eq!(result["outcome"], "done", "{batch:?}");
    let repeated = ["exec", "--in=sum.sh", "--repeat=3", "--", "./sum.sh"];
    let repeated = finish_with_input(user.command(&repeated), b"1 2\n");
    assert!(repeated.stderr.contains("3 runs, all ok"), "{repeated:?}");
    user.assert_nothing_left();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_is_seen_and_ended_by_another_command_of_its_user() {
    let user = Rootless::new();
    user.call(&["--init"]).assert_success();
    let running = Started::new(user.command(&["--run", "--", "/bin/sleep", "600"]), None);
    let status = || user.call(&["status", "--json"]).stdout;
    wait_until("it is seen to run", || {
        status().contains(r#""state": "running""#)
    });
    assert!(status().contains(r#""name": "alice""#), "{}", status());
    let killed = user.call(&["kill", "0"]);
    assert_eq!(
        (killed.code, &*killed.stdout),
        (0, "ended the run in box 0\n")
    );
    let run = running.finish();
    assert_eq!(run.code, 1, "{run:?}");
    user.call(&["--cleanup"]).assert_silent_success();
    user.assert_nothing_left();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_is_seen_and_ended_also_when_the_process_that_kept_the_namespace_is_gone() {
    let user = Rootless::new();
    user.call(&["--init"]).assert_success();
    let running = Started::new(user.command(&["--run", "--", "/bin/sleep", "600"]), None);
    let is_running = || {
        let status = user.call(&["status", "--json"]).stdout;
        status.contains(r#""state": "running""#)
    };
    wait_until("it is seen to run", is_running);
    let keeper = Pid::from_raw(user.keeper_of_namespace().unwrap());
    kill(keeper, Signal::SIGKILL).unwrap();
    wait_until("it is gone", || kill(keeper, None).is_err());
    assert!(is_running());
    user.call(&["kill", "0"]).assert_success();
    assert_eq!(running.finish().code, 1);
    user.call(&["--cleanup"]).assert_silent_success();
    user.assert_nothing_left();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_command_that_is_killed_leaves_a_box_that_can_be_used_and_nothing_else() {
    let user = Rootless::new();
    let mut dice = Dice(7);
    let rounds = if crate::support::slow() { 10 } else { 50 };
    for _ in 0..rounds {
        user.call(&["--wait", "--init"]).assert_success();
        let script = "sleep 600 & sleep 600";
        let words = ["-p9", "--run", "--", "/bin/sh", "-c", script];
        let running = Started::new(user.command(&words), None);
        let most = if crate::support::slow() { 900 } else { 90 };
        sleep(Duration::from_millis(dice.roll(most) as u64));
        drop(running);
    }
    let after = user.call(&["--wait", "--run", "--", "/bin/echo", "after"]);
    assert_eq!((after.code, &*after.stdout), (0, "after\n"), "{after:?}");
    user.call(&["--wait", "--cleanup"]).assert_silent_success();
    user.assert_nothing_left();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_program_is_not_its_user_and_reaches_nothing_of_theirs() {
    let user = Rootless::new();
    user.write("secret", "secret\n", 0o600);
    let home = format!("--dir=home={}", user.path("home").display());
    let script = "id -u; cat /home/secret; ls /home /run; cat /proc/self/uid_map; \
        grep -E '^(CapEff|CapPrm|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; \
        chmod 4755 made || echo refused; unshare -U true || echo refused; ls /proc; \
        : > made; chmod 755 made; sleep 600";
    user.call(&["--init"]).assert_success();
    let words = [
        "-p20",
        &home,
        "--stderr-to-stdout",
        "--stdout=said",
        "--run",
        "--",
        "/bin/sh",
    ];
    let running = Started::new(user.command(&[&words[..], &["-c", script]].concat()), None);
    // By the kernel's numbers: who the program is for everybody outside.
    let program = || {
        let processes = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            words == b"sleep\x00600\x00"
        });
        let mut uids = processes.filter_map(|entry| Some(entry.metadata().ok()?.uid()));
        uids.find(|uid| SUBORDINATE.contains(uid))
    };
    wait_until("it sleeps", || program().is_some());
    // Nobody else looks into the user's boxes and locks.
    for place in ["state/isolate-run", "run/isolate-run"] {
        let mode = fs::metadata(user.path(place)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700, "{place}");
    }
    user.call(&["kill", "0"]).assert_success();
    drop(running.finish());
    let said = fs::read_to_string(user.inside(0).join("said")).unwrap();
    let uid = said.lines().next().unwrap();
    assert!(uid != "0" && uid != "1000", "{said}");
    for (words, times) in [
        ("Permission denied", 2),
        ("secret\n", 0),
        ("No such file or directory", 1),
        ("NoNewPrivs:\t1", 1),
        ("Seccomp:\t2", 1),
        ("Cap", 3),
        ("\t0000000000000000", 3),
        ("refused", 2),
    ] {
        assert!(said.matches(words).count() >= times, "{words}: {said}");
    }
    assert!(!said.contains("\nsecret\n"), "{said}");
    user.call(&["--cleanup"]).assert_silent_success();
    user.assert_nothing_left();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_is_missing_is_named_with_the_command_that_mends_it() {
    let user = Rootless::new();
    let words = ["exec", "--", "/bin/true"];
    let refused = |command: Command, said: &[&str]| {
        let output = finish(command);
        for said in said {
            output.assert_refused(125, said);
        }
    };
    let mut without_bus = user.command(&words);
    without_bus.env_remove("DBUS_SESSION_BUS_ADDRESS");
    let said = [
        "the systemd of user alice does not run",
        "loginctl enable-linger",
    ];
    refused(without_bus, &said);
    let mut in_one_place = user.command(&words);
    in_one_place.env("XDG_STATE_HOME", user.path("run"));
    refused(in_one_place, &["boxes and locks would both be in '"]);
    let tools = user.path("home/tools");
    fs::create_dir(&tools).unwrap();
    let mut without_tools = user.command(&words);
    without_tools.env("PATH", &tools);
    refused(
        without_tools,
        &["cannot run newuidmap", "apt install uidmap"],
    );
    let isolate = crate::support::binary();
    let argv = [
        isolate.to_str().unwrap(),
        "exec",
        "--rootless",
        "--",
        "/bin/true",
    ];
    for file in ["subuid", "subgid"] {
        let script = format!("mount --bind /dev/null /etc/{file} && exec setpriv \"$@\"");
        let mut without_ids = Command::new("unshare");
        without_ids.args(["--mount", "sh", "-c", &script, "sh"]);
        let said = format!("user alice has no subordinate ids in /etc/{file}");
        refused(
            user.behind(without_ids, &argv),
            &[&said, "usermod --add-subuids"],
        );
    }
    let script = "mount -t tmpfs -o nosuid tmpfs /mnt && cp /usr/bin/newuidmap /usr/bin/newgidmap /mnt && \
        mount --bind /mnt/newuidmap /usr/bin/newuidmap && exec setpriv \"$@\"";
    let mut without_rights = Command::new("unshare");
    without_rights.args(["--mount", "sh", "-c", script, "sh"]);
    let said = ["newuidmap has refused", "set-user-ID"];
    refused(user.behind(without_rights, &argv), &said);
    user.assert_nothing_left();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_takes_root_is_refused_to_a_user_without_it() {
    let user = Rootless::new();
    for (options, said) in [
        (&["-q", "100,100"][..], "a disk quota (--quota)"),
        (&["--as-uid=5", "--as-gid=5"], "Only root may use --as-uid"),
    ] {
        let words = [&["exec"], options, &["--", "/bin/true"]].concat();
        user.call(&words).assert_refused(125, said);
    }
    let leases = Rootless::with_config("[cpus]\nlease = 'thread'\n");
    let refused = leases.call(&["exec", "--", "/bin/true"]);
    refused.assert_refused(125, "a lease of CPUs");
    let pinned = Rootless::with_config("[[pin]]\nboxes = '0-9'\ncpus = '0'\n");
    pinned.call(&["--init"]).assert_success();
    let refused = pinned.call(&["--run", "--", "/bin/true"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("the cpuset controller is not available"),
        "{refused:?}"
    );
    assert!(
        refused
            .stderr
            .contains("/etc/systemd/system/user@.service.d"),
        "{refused:?}"
    );
    pinned.call(&["--cleanup"]).assert_silent_success();
    // Root needs no other way.
    let root = TestBox::with_manager("systemd").exec(&["--rootless", "/bin/true"]);
    root.assert_refused(125, "--rootless is for users who are not root");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_process_that_keeps_the_user_namespace_ends_after_the_last_command() {
    let user = Rootless::new();
    user.call(&["exec", "--", "/bin/true"]).assert_success();
    let first = user.keeper_of_namespace().unwrap();
    user.call(&["exec", "--", "/bin/true"]).assert_success();
    assert_eq!(user.keeper_of_namespace(), Some(first), "both used one");
    let is_there = || Path::new(&format!("/proc/{first}")).exists();
    wait_until("it ends by itself", || !is_there());
    let another = user.call(&["exec", "-s", "--", "/bin/echo", "again"]);
    assert_eq!((another.code, &*another.stdout), (0, "again\n"));
}
