//! Runs a second with many boxes at once, and what systemd, the bus and polkit have to do for one run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::command::{Boxes, Line};
use crate::table::{heading, row};

/// Boxes at once.
const BOXES: [u32; 4] = [1, 2, 8, 32];
const TIME: Duration = Duration::from_secs(3);
/// Runs over which the time of services is shared out.
const RUNS: u32 = 200;
const BOX: u32 = 93;

/// Whose CPU time is told beside a run.
const SERVICES: [&str; 5] = [
    "systemd",
    "dbus-daemon",
    "dbus-broker",
    "polkitd",
    "isolate-run",
];

impl Bench {
    pub(crate) fn throughput(&self) {
        let kinds = self.kinds();
        let columns = BOXES.map(|boxes| boxes.to_string());
        let mut found = vec![Vec::new(); kinds.len()];
        for boxes in BOXES {
            for (kind, found) in kinds.iter().zip(&mut found) {
                found.push(runs_a_second(kind, boxes));
            }
        }
        let columns = columns.each_ref().map(String::as_str);
        heading("Runs of /bin/true a second, by boxes at once", &columns);
        for (kind, found) in kinds.iter().zip(&found) {
            row(kind.name, found);
        }
        for kind in kinds.iter().filter(|kind| kind.are_ours()) {
            let found = BOXES.map(|jobs| jobs_a_second(kind, jobs));
            row(&format!("{}, one batch", kind.name), &found);
        }
    }

    /// Services are told by the names of their processes.
    pub(crate) fn services(&self) {
        heading(
            "CPU time of services for one run (ms)",
            &["PID 1", "dbus-daemon", "dbus-broker", "polkit", "broker"],
        );
        for kind in self.kinds() {
            kind.init(BOX);
            let run = kind.run(BOX, &[], &["/bin/true"]);
            run.must();
            let before = cpu_by_service();
            for _ in 0..RUNS {
                run.must();
            }
            let after = cpu_by_service();
            let used = |name: &&str| {
                let of = |times: &BTreeMap<String, f64>| times.get(*name).copied();
                (of(&after).unwrap_or(0.0) - of(&before).unwrap_or(0.0)) / f64::from(RUNS)
            };
            row(kind.name, &SERVICES.iter().map(used).collect::<Vec<_>>());
            kind.cleanup(BOX);
        }
    }
}

fn runs_a_second(kind: &Boxes, boxes: u32) -> f64 {
    let lines: Vec<Line> = (0..boxes)
        .map(|id| {
            kind.init(id);
            kind.run(id, &[], &["/bin/true"])
        })
        .collect();
    let start = Instant::now();
    let count = |line: &Line| {
        let mut runs = 0;
        while start.elapsed() < TIME {
            line.must();
            runs += 1;
        }
        runs
    };
    let runs: u32 = std::thread::scope(|scope| {
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
    for id in 0..boxes {
        kind.cleanup(id);
    }
    f64::from(runs) / elapsed
}

/// Jobs of one run each that one batch carries out a second, so many at a time: from the first result to the last, since it
/// makes and removes its boxes itself. Each job has its box made anew.
fn jobs_a_second(kind: &Boxes, at_a_time: u32) -> f64 {
    let start = Instant::now();
    let mut command = kind.batch(at_a_time).command();
    let mut batch = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut jobs, results) = (batch.stdin.take().unwrap(), batch.stdout.take().unwrap());
    let writer = std::thread::spawn(move || {
        for id in 1.. {
            let job = format!(r#"{{"id":"{id}","steps":[{{"argv":["/bin/true"]}}]}}"#);
            if start.elapsed() > TIME || writeln!(jobs, "{job}").is_err() {
                break;
            }
        }
    });
    let results = BufReader::new(results).lines().map(Result::unwrap);
    let done = results.filter(|line| line.contains(r#""verdict":"ok""#));
    let times: Vec<Instant> = done.map(|_| Instant::now()).collect();
    writer.join().unwrap();
    assert!(batch.wait().unwrap().success(), "{}: a batch", kind.name);
    let runs = times.len() - 1;
    f64::from(u32::try_from(runs).unwrap()) / (times[runs] - times[0]).as_secs_f64()
}

/// CPU time in ms of what has one of these names and was there before any run: by its children, too, which a broker has.
fn cpu_by_service() -> BTreeMap<String, f64> {
    let mut times = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let (Some(begin), Some(end)) = (stat.find('('), stat.rfind(')')) else {
            continue;
        };
        let name = stat[begin + 1..end].to_owned();
        let ticks = |at: usize| {
            let field = stat[end + 2..].split(' ').nth(at);
            field.and_then(|field| field.parse().ok()).unwrap_or(0.0)
        };
        // utime, stime, and those of children that were waited for: proc_pid_stat(5), fields 14 to 17.
        let sum: f64 = (11..15).map(ticks).sum();
        *times.entry(name).or_insert(0.0) += sum * 10.0;
    }
    times
}
