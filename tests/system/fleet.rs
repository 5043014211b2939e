//! A machine of a fleet with all that belongs to it: its unit, a queue, the broker and real runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::support::systemd::{alone, assert_systemd_accepts, main_pid, must};
use crate::support::{Output, binary, finish, source, wait_until};

const UNIT: &str = "isolate-run-worker.service";
const TARGET: &str = "isolate-run-worker.target";
const STATE: &str = "/var/lib/isolate-run-worker";
const SOON: &str = "/run/isolate/isolate.toml.d/99-fleet-test.toml";
const CONFIG: &str = "/run/isolate-run-worker-test.toml";

/// A program that `tests/run` has brought along.
fn brought(name: &str) -> PathBuf {
    let folder = std::env::var_os("ISOLATE_TEST_FLEET").expect("tests/run sets it");
    let program = PathBuf::from(folder).join(name);
    assert!(program.exists(), "there is no {}", program.display());
    program
}

/// The service, which is gone with all that it made when this is dropped.
struct Service;

impl Service {
    fn start() -> Self {
        let (worker, server) = (brought("isolate-run-worker"), brought("nats-server"));
        let (folder, program) = (server.parent().unwrap().display(), binary());
        let config = format!(
            "[machine]\nid = \"one\"\nprogram = {program:?}\n[slots]\ncount = 2\n\
             [jobs]\nlease = \"2s\"\n[files]\nmin_free = \"1M\"\n\
             [streams]\njobs_max = \"16M\"\nfiles_max = \"64M\"\n"
        );
        fs::write(CONFIG, config).unwrap();
        // What a batch that is killed had ready goes soon.
        fs::create_dir_all(Path::new(SOON).parent().unwrap()).unwrap();
        fs::write(SOON, "[cgroup]\nkeep_ready = 1\n").unwrap();
        let unit = PathBuf::from("/run/systemd/system").join(UNIT);
        fs::copy(source("units").join(UNIT), &unit).unwrap();
        fs::copy(source("units").join(TARGET), unit.with_extension("target")).unwrap();
        let drop_in = PathBuf::from(format!("{}.d", unit.display()));
        fs::create_dir_all(&drop_in).unwrap();
        let worker = worker.display();
        // As shipped, but for the user, who is there already, and the queue, which is its own.
        let text = format!(
            "[Service]\nUser=alice\nExecStart=\nExecStart={worker} --config {CONFIG} --local\n\
             Environment=PATH={folder}:/usr/bin:/bin\nRestart=always\nRestartSec=100ms\n"
        );
        fs::write(drop_in.join("test.conf"), text).unwrap();
        must("systemctl", &["daemon-reload"]);
        let service = Self;
        must("systemctl", &["start", UNIT]);
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A test that failed may leave it in any state.
        drop(finish(command("systemctl", &["stop", UNIT])));
        let unit = PathBuf::from("/run/systemd/system").join(UNIT);
        for path in [STATE, "/var/cache/isolate-run-worker"] {
            fs::remove_dir_all(path).ok();
        }
        fs::remove_dir_all(format!("{}.d", unit.display())).ok();
        fs::remove_file(unit.with_extension("target")).ok();
        fs::remove_file(unit).ok();
        fs::remove_file(CONFIG).ok();
        fs::remove_file(SOON).ok();
        fs::remove_dir(Path::new(SOON).parent().unwrap()).ok();
        drop(finish(command("systemctl", &["daemon-reload"])));
    }
}

fn command(program: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    command
}

/// Calls the worker's program as root, who may see where its queue is.
fn worker(words: &[&str]) -> Output {
    let mut command = Command::new(brought("isolate-run-worker"));
    command.args(["--config", CONFIG, "--local"]).args(words);
    finish(command)
}

/// Submits jobs and waits; all results.
fn judged(jobs: &str) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jobs.jsonl");
    fs::write(&file, jobs).unwrap();
    let output = worker(&["submit", "--wait", file.to_str().unwrap()]);
    let results = output.stdout.lines();
    let results: Vec<Value> = results
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(results.len(), jobs.lines().count(), "{}", output.stderr);
    results
}

fn find<'a>(results: &'a [Value], id: &str) -> &'a Value {
    results.iter().find(|result| result["id"] == id).unwrap()
}

/// The verdict of the only step, and what it printed.
fn step(result: &Value) -> (&str, &str) {
    let step = &result["result"]["steps"][0];
    let verdict = step["report"]["verdict"].as_str().unwrap_or_default();
    (verdict, step["stdout"]["text"].as_str().unwrap_or_default())
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_worker_runs_jobs_by_the_broker_as_an_ordinary_user_and_survives_its_death() {
    let _alone = alone();
    let service = Service::start();
    assert_systemd_accepts(&Path::new("/run/systemd/system").join(UNIT));
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("input");
    fs::write(&input, "3 4\n").unwrap();
    let place = input.display();
    let jobs = [
        format!(
            r#"{{"id": "sum", "files": [{{"name": "in", "path": "{place}"}}], "steps": [{{"argv": ["/bin/sh", "-c", "read a b; read c d <in; echo $((a + b + c + d))"], "stdin": {{"path": "{place}"}}, "stdout": {{"inline": {{}}}}}}]}}"#
        ),
        r#"{"id": "loop", "steps": [{"argv": ["/bin/sh", "-c", "while :; do :; done"], "limits": {"time": "200ms", "wall_time": "60s"}}]}"#.into(),
        r#"{"id": "net", "steps": [{"argv": ["/bin/true"], "network": true}]}"#.into(),
    ];
    let results = judged(&jobs.map(|job| format!("{job}\n")).concat());
    assert_eq!(step(find(&results, "sum")), ("ok", "14\n"));
    assert_eq!(step(find(&results, "loop")).0, "cpu_time_limit");
    assert_eq!(find(&results, "net")["outcome"], "refused");

    // A file that is shown as it lies in the worker's cache, which is in a mount namespace of its own.
    let digest = must("sha256sum", &[input.as_os_str()]);
    let digest = digest.split_whitespace().next().unwrap();
    let shown = format!(
        r#"{{"id": "shown", "files": [{{"name": "in", "sha256": "{digest}"}}], "steps": [{{"argv": ["/bin/cat", "in"], "stdout": {{"inline": {{}}}}}}]}}"#
    );
    assert_eq!(step(&judged(&format!("{shown}\n"))[0]), ("ok", "3 4\n"));

    // Killed in the middle of a job, with its queue: both come back, and so does the job.
    let first = main_pid(UNIT);
    let killer = std::thread::spawn(move || {
        let runs = || finish(command("pgrep", &["-f", "-x", "/bin/sleep 6"])).code == 0;
        wait_until("the job runs", runs);
        // The queue counts deliveries, and writes that down a little later.
        sleep(Duration::from_secs(2));
        must(
            "systemctl",
            &["kill", "--kill-whom=main", "--signal=KILL", UNIT],
        );
    });
    let job = r#"{"id": "twice", "steps": [{"argv": ["/bin/sleep", "6"], "limits": {"wall_time": "60s"}}]}"#;
    let file = dir.path().join("jobs.jsonl");
    fs::write(&file, job).unwrap();
    must(
        brought("isolate-run-worker").to_str().unwrap(),
        &[
            "--config",
            CONFIG,
            "--local",
            "submit",
            file.to_str().unwrap(),
        ],
    );
    killer.join().unwrap();
    wait_until("the service is back", || {
        let now = main_pid(UNIT);
        now != 0 && now != first && worker(&["status"]).code == 0
    });
    let again = worker(&["submit", "--wait", file.to_str().unwrap()]);
    let result: Value = serde_json::from_str(again.stdout.trim()).unwrap();
    assert_eq!(
        (&result["outcome"], step(&result).0),
        (&"done".into(), "ok")
    );
    assert!(result["delivery"].as_u64().unwrap() > 1, "{result}");

    assert!(worker(&["fleet"]).stdout.contains("one"));
    drop(service);
    let words = [
        "list-units",
        "--all",
        "--plain",
        "--no-legend",
        "isolate-*.scope",
    ];
    wait_until("no scope is left", || must("systemctl", &words).is_empty());
    // Boxes of the batch that was killed.
    must(binary().to_str().unwrap(), &["gc", "--older-than=0"]);
    assert_eq!(finish(command("pgrep", &["-x", "nats-server"])).code, 1);
}
