//! `batch` where its runs have scopes: for root and for a user the same, and the same as single runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::batch::{Batch, batch, results_of, shell, shell_with};
use crate::support::systemd::{CGROUPS, any_box, in_any_mode, user_box};
use crate::support::{self, ALICE, TestBox, processes_of, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Nothing of a batch is left: no box, no process of one.
fn assert_gone(test_box: &TestBox) {
    wait_until("all boxes are gone", || {
        let boxes = fs::read_dir(test_box.root()).into_iter().flatten().count();
        boxes == 0 && test_box.processes().is_empty()
    });
}

/// Root's own batch, and that of a user.
fn both() -> [(TestBox, Option<u32>); 2] {
    [(any_box(), None), (in_any_mode(user_box()), Some(ALICE))]
}

/// The same where scopes are kept, and runs share that of their slot.
fn both_with_slots() -> [(TestBox, Option<u32>); 2] {
    both().map(|(test_box, caller)| (test_box.config("keep_ready = 3600\n"), caller))
}

/// The same where each run has a scope to itself, which is kept for it.
fn both_with_a_scope_each() -> [(TestBox, Option<u32>); 2] {
    let config = "keep_ready = 3600\n[batch]\nscope = 'run'\n";
    both().map(|(test_box, caller)| (test_box.config(config), caller))
}

/// Jobs with all endings, by their names.
fn endings() -> Vec<(&'static str, Value)> {
    let program =
        |name: &str, limits: Value| json!({"argv": [support::program(name)], "limits": limits});
    let mut all = vec![
        ("ok", shell("exit 0")),
        ("exit_code", shell("exit 5")),
        ("signal", shell("kill -SEGV $$")),
        (
            "wall",
            shell_with(
                "sleep 1000",
                json!({"limits": {"wall_time": "300ms", "processes": 5}}),
            ),
        ),
        (
            "refused",
            shell_with("exit 0", json!({"chdir": "/no/such"})),
        ),
    ];
    let mut burn = program("burn_cpu", json!({"time": "100ms", "wall_time": "60s"}));
    // Much more than its limit, so that it is killed each time.
    burn["argv"].as_array_mut().unwrap().push("60000".into());
    let bomb = program("memory_bomb", json!({"cg_mem": "16M", "wall_time": "60s"}));
    all.extend([("cpu", burn), ("memory", bomb)]);
    all
}

/// What of a report does not depend on the moment.
fn verdict(report: &Value) -> Value {
    json!([
        report["verdict"],
        report["status"],
        report["message"],
        report["exit_code"],
        report["signal"],
        report["killed"],
        report["oom_killed"]
    ])
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn verdicts_of_many_are_those_of_single_runs() {
    let mut of_all = Vec::new();
    let all = both().map(|(test_box, caller)| (test_box, caller, false));
    let kept = both_with_slots()
        .into_iter()
        .chain(both_with_a_scope_each());
    let kept = kept.map(|(test_box, caller)| (test_box, caller, true));
    for (test_box, caller, is_kept) in all.into_iter().chain(kept) {
        let jobs: Vec<_> = endings()
            .into_iter()
            .map(|(name, mut step)| {
                let path = step["argv"][0].as_str().unwrap().to_owned();
                let mut files = Vec::new();
                if !path.starts_with("/bin") {
                    step["argv"][0] = "program".into();
                    files.push(json!({"name": "program", "path": path, "mode": "755"}));
                }
                json!({"id": name, "files": files, "steps": [step]})
            })
            .collect();
        let (_, results) = batch(&test_box, caller, &["-j2"], &jobs);
        let found: BTreeMap<_, _> = results
            .iter()
            .map(|(id, result)| (id.clone(), verdict(&result["steps"][0]["report"])))
            .collect();
        of_all.push(found.clone());
        if is_kept {
            assert_gone(&test_box);
            continue;
        }
        test_box.init();
        for name in ["burn_cpu", "memory_bomb"] {
            test_box.install(name);
        }
        for (name, options, words) in [
            ("ok", &["-p20"][..], &["/bin/sh", "-c", "exit 0"][..]),
            ("exit_code", &["-p20"], &["/bin/sh", "-c", "exit 5"]),
            ("signal", &["-p20"], &["/bin/sh", "-c", "kill -SEGV $$"]),
            ("wall", &["-p5", "-w0.3"], &["/bin/sh", "-c", "sleep 1000"]),
            ("refused", &["-c/no/such"], &["/bin/sh", "-c", "exit 0"]),
            ("cpu", &["-t0.1"], &["./burn_cpu", "60000"]),
            ("memory", &["--cg-mem=16M"], &["./memory_bomb"]),
        ] {
            let report = test_box.out().join(format!("{name}.json"));
            let report_option = format!("--report={}", report.display());
            let options = [options, &[report_option.as_str()]].concat();
            let run = test_box.command(words).options(&options).run();
            assert_ne!(run.code, -1);
            let single: Value =
                serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
            assert_eq!(found[name], verdict(&single), "{name}");
        }
        test_box.cleanup();
        assert_gone(&test_box);
    }
    assert!(
        of_all.iter().all(|found| *found == of_all[0]),
        "{of_all:#?}"
    );
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn runs_in_the_scope_of_a_slot_have_nothing_of_each_other() {
    for (test_box, caller) in both_with_slots() {
        let program = |name: &str| json!([{"name": "program", "path": support::program(name), "mode": "755"}]);
        let looks = || {
            shell(
                "ls /sys/fs/cgroup/init /sys/fs/cgroup/box; mkdir /sys/fs/cgroup/x; cat /proc/self/cgroup",
            )
        };
        let bomb = json!({"argv": ["program"], "limits": {"cg_mem": "64M", "wall_time": "60s"}});
        let mut daemons = shell("./program & exit 0");
        daemons["limits"] = json!({"processes": 100, "wall_time": "60s"});
        let jobs = [
            json!({"id": "1 first", "steps": [shell("exit 0")]}),
            json!({"id": "2 memory", "files": program("memory_bomb"), "steps": [bomb]}),
            json!({"id": "3 daemons", "files": program("leave_daemons"), "steps": [daemons]}),
            json!({"id": "4 looks", "steps": [looks(), looks()]}),
            json!({"id": "5 last", "steps": [shell("exit 0")]}),
        ];
        let (code, results) = batch(&test_box, caller, &["-j1"], &jobs);
        assert_eq!(code, 0, "{results:#?}");
        let report = |id: &str| &results[id]["steps"][0]["report"];
        assert_eq!(report("2 memory")["oom_killed"], true);
        for id in ["4 looks", "5 last"] {
            let figures = &report(id)["figures"];
            assert_ne!(report(id)["oom_killed"], true, "{id}");
            for none in ["oom_kills", "processes_refused"] {
                assert_eq!(figures[none].as_u64().unwrap_or(0), 0, "{id}: {figures}");
            }
            assert!(
                figures["processes_peak"].as_u64().unwrap() <= 3,
                "{id}: {figures}"
            );
            assert!(
                figures["memory_peak_bytes"].as_u64().unwrap() < 32 << 20,
                "{id}: {figures}"
            );
        }
        let seen = results["4 looks"]["steps"][1]["stdout"]["text"]
            .as_str()
            .unwrap();
        assert_eq!(
            seen.trim_end(),
            "0::/",
            "a program sees its own group alone"
        );
        // The first run may have a scope of its own, while that of the slot is made.
        let unit = |id: &str| report(id)["cgroup"]["unit"].as_str().unwrap().to_owned();
        assert_eq!(unit("4 looks"), unit("5 last"));
        assert_eq!(unit("3 daemons"), unit("4 looks"));
        assert_gone(&test_box);
        wait_until("the scope of the slot is gone", || {
            !Path::new(report("5 last")["cgroup"]["path"].as_str().unwrap()).exists()
        });
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_slot_whose_scope_is_taken_away_gets_another() {
    for (test_box, caller) in both_with_slots() {
        let mut batch = Batch::start(&test_box, caller, &["-j1"]);
        let marker = test_box.out().join("begun");
        let mark = json!({"dirs": [format!("out={}:rw", test_box.out().display())]});
        for id in ["first", "second"] {
            batch.send(&json!({"id": id, "steps": [shell("exit 0")]}));
        }
        batch.send(
            &json!({"id": "runs", "steps": [shell_with("echo > /out/begun; sleep 1000", mark)]}),
        );
        wait_until("it runs", || marker.exists());
        let program = *test_box.processes().first().unwrap();
        let group = fs::read_to_string(format!("/proc/{program}/cgroup")).unwrap();
        let mut lines = group.lines();
        let scope = lines.find_map(|line| line.strip_prefix("0::/")).unwrap();
        let scope = Path::new(CGROUPS).join(scope.strip_suffix("/box").unwrap());
        fs::write(scope.join("cgroup.kill"), "1").unwrap();
        batch.send(&json!({"id": "next", "steps": [shell("echo next")]}));
        let (code, stdout, _) = batch.finish();
        assert_eq!(code, 1);
        let results = results_of(&stdout);
        assert_eq!(results["runs"]["outcome"], "internal", "{stdout}");
        assert_eq!(
            results["next"]["steps"][0]["stdout"]["text"], "next\n",
            "{stdout}"
        );
        assert_gone(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_a_user_names_is_opened_with_their_rights() {
    let test_box = user_box();
    let secret = test_box.dir().join("secret");
    fs::write(&secret, "x").unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let into = test_box.dir().join("new");
    let step = |more| shell_with("cat", more);
    let jobs = [
        json!({"id": "stdin", "steps": [step(json!({"stdin": {"path": secret}}))]}),
        json!({"id": "stdout", "steps": [step(json!({"stdout": {"path": {"name": into}}}))]}),
        json!({"id": "file", "files": [{"name": "x", "path": secret}], "steps": [step(json!({}))]}),
        json!({"id": "net", "steps": [step(json!({"network": true}))]}),
    ];
    let (code, results) = batch(&test_box, Some(ALICE), &[], &jobs);
    assert_eq!(code, 1);
    for id in ["stdin", "stdout", "file"] {
        let reason = results[id]["reason"].as_str().unwrap();
        assert_eq!(results[id]["outcome"], "refused");
        assert!(reason.contains("Permission denied"), "{reason}");
    }
    let reason = results["net"]["reason"].as_str().unwrap();
    assert!(reason.contains("share-network"), "{reason}");
    assert!(!into.exists());
    assert_gone(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_killed_keeper_is_an_internal_error_of_one_job() {
    for (test_box, caller) in both() {
        let mut batch = Batch::start(&test_box, caller, &["-j1"]);
        let mark = json!({"dirs": [format!("out={}:rw", test_box.out().display())]});
        let job =
            json!({"id": "killed", "steps": [shell_with("echo > /out/begun; sleep 1000", mark)]});
        batch.send(&job);
        batch.send(&json!({"id": "next", "steps": [shell("echo next")]}));
        wait_until("it runs", || test_box.out().join("begun").exists());
        // The keeper is the parent of init, which is that of the program.
        let program = *test_box.processes().first().unwrap();
        let parent = |pid: i32| -> i32 {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let rest = stat.rsplit_once(") ").unwrap().1;
            rest.split(' ').nth(1).unwrap().parse().unwrap()
        };
        let mut pid = program;
        while processes_of(test_box.uid()).contains(&pid) || test_box.processes().contains(&pid) {
            pid = parent(pid);
        }
        let keeper = parent(pid);
        kill(Pid::from_raw(keeper), Signal::SIGKILL).unwrap();
        let (code, stdout, _) = batch.finish();
        let results = results_of(&stdout);
        assert_eq!(code, 1);
        assert_eq!(results["killed"]["outcome"], "internal", "{stdout}");
        assert_eq!(results["next"]["steps"][0]["stdout"]["text"], "next\n");
        assert_gone(&test_box);
    }
}
