//! How exact limits and figures are: overruns, CPU time as the program itself sees it, and what the keeper needs.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::Bench;
use crate::table::{heading, median, percentile, row};

/// The box of these runs, which is there meanwhile.
const BOX: u32 = 94;
const SAMPLES: usize = 50;

impl Bench {
    pub(crate) fn limits(&self) {
        let root = self.root();
        root.init(BOX);
        for name in ["burn_cpu", "burn_threads", "report_cpu"] {
            fs::copy(
                self.programs.join(name),
                self.inside_of_root(BOX).join(name),
            )
            .unwrap();
        }
        self.overruns();
        self.accuracy();
        self.keeper();
        root.cleanup(BOX);
    }

    /// How far programs get beyond their limits, by the report.
    fn overruns(&self) {
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .to_string();
        heading("Beyond a limit of 200 ms (ms)", &["median", "p95", "max"]);
        let threaded = ["./burn_threads", &threads, "100000"];
        for (name, limit, program, key) in [
            (
                "CPU time, one busy thread",
                "--time=0.2",
                &["./burn_cpu", "100000"][..],
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
                &["/bin/sleep", "1000"][..],
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
                    self.figure(&["--stdout=used"], &["./report_cpu", "100"], "cpu_time_us");
                let used = fs::read_to_string(self.inside_of_root(BOX).join("used")).unwrap();
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

    /// Runs a program and takes one figure from the report.
    fn figure(&self, options: &[&str], program: &[&str], key: &str) -> f64 {
        let report = self.work.join("report");
        let option = format!("--report={}", report.display());
        let options = [&[&*option], options].concat();
        drop(self.root().run(BOX, &options, program).command().status());
        let text = fs::read(&report).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        value["figures"][key]
            .as_f64()
            .unwrap_or_else(|| panic!("{value:#}"))
    }

    /// What the keeper itself needs while a program is busy until its limit of one second.
    fn keeper(&self) {
        let limits = ["--time=1", "--wall-time=10"];
        let line = self.root().run(BOX, &limits, &["./burn_cpu", "100000"]);
        let mut child = line.start().unwrap();
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
