//! The same work bare and in each sandbox: how far their figures differ from those of the program alone, and from run to
//! run.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use crate::Bench;
use crate::command::{Boxes, Line};
use crate::table::{heading, median, row, spread};

/// Turns of each way to run it.
const TURNS: usize = 200;
const BOX: u32 = 95;

/// What one run used: CPU time and wall time in ms, memory at its highest in KiB.
type Figures = [f64; 3];

/// A way to run the work.
enum Way {
    Bare,
    /// In a box; the figures are those of its meta file.
    Boxed(Boxes),
    /// BenchExec's.
    Runexec,
}

impl Bench {
    /// All take turns. The program does the same each time, so that what differs is the machine or the sandbox.
    pub(crate) fn fidelity(&self) {
        let work = self.programs.join("work");
        let mut ways = vec![("bare", Way::Bare)];
        for kind in self.kinds() {
            kind.init(BOX);
            ways.push((kind.name, Way::Boxed(kind)));
        }
        match runexec(&work) {
            Some(_) => ways.push(("runexec", Way::Runexec)),
            None => println!("(runexec does not work here)"),
        }
        let mut found: Vec<[Vec<f64>; 3]> = ways.iter().map(|_| Default::default()).collect();
        for _ in 0..TURNS {
            for ((_, way), found) in ways.iter().zip(&mut found) {
                let figures = match way {
                    Way::Bare => bare(&self.programs),
                    Way::Boxed(kind) => self.boxed(kind, &work),
                    Way::Runexec => runexec(&work).expect("runexec"),
                };
                for (all, figure) in found.iter_mut().zip(figures) {
                    all.push(figure);
                }
            }
        }
        let titles = [
            "CPU time (ms)",
            "Wall time (ms)",
            "Memory at its highest (KiB)",
        ];
        for (at, title) in titles.iter().enumerate() {
            heading(
                &format!("{title} of the same work, {TURNS} turns"),
                &["median", "spread", "less bare"],
            );
            let alone = median(&mut found[0][at]);
            for ((name, _), found) in ways.iter().zip(&mut found) {
                let middle = median(&mut found[at]);
                row(name, &[middle, spread(&mut found[at]), middle - alone]);
            }
        }
        for (_, way) in &ways {
            if let Way::Boxed(kind) = way {
                kind.cleanup(BOX);
            }
        }
    }

    /// The program is in a directory of its own in the box, so that nobody has to own it.
    fn boxed(&self, kind: &Boxes, work: &Path) -> Figures {
        let meta = self.work.join("meta").join(kind.name);
        let folder = meta.parent().unwrap();
        if !folder.exists() {
            fs::create_dir(folder).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs::set_permissions(folder, mode).unwrap();
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&self.work, open).unwrap();
        }
        let dir = format!("--dir=programs={}", work.parent().unwrap().display());
        let option = format!("--meta={}", meta.display());
        kind.run(BOX, &[&dir, &option], &["/programs/work"]).must();
        let text = fs::read_to_string(&meta).unwrap();
        let figure = |key: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(key));
            value
                .and_then(|value| value.parse::<f64>().ok())
                .expect(key)
        };
        [
            figure("time:") * 1e3,
            figure("time-wall:") * 1e3,
            figure("max-rss:"),
        ]
    }
}

/// As a parent sees it by wait4(2), which `wait_usage` prints.
fn bare(programs: &Path) -> Figures {
    let [wait_usage, work] = ["wait_usage", "work"].map(|name| programs.join(name));
    let line = Line::new([&*wait_usage.to_string_lossy(), &work.to_string_lossy()]);
    let start = Instant::now();
    let told = line.command().stdout(Stdio::piped()).output().unwrap();
    let wall = start.elapsed().as_secs_f64() * 1e3;
    let text = String::from_utf8(told.stdout).unwrap();
    let mut figures = text.split_whitespace().map(|word| word.parse().unwrap());
    let mut next = || -> f64 { figures.next().unwrap() };
    [next() * 1e3, wall, next()]
}

/// By what it prints: `cputime=0.21s`, `walltime=0.21s`, `memory=2150400B`. `None`: it does not work here. It wants a control
/// group of its own, and cannot lay a file system over `/` everywhere. Where there is no memory controller it tells no memory.
fn runexec(work: &Path) -> Option<Figures> {
    let scope = "systemd-run --scope --quiet --property=Delegate=yes";
    let runexec = "runexec --read-only-dir / --output /dev/null --";
    let line = Line::new(scope.split(' ').chain(runexec.split(' ')));
    let mut command = line.with([&*work.to_string_lossy()]).command();
    let told = command.stdout(Stdio::piped()).output().ok()?;
    let text = String::from_utf8_lossy(&told.stdout);
    let figure = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key))?;
        value.trim_end_matches(['s', 'B']).parse::<f64>().ok()
    };
    Some([
        figure("cputime=")? * 1e3,
        figure("walltime=")? * 1e3,
        figure("memory=").map_or(f64::NAN, |bytes| bytes / 1024.0),
    ])
}
