//! `batch`: many jobs from one call.

use std::fs;
use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use crate::support::batch::{Batch, assert_nothing_left, batch, results_of, shell, shell_with};
use crate::support::{TestBox, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn job(id: &str, steps: &[Value]) -> Value {
    json!({"id": id, "steps": steps})
}

#[test]
#[ignore = "needs root: tests/run"]
fn steps_share_a_box_and_each_has_its_report() {
    let test_box = TestBox::new();
    let (code, results) = batch(
        &test_box,
        None,
        &[],
        &[json!({
            "id": "a",
            "files": [
                {"name": "in", "text": "text\n"},
                {"name": "sub/tool", "base64": "IyEvYmluL3NoCmVjaG8gdG9vbAo=", "mode": "755"},
            ],
            "steps": [
                shell_with("cat in; ./sub/tool; echo made > out", json!({"name": "first", "collect": [
                    {"name": "out"}, {"name": "absent"}, {"name": "in", "max": 0},
                ]})),
                shell_with("read line; echo $line; cat out >&2; exit 7", json!({
                    "stdin": {"text": "given\n"}, "stderr": {"inline": {}},
                })),
                shell("echo never"),
                shell_with("cat out", json!({"on": "always", "repeat": 2})),
            ],
        })],
    );
    assert_eq!(code, 0);
    let result = &results["a"];
    assert_eq!(result["outcome"], "done");
    let steps = result["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 5, "{result}");
    assert_eq!(steps[0]["name"], "first");
    assert_eq!(steps[0]["stdout"]["text"], "text\ntool\n");
    assert_eq!(steps[0]["report"]["verdict"], "ok");
    assert_eq!(steps[0]["collected"][0]["text"], "made\n");
    assert_eq!(
        steps[0]["collected"][1]["error"],
        "No such file or directory"
    );
    assert_eq!(
        steps[0]["collected"][2]["error"],
        "it has 5 bytes, of at most 0 (max)"
    );
    assert_eq!(steps[1]["stdout"]["text"], "given\n");
    assert_eq!(steps[1]["stderr"]["text"], "made\n");
    assert_eq!(steps[1]["report"]["exit_code"], 7);
    assert_eq!(steps[2]["skipped"], true);
    assert_eq!(steps[3]["stdout"]["text"], "made\n");
    assert_eq!(
        (&steps[3]["repetition"], &steps[4]["repetition"]),
        (&json!(1), &json!(2))
    );
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_is_new_for_every_job() {
    let test_box = TestBox::new();
    let jobs: Vec<_> = (0..5)
        .map(|number| {
            job(
                &number.to_string(),
                &[shell("ls; touch left behind; ls -a /tmp | wc -l")],
            )
        })
        .collect();
    let (_, results) = batch(&test_box, None, &["-j1"], &jobs);
    assert_eq!(results.len(), 5);
    for result in results.values() {
        assert_eq!(result["steps"][0]["stdout"]["text"], "2\n", "{result}");
    }
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_cannot_be_understood_is_refused_with_its_place_and_the_rest_goes_on() {
    let test_box = TestBox::new();
    let path = test_box.out().join("jobs");
    let lines = [
        "nonsense",
        r#"{"id":"a","steps":[{"argv":["/bin/true"],"limits":{"time":"soon"}}]}"#,
        "",
        r#"{"id":"b","steps":[{"argv":["/bin/true"]}]}"#,
        r#"{"id":"c","steps":[{"argv":["/bin/true"],"limits":{"cg_mem":"64M"}}]}"#,
        r#"{"id":"d","files":[{"name":"x","path":"/no/such"}],"steps":[{"argv":["/bin/true"]}]}"#,
        r#"{"id":"e","steps":[{"argv":["/bin/true"],"dirs":["x=/no/such"]}]}"#,
    ];
    fs::write(&path, lines.join("\n")).unwrap();
    let path = path.to_str().unwrap();
    let (code, stdout, _) = Batch::start(&test_box, None, &[path]).finish();
    assert_eq!(code, 1);
    let results = results_of(&stdout);
    let no_json = &results["-"];
    assert_eq!(
        (&no_json["line"], &no_json["source"]),
        (&json!(1), &json!(path))
    );
    assert_eq!(
        (&results["a"]["line"], &results["a"]["field"]),
        (&json!(2), &json!("steps[0].limits.time"))
    );
    assert_eq!(results["b"]["outcome"], "done");
    for (id, reason) in [
        ("c", "--cg-mem needs --cg"),
        ("d", "cannot read '/no/such': No such file or directory"),
    ] {
        assert_eq!(results[id]["outcome"], "refused");
        let found = results[id]["reason"].as_str().unwrap();
        assert!(found.contains(reason), "{found}");
    }
    let found = results["e"]["reason"].as_str().unwrap();
    assert!(found.contains("cannot bind '/no/such' on 'x'"), "{found}");
    assert_nothing_left(&test_box);
}

/// Jobs of one slot have what is done once for all of them.
#[test]
#[ignore = "needs root: tests/run"]
fn no_job_of_a_slot_has_a_capability_left() {
    let test_box = TestBox::new();
    let look = || shell("grep Cap /proc/self/status | cut -f2 | sort -u");
    let jobs = ["a", "b", "c"].map(|id| job(id, &[look(), look()]));
    let (_, results) = batch(&test_box, None, &["-j1"], &jobs);
    for result in results.values() {
        for step in result["steps"].as_array().unwrap() {
            assert_eq!(step["stdout"]["text"], "0000000000000000\n", "{result}");
        }
    }
    assert_eq!(results.len(), 3);
}

#[test]
#[ignore = "needs root: tests/run"]
fn an_output_above_its_bound_ends_the_run_unless_it_is_cut() {
    let test_box = TestBox::new();
    let endless = |output: Value| json!({"argv": ["/usr/bin/yes"], "stdout": output, "limits": {"wall_time": "60s"}});
    let path = test_box.out().join("yes");
    let bounded = json!({"path": {"name": path, "max": "100B"}});
    let (_, results) = batch(
        &test_box,
        None,
        &[],
        &[
            job("inline", &[endless(json!({"inline": {"max": "1K"}}))]),
            job("path", &[endless(bounded)]),
            job(
                "limit",
                &[json!({
                    "argv": ["/usr/bin/yes"], "stdout": {"inline": {}}, "limits": {"output": "10B", "wall_time": "60s"},
                })],
            ),
            job(
                "cut",
                &[shell_with(
                    "echo 12345; echo end >&2",
                    json!({
                        "stdout": {"inline": {"max": "3B", "cut": true}}, "stderr": {"inline": {}},
                    }),
                )],
            ),
        ],
    );
    for id in ["inline", "path", "limit"] {
        let report = &results[id]["steps"][0]["report"];
        assert_eq!(report["verdict"], "output_limit", "{report}");
        assert_eq!(
            (&report["status"], &report["killed"]),
            (&json!("SG"), &json!(true))
        );
    }
    let inline = &results["inline"]["steps"][0]["stdout"];
    assert_eq!(inline["text"].as_str().unwrap().len(), 1024);
    assert_eq!(inline["truncated"], true);
    assert_eq!(fs::read(&path).unwrap().len(), 100);
    let cut = &results["cut"]["steps"][0];
    assert_eq!(cut["report"]["verdict"], "ok");
    assert_eq!(
        (&cut["stdout"]["text"], &cut["stdout"]["truncated"]),
        (&json!("123"), &json!(true))
    );
    assert_eq!(cut["stderr"]["text"], "end\n");
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn who_writes_too_much_and_is_gone_at_once_has_exceeded_the_limit_as_well() {
    let test_box = TestBox::new();
    let jobs: Vec<_> = (0..30)
        .map(|number| {
            let ending = ["exit 0", "exit 1", "kill -SEGV $$"][number % 3];
            let script = format!("head -c 5000 /dev/zero; {ending}");
            let step = shell_with(&script, json!({"stdout": {"inline": {"max": "1K"}}}));
            job(&number.to_string(), &[step])
        })
        .collect();
    let (_, results) = batch(&test_box, None, &["-j1"], &jobs);
    for (id, result) in &results {
        let report = &result["steps"][0]["report"];
        assert_eq!(report["verdict"], "output_limit", "{id}: {report}");
        assert_eq!(report["status"], "SG", "{id}: {report}");
    }
    assert_eq!(results.len(), 30);
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn an_output_to_a_fifo_is_refused_and_stops_nobody() {
    let test_box = TestBox::new();
    let path = test_box.dir().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let step = shell_with("echo 1", json!({"stdout": {"path": {"name": path}}}));
    let (_, results) = batch(&test_box, None, &[], &[job("fifo", &[step])]);
    assert_eq!(results["fifo"]["outcome"], "refused", "{results:?}");
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn outputs_without_a_bound_of_their_own_have_that_of_the_command_line() {
    let test_box = TestBox::new();
    let endless = |more: Value| {
        let mut step =
            json!({"name": "yes", "argv": ["/usr/bin/yes"], "limits": {"wall_time": "60s"}});
        step.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        step
    };
    let reader = shell_with("wc -c", json!({"name": "reader", "stdin": {"pipe": "yes"}}));
    let (_, results) = batch(
        &test_box,
        None,
        &["--max-output=1K"],
        &[
            job("inline", &[endless(json!({"stdout": {"inline": {}}}))]),
            job(
                "own",
                &[endless(json!({"stdout": {"inline": {"max": "10B"}}}))],
            ),
            job("pipe", &[endless(json!({})), reader]),
        ],
    );
    for id in ["inline", "own", "pipe"] {
        let report = &results[id]["steps"][0]["report"];
        assert_eq!(report["verdict"], "output_limit", "{id}: {report}");
    }
    let text = |id: &str, step: usize| results[id]["steps"][step]["stdout"]["text"].clone();
    assert_eq!(text("inline", 0).as_str().unwrap().len(), 1024);
    assert_eq!(text("own", 0).as_str().unwrap().len(), 10);
    assert_eq!(text("pipe", 1), "1024\n");
    assert_eq!(results["pipe"]["together"][0]["cause"], "yes");
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn files_of_the_cache_are_shown_and_cannot_be_changed() {
    const ABC: &str = "edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb";
    let test_box = TestBox::new();
    let cache = test_box.dir().join("cache");
    let config = format!(
        "[batch]\ncache_dir = '{}'\ncache_max = '4B'\n",
        cache.display()
    );
    let test_box = test_box.config(&config);
    let source = test_box.out().join("source");
    fs::write(&source, "abc\n").unwrap();
    let with = |id: &str, more: Value, script: &str| {
        let mut file = json!({"name": "in", "sha256": ABC});
        file.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"id": id, "files": [file], "steps": [shell(script), shell("cat in")]})
    };
    let stdin = json!({"stdin": {"sha256": ABC}});
    let wrong = json!({"sha256": "0".repeat(64), "text": "abc\n"});
    let (code, results) = batch(
        &test_box,
        None,
        &["-j1"],
        &[
            with("absent", json!({}), "exit 0"),
            with("wrong", wrong, "exit 0"),
            with("added", json!({"path": source}), "cat in"),
            with(
                "shown",
                json!({}),
                "echo x > in || echo no; rm -f in || echo no",
            ),
            with(
                "copy",
                json!({"writable": true, "mode": "600"}),
                "echo x >> in",
            ),
            job("stdin", &[shell_with("cat", stdin)]),
            with(
                "other",
                json!({"sha256": "b".repeat(64), "text": ""}),
                "exit 0",
            ),
        ],
    );
    assert_eq!(code, 1);
    let text = |id: &str, step: usize| results[id]["steps"][step]["stdout"]["text"].clone();
    for (id, words) in [
        ("absent", "is not in the cache"),
        ("wrong", "its SHA-256 is edeaaff3"),
        ("other", "its SHA-256 is e3b0c442"),
    ] {
        assert_eq!(results[id]["outcome"], "refused", "{id}");
        let reason = results[id]["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{reason}");
    }
    assert_eq!(text("added", 0), "abc\n", "{}", results["added"]);
    assert_eq!(text("shown", 0), "no\nno\n");
    assert_eq!(text("shown", 1), "abc\n");
    assert_eq!(text("copy", 1), "abc\nx\n");
    assert_eq!(text("stdin", 0), "abc\n");
    let entry = cache.join("sha256").join(&ABC[..2]).join(&ABC[2..]);
    assert_eq!(fs::read_to_string(entry).unwrap(), "abc\n");
    assert_eq!(fs::read_dir(cache.join("new")).unwrap().count(), 0);
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_job_can_be_cancelled_before_and_while_it_runs() {
    let test_box = TestBox::new();
    let mut batch = Batch::start(&test_box, None, &["-j1"]);
    let marker = test_box.out().join("begun");
    let mark = json!({"dirs": [format!("out={}:rw", test_box.out().display())]});
    batch.send(&job(
        "runs",
        &[shell_with("echo > /out/begun; sleep 1000", mark)],
    ));
    batch.send(&job("waits", &[shell("echo never")]));
    wait_until("the first runs", || marker.exists());
    for id in ["waits", "runs", "absent"] {
        batch.send(&json!({"cancel": id}));
    }
    batch.send(&job("last", &[shell("echo last")]));
    let (code, stdout, _) = batch.finish();
    assert_eq!(code, 1);
    let results = results_of(&stdout);
    assert_eq!(results.len(), 3, "{stdout}");
    assert_eq!(results["runs"]["outcome"], "cancelled");
    assert_eq!(
        results["runs"]["steps"][0]["report"]["verdict"],
        "interrupted"
    );
    assert_eq!(results["waits"]["outcome"], "cancelled");
    assert_eq!(results["last"]["steps"][0]["stdout"]["text"], "last\n");
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn an_interrupt_ends_what_runs_and_tells_it() {
    let test_box = TestBox::new();
    let mut batch = Batch::start(&test_box, None, &["-j2"]);
    let mark = |name: &str| {
        let more = json!({"dirs": [format!("out={}:rw", test_box.out().display())]});
        shell_with(&format!("echo > /out/{name}; sleep 1000"), more)
    };
    for id in ["one", "two", "three"] {
        batch.send(&job(id, &[mark(id)]));
    }
    wait_until("two run", || {
        test_box.out().join("one").exists() && test_box.out().join("two").exists()
    });
    let pid = Pid::from_raw(i32::try_from(batch.process.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let (code, stdout, _) = batch.finish();
    assert_eq!(code, 128 + Signal::SIGTERM as i32);
    let results = results_of(&stdout);
    for id in ["one", "two"] {
        assert_eq!(results[id]["outcome"], "cancelled", "{stdout}");
    }
    assert!(!test_box.out().join("three").exists());
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_first_failure_ends_everything_if_that_is_wanted() {
    let test_box = TestBox::new();
    let mut jobs = vec![job("bad", &[shell("exit 1")])];
    jobs.extend((0..20).map(|number| job(&number.to_string(), &[shell("sleep 0.3")])));
    let (code, results) = batch(&test_box, None, &["-j1", "--stop-on-failure"], &jobs);
    assert_eq!(code, 1);
    assert_eq!(results["bad"]["outcome"], "done");
    assert!(results.len() < 5, "{}", results.len());
    assert!(
        results
            .iter()
            .all(|(id, result)| id == "bad" || result["outcome"] == "cancelled")
    );
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_reader_that_goes_away_ends_everything_in_good_order() {
    let test_box = TestBox::new();
    let mut batch = Batch::start(&test_box, None, &["-j1"]);
    for number in 0..30 {
        batch.send(&job(&number.to_string(), &[shell("echo x")]));
    }
    let mut stdout = BufReader::new(batch.process.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let (code, _, stderr) = batch.finish();
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_batch_that_was_killed_leaves_nothing_and_is_resumed() {
    let test_box = TestBox::new();
    let jobs: Vec<_> = (0..12)
        .map(|number| job(&number.to_string(), &[shell("sleep 0.1; echo done")]))
        .collect();
    let text: Vec<_> = jobs.iter().map(Value::to_string).collect();
    let file = test_box.out().join("jobs");
    fs::write(&file, text.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let mut killed = Batch::start(&test_box, None, &["-j2", file]);
    let mut stdout = BufReader::new(killed.process.stdout.take().unwrap());
    let mut told = String::new();
    for _ in 0..3 {
        stdout.read_line(&mut told).unwrap();
    }
    killed.process.kill().unwrap();
    while stdout.read_line(&mut told).unwrap() > 0 {}
    killed.process.wait().unwrap();
    assert_nothing_left(&test_box);
    let results = test_box.out().join("results");
    fs::write(&results, &told).unwrap();
    let resume = format!("--resume={}", results.display());
    let (code, rest, _) = Batch::start(&test_box, None, &["-j2", &resume, file]).finish();
    assert_eq!(code, 0);
    // No job twice, and none missing.
    let all = results_of(&(told + &rest));
    assert_eq!(all.len(), jobs.len());
    assert!(
        all.values()
            .all(|result| result["steps"][0]["stdout"]["text"] == "done\n")
    );
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs root: tests/run"]
fn two_programs_talk_and_the_one_that_fails_first_is_named() {
    let test_box = TestBox::new();
    let pair = |id: &str, one: &str, other: &str, more: Value| {
        let other = shell_with(
            other,
            json!({"name": "manager", "pair_with": "player", "stdout": null}),
        );
        let mut one = shell_with(one, json!({"name": "player", "stdout": null}));
        one.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        job(id, &[one, other])
    };
    let none = json!({});
    let transcript = test_box.out().join("transcript");
    let brief = json!({"limits": {"wall_time": "1s", "processes": 20}});
    let mut deadlock = pair("deadlock", "read x", "read y", brief.clone());
    deadlock["steps"][1]["limits"] = brief["limits"].clone();
    let (code, results) = batch(
        &test_box,
        None,
        &[],
        &[
            pair(
                "ok",
                "echo 20; read x; test $x = 41",
                "read x; echo $((2 * x + 1))",
                json!({"transcript": {"name": transcript}}),
            ),
            pair(
                "dies",
                "kill -SEGV $$",
                // Later than what a busy machine may notice in another order.
                "read x && echo $x && read y || { sleep 0.5; exit 3; }",
                none.clone(),
            ),
            pair(
                "pipe",
                "while echo x; do :; done; exit 141",
                "read x; exit 1",
                none.clone(),
            ),
            deadlock,
            pair("refused", "read x", "true", json!({"chdir": "/no/such"})),
        ],
    );
    let together = |id: &str| results[id]["together"][0].clone();
    assert_eq!(
        together("ok"),
        json!({"steps": ["player", "manager"], "deadlock": false})
    );
    let text = fs::read_to_string(&transcript).unwrap();
    assert!(text.contains(" player -> manager: 20\\n\n"), "{text}");
    assert!(text.contains(" manager -> player: 41\\n\n"), "{text}");
    assert_eq!(together("dies")["cause"], "player");
    assert_eq!(together("pipe")["cause"], "manager");
    assert_eq!(
        together("deadlock")["deadlock"],
        true,
        "{}",
        results["deadlock"]
    );
    assert_eq!(together("deadlock")["waited"], json!(["player", "manager"]));
    assert_eq!(
        results["refused"]["outcome"], "internal",
        "{}",
        results["refused"]
    );
    assert_eq!(code, 1);
    assert_nothing_left(&test_box);
}
