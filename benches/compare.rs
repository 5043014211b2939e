//! Compares whole commands with those of other sandboxes, side by side in one run: latency, precision of limits and
//! figures, throughput, and what the keeper itself costs. Run by `tests/bench`, as root where systemd is process 1.
//!
//! Absolute times say little on a shared machine; ratios of one run do. Peers are taken where they are installed:
//! bubblewrap, systemd-run, and any isolate binary that `ISOLATE_BENCH_PEER` names. `ISOLATE_BENCH_USER` is the uid of
//! somebody who may use boxes by the broker that is installed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool for developers: it prints, and ends where it cannot go on"
)]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

mod beside;

/// Rounds in which every command of a table has its turn, and runs of each turn.
const ROUNDS: usize = 5;
const RUNS: usize = 30;
/// Runs of the tables about limits and figures.
const SAMPLES: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// The command of somebody who is not root.
const USERS_RUN: &str = "isolate-run --run of a user";

/// What is compared.
struct Bench {
    binary: PathBuf,
    programs: PathBuf,
    work: PathBuf,
}

fn main() {
    let variable = |name: &str| PathBuf::from(std::env::var_os(name).expect(name));
    let work = std::env::temp_dir().join(format!("isolate-bench-{}", std::process::id()));
    fs::create_dir(&work).unwrap();
    let bench = Bench {
        binary: variable("ISOLATE_RUN_BIN"),
        programs: variable("ISOLATE_TEST_PROGRAMS"),
        work,
    };
    bench.write_config();
    if std::env::args().any(|word| word == "beside") {
        bench.beside_attackers();
        fs::remove_dir_all(&bench.work).unwrap();
        return;
    }
    must(bench.run(&["--init"]));
    bench.latency(
        "Latency of a whole command, back to back (ms)",
        Duration::ZERO,
        RUNS,
    );
    bench.latency("The same with pauses of 100 ms (ms)", PAUSE, 6);
    bench.overruns();
    bench.accuracy();
    bench.boxes();
    bench.throughput();
    bench.keeper();
    bench.beside_attackers();
    must(bench.run(&["--cleanup"]));
    fs::remove_dir_all(&bench.work).unwrap();
}

impl Bench {
    fn write_config(&self) {
        let work = self.work.display();
        let text = format!("[boxes]\nroot = '{work}/boxes'\nlocks = '{work}/locks'\n");
        fs::write(self.work.join("isolate.toml"), text).unwrap();
    }

    /// A command line of ours.
    fn line(&self, args: &[&str]) -> Vec<String> {
        let mut line = vec![self.binary.display().to_string()];
        if args.first() == Some(&"exec") {
            line.push("exec".into());
        }
        line.push(format!("--config={}/isolate.toml", self.work.display()));
        line.extend(
            args.iter()
                .filter(|arg| **arg != "exec")
                .map(|arg| (*arg).to_owned()),
        );
        line
    }

    fn run(&self, args: &[&str]) -> Result<(), String> {
        run(&self.line(args))
    }

    fn latency(&self, title: &str, pause: Duration, runs: usize) {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut commands = vec![
            (
                "bwrap --unshare-all",
                words("bwrap --unshare-all --ro-bind / / /bin/true"),
            ),
            (
                "isolate-run --run",
                self.line(&["--silent", "--run", "--", "/bin/true"]),
            ),
            (
                "isolate-run exec",
                self.line(&["exec", "--silent", "--", "/bin/true"]),
            ),
            (
                "systemd-run --scope",
                words("systemd-run --scope --quiet /bin/true"),
            ),
            ("/bin/true alone", words("/bin/true")),
        ];
        if self.run(&["--box-id=99", "--cg", "--init"]).is_ok() {
            let line = self.line(&[
                "--box-id=99",
                "--cg",
                "--silent",
                "--run",
                "--",
                "/bin/true",
            ]);
            commands.insert(2, ("isolate-run --cg --run", line));
        }
        if let Some(peer) = std::env::var_os("ISOLATE_BENCH_PEER") {
            let peer = peer.to_string_lossy().into_owned();
            must(run(&[peer.clone(), "--init".into()]));
            let line = [&peer, "--silent", "--run", "--", "/bin/true"];
            commands.insert(2, ("isolate --run", line.map(str::to_owned).to_vec()));
        }
        if let Some(uid) = user() {
            must(run_as(Some(uid), &users_line(&["--init"])));
            let line = users_line(&["--silent", "--run", "--", "/bin/true"]);
            commands.insert(2, (USERS_RUN, line));
        }
        let caller = |name: &str| user().filter(|_| name == USERS_RUN);
        commands.retain(|(name, line)| {
            let works = run_as(caller(name), line).is_ok();
            if !works {
                println!("({name} does not work here)");
            }
            works
        });
        let mut times = vec![Vec::new(); commands.len()];
        for _ in 0..ROUNDS {
            for ((name, line), times) in commands.iter().zip(&mut times) {
                for _ in 0..runs {
                    sleep(pause);
                    let start = Instant::now();
                    must(run_as(caller(name), line));
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        must(self.run(&["--box-id=99", "--cleanup"]));
        if let Some(uid) = user() {
            must(run_as(Some(uid), &users_line(&["--cleanup"])));
        }
        heading(title, &["median", "p95", "ratio"]);
        let base = median(&mut times[0]);
        for ((name, _), times) in commands.iter().zip(&mut times) {
            row(
                name,
                &[median(times), percentile(times, 95), median(times) / base],
            );
        }
    }

    /// How far programs get beyond their limits, by the report.
    fn overruns(&self) {
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .to_string();
        heading("Beyond a limit of 200 ms (ms)", &["median", "p95", "max"]);
        let threaded = ["burn_threads", &threads, "100000"];
        for (name, limit, program, key) in [
            (
                "CPU time, one busy thread",
                "--time=0.2",
                &["burn_cpu", "100000"][..],
                "cpu_time_us",
            ),
            (
                "CPU time, one per CPU",
                "--time=0.2",
                &threaded[..],
                "cpu_time_us",
            ),
            (
                "wall time, sleeper",
                "--wall-time=0.2",
                &["sleep"][..],
                "wall_time_us",
            ),
        ] {
            let mut over: Vec<f64> = (0..SAMPLES)
                .map(|_| self.figure(&[limit, "--processes"], program, key) / 1e3 - 200.0)
                .collect();
            row(
                name,
                &[
                    median(&mut over),
                    percentile(&mut over, 95),
                    percentile(&mut over, 100),
                ],
            );
        }
    }

    /// The reported CPU time beside what the program says of itself.
    fn accuracy(&self) {
        heading(
            "CPU time reported, less what a program of 100 ms measured of itself (ms)",
            &["median", "p95", "max"],
        );
        let mut differences: Vec<f64> = (0..SAMPLES)
            .map(|_| {
                let reported =
                    self.figure(&["--stdout=used"], &["report_cpu", "100"], "cpu_time_us");
                let used = fs::read_to_string(self.work.join("boxes/0/box/used")).unwrap();
                (reported - used.trim().parse::<f64>().unwrap()) / 1e3
            })
            .collect();
        row(
            "one busy thread",
            &[
                median(&mut differences),
                percentile(&mut differences, 95),
                percentile(&mut differences, 100),
            ],
        );
    }

    /// Runs a program of tests/programs and takes one figure from the report.
    fn figure(&self, options: &[&str], program: &[&str], key: &str) -> f64 {
        let report = self.work.join("report");
        let option = format!("--report={}", report.display());
        let words: Vec<String> = match program {
            ["sleep"] => vec!["/bin/sleep".into(), "1000".into()],
            [name, args @ ..] => {
                let inside = self.work.join("boxes/0/box").join(name);
                if !inside.exists() {
                    fs::copy(self.programs.join(name), &inside).unwrap();
                }
                let args = args.iter().map(|arg| (*arg).to_owned());
                std::iter::once(format!("./{name}")).chain(args).collect()
            }
            [] => unreachable!(),
        };
        let mut line = self.line(&["--silent", &option]);
        line.extend(options.iter().map(|option| (*option).to_owned()));
        line.extend(["--run".to_owned(), "--".to_owned()]);
        line.extend(words);
        drop(run(&line));
        let text = fs::read(&report).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        value["figures"][key]
            .as_f64()
            .unwrap_or_else(|| panic!("{value:#}"))
    }

    fn throughput(&self) {
        heading("Runs of /bin/true a second", &["runs/s"]);
        for boxes in [1, 2, 8] {
            let lines: Vec<_> = (1..=boxes)
                .map(|id| {
                    let id = format!("--box-id={id}");
                    must(self.run(&[&id, "--init"]));
                    self.line(&[&id, "--silent", "--run", "--", "/bin/true"])
                })
                .collect();
            let (start, time) = (Instant::now(), Duration::from_secs(3));
            let total: usize = std::thread::scope(|scope| {
                let count = |line: &'_ [String]| {
                    let mut runs = 0;
                    while start.elapsed() < time {
                        must(run(line));
                        runs += 1;
                    }
                    runs
                };
                let workers: Vec<_> = lines
                    .iter()
                    .map(|line| scope.spawn(move || count(line)))
                    .collect();
                workers
                    .into_iter()
                    .map(|worker| worker.join().unwrap())
                    .sum()
            });
            let elapsed = start.elapsed().as_secs_f64();
            row(&format!("{boxes} boxes at once"), &[total as f64 / elapsed]);
            for id in 1..=boxes {
                must(self.run(&[&format!("--box-id={id}"), "--cleanup"]));
            }
        }
    }

    fn boxes(&self) {
        heading("Making and removing a box (ms)", &["median", "p95"]);
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS * RUNS {
            for (option, times) in ["--init", "--cleanup"].iter().zip(&mut times) {
                let start = Instant::now();
                must(self.run(&["--box-id=98", option]));
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        for (name, mut times) in ["--init", "--cleanup"].into_iter().zip(times) {
            row(name, &[median(&mut times), percentile(&mut times, 95)]);
        }
    }

    /// What the keeper itself needs while a program is busy until its limit of one second.
    fn keeper(&self) {
        fs::copy(
            self.programs.join("burn_cpu"),
            self.work.join("boxes/0/box/burn_cpu"),
        )
        .unwrap();
        let limits = ["--silent", "--time=1", "--wall-time=10"];
        let mut line = self.line(&limits);
        line.extend(["--run", "--", "./burn_cpu", "100000"].map(str::to_owned));
        let mut child = start(None, &line).unwrap();
        // The set-up is over by then.
        sleep(Duration::from_millis(200));
        let (before, memory) = (keeper_cpu(child.id()), memory_kib(child.id()));
        let mut last = before;
        while child.try_wait().unwrap().is_none() {
            // Until it is a zombie, which has no figure.
            last = keeper_cpu(child.id()).max(last);
            sleep(Duration::from_millis(1));
        }
        heading("The keeper of a busy run", &[""]);
        row("resident memory (KiB)", &[memory]);
        row("CPU time, part of a second (%)", &[(last - before) / 1e7]);
    }
}

/// CPU time of a process in ns, from /proc/PID/schedstat.
fn keeper_cpu(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(f64::NAN)
}

fn memory_kib(pid: u32) -> f64 {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    let text = text.unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(f64::NAN)
}

/// Who is not root, and may use boxes.
fn user() -> Option<u32> {
    let uid = std::env::var("ISOLATE_BENCH_USER").ok()?;
    Some(uid.parse().expect("ISOLATE_BENCH_USER is no uid"))
}

/// A command line of theirs. Their broker is the installed one, and so is its configuration.
fn users_line(args: &[&str]) -> Vec<String> {
    let line = ["isolate-run", "--box-id=98"].iter().chain(args);
    line.map(|word| (*word).to_owned()).collect()
}

fn start(uid: Option<u32>, line: &[String]) -> std::io::Result<Child> {
    let mut command = Command::new(&line[0]);
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    command
        .args(&line[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn run(line: &[String]) -> Result<(), String> {
    run_as(None, line)
}

/// Runs a command as this user, or as the one who runs this.
fn run_as(uid: Option<u32>, line: &[String]) -> Result<(), String> {
    let status = start(uid, line).and_then(|mut child| child.wait());
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("{}: {other:?}", line.join(" "))),
    }
}

fn must(result: Result<(), String>) {
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() * percent).div_ceil(100)).clamp(1, values.len()) - 1]
}

fn median(values: &mut [f64]) -> f64 {
    percentile(values, 50)
}

fn heading(title: &str, columns: &[&str]) {
    print!("\n{title}\n{:36}", "");
    println!(
        "{}",
        columns
            .iter()
            .map(|name| format!("{name:>10}"))
            .collect::<String>()
    );
}

fn row(name: &str, values: &[f64]) {
    print!("{name:36}");
    println!(
        "{}",
        values
            .iter()
            .map(|value| format!("{value:10.2}"))
            .collect::<String>()
    );
}
