//! An honest run beside four attackers, with a processor to spare: its CPU time and its verdict.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::Bench;
use crate::command::Line;
use crate::table::{heading, median, percentile, row};

/// How often the honest run has its turn, alone and beside the attackers.
const TURNS: usize = 5;
/// Its runs in each turn.
const RUNS: usize = 6;

/// The box of the honest run; those of the attackers follow.
const HONEST: u32 = 20;

/// What each attacker runs, over and over again, and its limits.
const ATTACKERS: [(&str, &[&str], &[&str]); 4] = [
    (
        "fork bomb",
        &["fork_bomb"],
        &["--processes=60", "--wall-time=2"],
    ),
    (
        "memory bomb",
        &["memory_bomb", "4", "1000"],
        &["--processes=8", "--mem=400M", "--wall-time=2"],
    ),
    ("disk filler", &["fill_files", "100000"], &["--wall-time=2"]),
    ("output flood", &["flood"], &["--wall-time=2"]),
];

impl Bench {
    /// Attackers have the first processor, and the honest run the last one.
    pub(crate) fn beside(&self) {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        heading(
            "CPU time of the same work (ms), by turns",
            &["median", "p95", "runs"],
        );
        if processors < 2 {
            println!("there is no processor to spare");
            return;
        }
        for number in 0..5 {
            self.root().init(HONEST + number);
        }
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        let mut attacks = 0;
        for _ in 0..TURNS {
            alone.extend((0..RUNS).map(|_| self.honest(processors - 1)));
            let is_over = AtomicBool::new(false);
            thread::scope(|scope| {
                let attackers: Vec<_> = ATTACKERS
                    .iter()
                    .zip(HONEST + 1..)
                    .map(|((_, program, options), id)| {
                        let is_over = &is_over;
                        scope.spawn(move || self.attack(id, program, options, is_over))
                    })
                    .collect();
                // All of them are at it.
                thread::sleep(std::time::Duration::from_millis(500));
                beside.extend((0..RUNS).map(|_| self.honest(processors - 1)));
                is_over.store(true, Ordering::Relaxed);
                attacks += attackers
                    .into_iter()
                    .map(|attacker| attacker.join().unwrap())
                    .sum::<usize>();
            });
        }
        for (name, times) in [
            ("alone", &mut alone),
            ("beside four attackers", &mut beside),
        ] {
            let runs = times.len() as f64;
            row(name, &[median(times), percentile(times, 95), runs]);
        }
        let more = (median(&mut beside) / median(&mut alone) - 1.0) * 100.0;
        row("more beside them (%)", &[more]);
        row("runs of attackers", &[attacks as f64]);
        for number in 0..5 {
            self.root().cleanup(HONEST + number);
        }
    }

    fn pinned(&self, processor: usize, id: u32, options: &[&str], program: &[&str]) -> Command {
        let inside = self.inside_of_root(id).join(program[0]);
        if !inside.exists() {
            fs::copy(self.programs.join(program[0]), &inside).unwrap();
        }
        let name = format!("./{}", program[0]);
        let words = [&[name.as_str()], &program[1..]].concat();
        let run = self.root().run(id, options, &words);
        Line::new(["taskset", "--cpu-list", &processor.to_string()])
            .with(run.words.iter().map(String::as_str))
            .command()
    }

    /// The CPU time of the honest run in ms, which must end well.
    fn honest(&self, processor: usize) -> f64 {
        let meta = self.work.join("honest");
        let option = format!("--meta={}", meta.display());
        let options = [&option, "--time=20", "--wall-time=60"];
        let status = self.pinned(processor, HONEST, &options, &["work"]).status();
        let text = fs::read_to_string(&meta).unwrap();
        assert!(
            status.unwrap().success() && !text.contains("status:"),
            "{text}"
        );
        let time = text.lines().find_map(|line| line.strip_prefix("time:"));
        time.unwrap().parse::<f64>().unwrap() * 1e3
    }

    /// Attacks until it is over; how often.
    fn attack(&self, id: u32, program: &[&str], options: &[&str], is_over: &AtomicBool) -> usize {
        let mut attacks = 0;
        while !is_over.load(Ordering::Relaxed) {
            drop(self.pinned(0, id, options, program).status());
            attacks += 1;
        }
        attacks
    }
}
