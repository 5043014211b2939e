//! What a whole command costs at each pace: a judge that compares output between two runs does not run them strictly
//! back to back, and systemd and the kernel answer differently after a pause.

use std::time::{Duration, Instant};

use crate::Bench;
use crate::command::{Boxes, Line};
use crate::table::{heading, median, percentile, row};

/// The box of each kind that stands by.
const BOX: u32 = 90;
/// That which takes turns with it.
const OTHER: u32 = 91;

/// How commands follow each other.
struct Pace {
    title: &'static str,
    /// Before each run.
    pause: Duration,
    /// How often all commands have their turn, and the runs of one turn.
    rounds: usize,
    runs: usize,
}

const PACES: [Pace; 4] = [
    Pace {
        title: "strictly back to back",
        pause: Duration::ZERO,
        rounds: 5,
        runs: 30,
    },
    Pace {
        title: "taking turns, without a pause",
        pause: Duration::ZERO,
        rounds: 60,
        runs: 1,
    },
    Pace {
        title: "pauses of 10 ms",
        pause: Duration::from_millis(10),
        rounds: 5,
        runs: 12,
    },
    Pace {
        title: "pauses of 100 ms",
        pause: Duration::from_millis(100),
        rounds: 5,
        runs: 6,
    },
];

/// A row of the table: lines that take turns within each run of it.
struct Entry {
    name: String,
    lines: Vec<Line>,
}

impl Bench {
    /// One table for each pace. The ratio is to isolate's `--run`, else to bubblewrap.
    pub(crate) fn pace(&self) {
        let boxes = self.kinds();
        for kind in &boxes {
            kind.init(BOX);
            kind.init(OTHER);
        }
        let entries: Vec<Entry> = entries(&boxes)
            .into_iter()
            .filter(|entry| {
                let works = entry.lines.iter().all(Line::works);
                if !works {
                    println!("({} does not work here)", entry.name);
                }
                works
            })
            .collect();
        for pace in &PACES {
            let mut times = vec![Vec::new(); entries.len()];
            for _ in 0..pace.rounds {
                for (entry, times) in entries.iter().zip(&mut times) {
                    for line in entry.lines.iter().cycle().take(pace.runs) {
                        std::thread::sleep(pace.pause);
                        let start = Instant::now();
                        line.must();
                        times.push(start.elapsed().as_secs_f64() * 1e3);
                    }
                }
            }
            let title = format!("A whole command with /bin/true, {} (ms)", pace.title);
            heading(&title, &["median", "p95", "ratio"]);
            let base = median(&mut times[0]);
            for (entry, times) in entries.iter().zip(&mut times) {
                let middle = median(times);
                row(&entry.name, &[middle, percentile(times, 95), middle / base]);
            }
        }
        for kind in &boxes {
            kind.cleanup(BOX);
            kind.cleanup(OTHER);
        }
    }
}

fn entries(boxes: &[Boxes]) -> Vec<Entry> {
    let entry = |name: &str, lines: Vec<Line>| Entry {
        name: name.to_owned(),
        lines,
    };
    let mut all = Vec::new();
    for kind in boxes.iter().rev() {
        let run = |id| kind.run(id, &[], &["/bin/true"]);
        all.push(entry(&format!("{} --run", kind.name), vec![run(BOX)]));
        if kind.are_ours() {
            let name = format!("{} --run, two boxes in turn", kind.name);
            all.push(entry(&name, vec![run(BOX), run(OTHER)]));
            let exec = kind.exec(&["/bin/true"]);
            all.push(entry(&format!("{} exec", kind.name), vec![exec]));
        }
    }
    let words = |line: &str| vec![Line::new(line.split(' '))];
    let bwrap = words("bwrap --unshare-all --ro-bind / / /bin/true");
    all.push(entry("bwrap --unshare-all", bwrap));
    let nsjail = words("nsjail --quiet --mode o --chroot / -- /bin/true");
    all.push(entry("nsjail", nsjail));
    let scope = words("systemd-run --scope --quiet /bin/true");
    all.push(entry("systemd-run --scope", scope));
    all.push(entry("/bin/true alone", words("/bin/true")));
    all
}
