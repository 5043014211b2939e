//! A machine of a fleet that carries out jobs while what it rests on is killed or started anew: the broker, keepers, the bus,
//! polkit and systemd. Each job has one result, which is what its program did, and nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::dice::Dice;
use crate::support::systemd::{alone, main_pid, must, units};
use crate::support::{ALICE, binary, entries, processes_of, source, wait_until};

const UNIT: &str = "isolate-run-worker.service";
const TARGET: &str = "isolate-run-worker.target";
const STATE: &str = "/var/lib/isolate-run-worker";
const CACHE: &str = "/var/cache/isolate-run-worker";
const CONFIG: &str = "/run/isolate-run-worker-test.toml";
const DROP_IN: &str = "/run/isolate/isolate.toml.d/99-fleet-test.toml";
const BOXES: &str = "/var/local/lib/isolate";
const LOCKS: &str = "/run/isolate/locks";

/// How many jobs are queued together.
const JOBS: usize = 30;
/// Longer than they take, whatever happens to them.
const LATE: Duration = Duration::from_secs(300);

/// What happens to the machine.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Keeper,
    Broker,
    Bus,
    Polkit,
    Reload,
    Reexec,
    /// The worker drains and takes jobs again; is told to end; or is restarted as in an upgrade.
    Drain,
    End,
    Restart,
}

/// Each with the milliseconds between two of its kind. What has ended five times in ten seconds, systemd
/// starts no more.
const TROUBLES: &[(Trouble, u64)] = &[
    (Trouble::Keeper, 700),
    (Trouble::Broker, 7000),
    (Trouble::Bus, 3500),
    (Trouble::Polkit, 2900),
    (Trouble::Reload, 1300),
    (Trouble::Reexec, 1700),
];
const DRAINS: &[(Trouble, u64)] = &[
    (Trouble::Drain, 1900),
    (Trouble::End, 3700),
    (Trouble::Restart, 5300),
];

fn brought(name: &str) -> PathBuf {
    let folder = std::env::var_os("ISOLATE_TEST_FLEET").expect("tests/run sets it");
    PathBuf::from(folder).join(name)
}

/// A command that may fail while what it asks is away, and hang for a while; whether it did what it should.
fn tried(program: impl AsRef<Path>, words: &[&str]) -> bool {
    let mut command = Command::new("timeout");
    command.arg("60").arg(program.as_ref()).args(words);
    let output = command.stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// A queue and the service that takes jobs from it. All of it is gone when this is dropped.
struct Machine {
    server: Child,
    dir: tempfile::TempDir,
    monitor: u16,
}

impl Machine {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, monitor] = free.map(|free| free.local_addr().unwrap().port());
        let place = dir.path().display();
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\nlog_file: \"{place}/log\"\n\
             jetstream {{ store_dir: \"{place}/store\" }}\n"
        );
        let config = dir.path().join("nats.conf");
        fs::write(&config, text).unwrap();
        let mut server = Command::new(brought("nats-server"));
        server.arg("-c").arg(config).stdin(Stdio::null());
        let server = server.spawn().unwrap();
        let machine = Self {
            server,
            dir,
            monitor,
        };
        // As many failures as a test makes are no fault of a job or of the machine.
        let text = format!(
            "[machine]\nid = \"one\"\nprogram = {:?}\n[nats]\nurls = [\"nats://127.0.0.1:{port}\"]\n[slots]\ncount = 2\n\
             [jobs]\nlease = \"5s\"\nretry_after = \"500ms\"\nmax_deliveries = 5\ndrain_after = 20\n[files]\nmin_free = \"1M\"\n\
             [streams]\nreplicas = 1\njobs_max = \"16M\"\nfiles_max = \"16M\"\n",
            binary()
        );
        fs::write(CONFIG, text).unwrap();
        wait_until("there are queues", || machine.calls(&["setup"]));
        // What is ready for the next run goes soon.
        fs::create_dir_all(Path::new(DROP_IN).parent().unwrap()).unwrap();
        fs::write(DROP_IN, "[cgroup]\nkeep_ready = 1\n").unwrap();
        let units = Path::new("/run/systemd/system");
        for name in [UNIT, TARGET] {
            fs::copy(source("units").join(name), units.join(name)).unwrap();
        }
        let unit = units.join(UNIT);
        let folder = PathBuf::from(format!("{}.d", unit.display()));
        fs::create_dir_all(&folder).unwrap();
        let worker = brought("isolate-run-worker");
        // As shipped, but for the user, who is there already, and that it comes back however it ended.
        let text = format!(
            "[Service]\nUser=alice\nExecStart=\nExecStart={} --config {CONFIG}\nRestart=always\nRestartSec=100ms\n\
             [Unit]\nStartLimitIntervalSec=0\n",
            worker.display()
        );
        fs::write(folder.join("test.conf"), text).unwrap();
        must("systemctl", &["daemon-reload"]);
        must("systemctl", &["start", "isolate.service", UNIT]);
        machine
    }

    /// Whether a verb of the worker's program succeeds.
    fn calls(&self, words: &[&str]) -> bool {
        tried(
            brought("isolate-run-worker"),
            &[&["--config", CONFIG], words].concat(),
        )
    }

    /// How many messages each stream has, as the server says it.
    fn messages(&self) -> BTreeMap<String, u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.monitor)).unwrap();
        let request = "GET /jsz?streams=true HTTP/1.0\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = &answer[answer.find('{').unwrap()..];
        let told: Value = serde_json::from_str(body).unwrap();
        let streams = told["account_details"][0]["stream_detail"].as_array();
        let count = |stream: &Value| {
            let name = stream["name"].as_str().unwrap().to_owned();
            (name, stream["state"]["messages"].as_u64().unwrap())
        };
        streams.unwrap().iter().map(count).collect()
    }

    /// Queues jobs, has `troubles` happen until all have a result, and looks at these.
    fn round(&self, number: usize, troubles: &mut Troubles) {
        let id = |job: usize| format!("job-{number}-{job}");
        let line = |job: usize| {
            let script = format!("sleep 0.0{}; echo {}", job % 9 + 1, id(job));
            let step = json!({"argv": ["/bin/sh", "-c", script], "stdout": {"inline": {}},
                "limits": {"wall_time": "60s", "processes": 5}});
            format!("{}\n", json!({"id": id(job), "steps": [step]}))
        };
        let [jobs, results, said] =
            ["jobs.jsonl", "results.jsonl", "said"].map(|name| self.dir.path().join(name));
        fs::write(&jobs, (0..JOBS).map(line).collect::<String>()).unwrap();
        let mut submitter = Command::new(brought("isolate-run-worker"));
        submitter.args(["--config", CONFIG, "submit", "--wait"]);
        submitter.arg(jobs).stdin(Stdio::null());
        submitter.stdout(fs::File::create(&results).unwrap());
        submitter.stderr(fs::File::create(&said).unwrap());
        let mut submitter = submitter.spawn().unwrap();
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = submitter.try_wait().unwrap() {
                break Some(status);
            }
            if begun.elapsed() > LATE {
                submitter.kill().unwrap();
                submitter.wait().unwrap();
                break None;
            }
            troubles.go_on(self);
            sleep(Duration::from_millis(30));
        };
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let journal = || must("journalctl", &["--no-pager", "-o", "cat", "-u", UNIT]);
        assert!(
            status.is_some_and(|status| status.success()),
            "{status:?} after {:?}: {}\n{:?}\n{}",
            begun.elapsed(),
            read(&said),
            troubles.happened,
            journal()
        );
        let mut told = BTreeMap::new();
        for line in read(&results).lines() {
            let result: Value = serde_json::from_str(line).unwrap();
            let of = result["id"].as_str().unwrap().to_owned();
            assert_eq!(told.insert(of, result), None, "told twice: {line}");
        }
        assert_eq!(told.len(), JOBS);
        for job in 0..JOBS {
            let (id, result) = (id(job), &told[&id(job)]);
            let step = &result["result"]["steps"][0];
            let found = (&result["outcome"], &step["stdout"]["text"]);
            let expected = (&json!("done"), &json!(format!("{id}\n")));
            assert_eq!(found, expected, "{result}\n{}", journal());
            assert_eq!(step["report"]["verdict"], "ok", "{result}");
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A test that failed may leave it in any state.
        tried("systemctl", &["stop", UNIT]);
        self.server.kill().ok();
        self.server.wait().ok();
        let units = Path::new("/run/systemd/system");
        let [unit, target] = [UNIT, TARGET].map(|name| units.join(name));
        for folder in [STATE, CACHE, &format!("{}.d", unit.display())] {
            fs::remove_dir_all(folder).ok();
        }
        for file in [&*unit, &*target, Path::new(CONFIG), Path::new(DROP_IN)] {
            fs::remove_file(file).ok();
        }
        fs::remove_dir(Path::new(DROP_IN).parent().unwrap()).ok();
        tried("systemctl", &["daemon-reload"]);
    }
}

/// What is to happen, each when it is due.
struct Troubles {
    due: Vec<(Trouble, Duration, Instant)>,
    dice: Dice,
    happened: BTreeMap<String, usize>,
}

impl Troubles {
    fn new(kinds: &[(Trouble, u64)]) -> Self {
        let now = Instant::now();
        let due = kinds.iter().map(|(trouble, pause)| {
            let pause = Duration::from_millis(*pause);
            // The first one soon: a round may be short.
            (*trouble, pause, now + pause / 3)
        });
        Self {
            due: due.collect(),
            dice: Dice(2026),
            happened: BTreeMap::new(),
        }
    }

    fn go_on(&mut self, machine: &Machine) {
        for (trouble, pause, at) in &mut self.due {
            if *at <= Instant::now() {
                if cause(*trouble, machine, &mut self.dice) {
                    *self.happened.entry(format!("{trouble:?}")).or_default() += 1;
                }
                *at = Instant::now() + *pause;
            }
        }
    }
}

/// Whether it could be done.
fn cause(trouble: Trouble, machine: &Machine, dice: &mut Dice) -> bool {
    let killed = |pid: i32| pid > 1 && kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok();
    let main = |unit: &str| i32::try_from(main_pid(unit)).unwrap();
    match trouble {
        Trouble::Keeper => {
            let keepers = keepers();
            !keepers.is_empty() && killed(keepers[dice.roll(keepers.len())])
        }
        Trouble::Broker => killed(main("isolate.service")),
        Trouble::Bus => tried("systemctl", &["kill", "--signal=KILL", "dbus.service"]),
        Trouble::Polkit => tried("systemctl", &["restart", "polkit.service"]),
        Trouble::Reload => tried("systemctl", &["daemon-reload"]),
        Trouble::Reexec => tried("systemctl", &["daemon-reexec"]),
        Trouble::Drain => {
            let drained = machine.calls(&["drain", "one"]);
            // A worker that is just restarted hears nothing; it must not stay so.
            wait_until("it takes jobs", || machine.calls(&["undrain", "one"]));
            drained
        }
        Trouble::End => tried(
            "systemctl",
            &["kill", "--kill-whom=main", "--signal=TERM", UNIT],
        ),
        Trouble::Restart => tried("systemctl", &["--no-block", "restart", UNIT]),
    }
}

/// Processes of root that run programs for others: keepers, what they have in the scopes, and the one that stands by.
fn keepers() -> Vec<i32> {
    let is_one = |process: &PathBuf| {
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        let is_root = fs::metadata(process).is_ok_and(|found| found.uid() == 0);
        // The broker and the worker, and a command of its, are isolate-run.
        name.starts_with("isolate-") && !name.starts_with("isolate-run") && is_root
    };
    let number = |path: PathBuf| path.file_name()?.to_str()?.parse().ok();
    let all = entries(Path::new("/proc")).filter(is_one);
    all.filter_map(number).collect()
}

/// All rounds, for as long as it is to go on, and what is left after them; what happened, for whoever looks on.
fn carries_out(kinds: &[(Trouble, u64)]) -> String {
    let _alone = alone();
    // Boxes and locks. Two locks are not of a box, and stay.
    let names = || -> BTreeSet<PathBuf> {
        let all = [BOXES, LOCKS].map(|folder| entries(Path::new(folder)));
        let all = all.into_iter().flatten();
        all.filter(|path| {
            !["counts", "turn", "processes"]
                .iter()
                .any(|name| path.ends_with(name))
        })
        .collect()
    };
    let before = names();
    let machine = Machine::start();
    let mut troubles = Troubles::new(kinds);
    let longest = std::env::var("ISOLATE_TEST_SOAK_SECONDS").ok();
    let longest = Duration::from_secs(longest.map_or(0, |text| text.parse().unwrap()));
    let begun = Instant::now();
    let mut rounds = 0;
    let all_happened = |troubles: &Troubles| troubles.happened.len() == kinds.len();
    // A machine with much time has done a round before everything could happen.
    while begun.elapsed() < longest || !all_happened(&troubles) && begun.elapsed() < LATE {
        machine.round(rounds, &mut troubles);
        rounds += 1;
    }
    let figures = format!(
        "{rounds} x {JOBS} jobs in {:?}: {:?}",
        begun.elapsed(),
        troubles.happened
    );
    for (trouble, _) in kinds {
        let times = troubles.happened.get(&format!("{trouble:?}"));
        assert!(
            times.is_some(),
            "{trouble:?} never: {:?}",
            troubles.happened
        );
    }
    wait_until("the queue is empty", || {
        machine.messages()["ISO_JOBS_default"] == 0
    });
    let results = u64::try_from(rounds * JOBS).unwrap();
    assert_eq!(
        machine.messages()["ISO_RESULTS"],
        results,
        "one for each job"
    );
    must("systemctl", &["stop", UNIT]);
    assert_eq!(entries(&Path::new(STATE).join("spool")).count(), 0);
    drop(machine);
    // A box whose keeper was killed while it was made has nobody who knows its number.
    must(binary().to_str().unwrap(), &["gc", "--older-than=0"]);
    wait_until("no scope is left", || units("isolate-*.scope").is_empty());
    wait_until("no process is left", || {
        // The broker, and the keeper that stands by for the next request.
        processes_of(ALICE).is_empty() && keepers().len() <= 1
    });
    let end = Instant::now() + Duration::from_secs(20);
    while !names().is_subset(&before) {
        let left = || names().difference(&before).cloned().collect::<Vec<_>>();
        assert!(Instant::now() < end, "left: {:?}", left());
        sleep(Duration::from_millis(100));
    }
    figures
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn each_job_has_one_result_whoever_of_the_machine_is_killed() {
    println!("{}", carries_out(TROUBLES));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_worker_that_is_drained_or_restarted_meanwhile_loses_no_job() {
    println!("{}", carries_out(&[TROUBLES, DRAINS].concat()));
}
