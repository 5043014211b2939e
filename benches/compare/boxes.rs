//! Making and removing a box, its whole life beside `exec`, and a box with many files.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use crate::Bench;
use crate::command::{Boxes, Line};
use crate::table::{heading, median, percentile, row};

const BOX: u32 = 92;
const ROUNDS: usize = 5;
const RUNS: usize = 20;
/// Files of the two boxes that are compared, and runs in each.
const FILES: [usize; 2] = [10, 100_000];
const RUNS_AMONG_FILES: usize = 11;

/// How long a command takes, in ms.
fn time(line: &Line) -> f64 {
    let start = Instant::now();
    line.must();
    start.elapsed().as_secs_f64() * 1e3
}

impl Bench {
    /// The kinds take turns. The ratio of `exec` is to the sum of isolate's three.
    pub(crate) fn boxes(&self) {
        heading(
            "The life of a box with one /bin/true (ms)",
            &["init", "run", "cleanup", "all three", "exec"],
        );
        let kinds = self.kinds();
        let mut times: Vec<[Vec<f64>; 5]> = kinds.iter().map(|_| Default::default()).collect();
        for _ in 0..ROUNDS {
            for (kind, times) in kinds.iter().zip(&mut times) {
                let three = [
                    kind.line(BOX, &["--init"]),
                    kind.run(BOX, &[], &["/bin/true"]),
                    kind.line(BOX, &["--cleanup"]),
                ];
                for _ in 0..RUNS {
                    let parts = three.each_ref().map(time);
                    for (times, part) in times.iter_mut().zip(parts) {
                        times.push(part);
                    }
                    times[3].push(parts.iter().sum());
                }
                if kind.are_ours() {
                    let exec = kind.exec(&["/bin/true"]);
                    times[4].extend((0..RUNS).map(|_| time(&exec)));
                }
            }
        }
        for (kind, times) in kinds.iter().zip(&mut times) {
            let of_kind = times.iter_mut().filter(|times| !times.is_empty());
            row(
                kind.name,
                &of_kind.map(|times| median(times)).collect::<Vec<_>>(),
            );
        }
    }

    /// What a run costs in a box that has few files, and in one that has many.
    pub(crate) fn files(&self) {
        heading(
            "A run of /bin/true in a box with files (ms)",
            &["median", "p95", "cleanup"],
        );
        for kind in self.kinds() {
            for files in FILES {
                kind.init(BOX);
                fill(&self.inside(&kind, BOX), files);
                let run = kind.run(BOX, &[], &["/bin/true"]);
                // The first one gives the files away, where that is needed.
                run.must();
                let mut times: Vec<f64> = (0..RUNS_AMONG_FILES).map(|_| time(&run)).collect();
                let cleanup = time(&kind.line(BOX, &["--cleanup"]));
                let name = format!("{}, {files} files", kind.name);
                row(
                    &name,
                    &[median(&mut times), percentile(&mut times, 95), cleanup],
                );
            }
        }
    }

    /// The directory of a box, which `--init` tells.
    fn inside(&self, kind: &Boxes, id: u32) -> PathBuf {
        let mut init = kind.line(id, &["--init"]).command();
        let told = init.stdout(std::process::Stdio::piped()).output().unwrap();
        assert!(told.status.success(), "{}: --init", kind.name);
        let text = String::from_utf8(told.stdout).unwrap();
        PathBuf::from(text.trim_end()).join("box")
    }
}

/// Small files, a thousand in each directory.
fn fill(inside: &std::path::Path, files: usize) {
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(inside).unwrap());
    for number in 0..files {
        let folder = inside.join(format!("many{}", number / 1000));
        if number % 1000 == 0 {
            fs::create_dir(&folder).unwrap();
            std::os::unix::fs::chown(&folder, Some(owner), Some(owner)).unwrap();
        }
        let file = folder.join(number.to_string());
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::chown(&file, Some(owner), Some(owner)).unwrap();
    }
}
