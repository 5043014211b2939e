//! Compares whole commands with those of other sandboxes, side by side in one run: latency at each pace, the life of a
//! box, throughput, precision of limits and figures, and what the keeper itself costs. Run by `tests/bench`, as root where
//! systemd is process 1; its arguments name parts, by default all.
//!
//! Absolute times say little on a shared machine; ratios of one run do. Peers are taken where they are installed:
//! bubblewrap, nsjail, systemd-run, BenchExec's runexec, and any isolate binary that `ISOLATE_BENCH_PEER` names.
//! `ISOLATE_BENCH_USER` and `ISOLATE_BENCH_ASKING_USER`, each UID:GID, may use boxes by the broker that is installed: the
//! first one by that group, and the other one by what polkit says.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool for developers: it prints, and ends where it cannot go on"
)]

use std::fs;
use std::path::PathBuf;

use command::Boxes;

mod beside;
mod boxes;
mod command;
mod fidelity;
mod limits;
mod pace;
mod table;
mod throughput;

/// What can be measured, by name.
type Part = (&'static str, fn(&Bench));

/// All of it, in the order in which it is.
const PARTS: [Part; 8] = [
    ("pace", Bench::pace),
    ("boxes", Bench::boxes),
    ("files", Bench::files),
    ("throughput", Bench::throughput),
    ("services", Bench::services),
    ("limits", Bench::limits),
    ("fidelity", Bench::fidelity),
    ("beside", Bench::beside),
];

/// What is compared, and where.
struct Bench {
    binary: PathBuf,
    programs: PathBuf,
    work: PathBuf,
}

fn main() {
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    for word in &chosen {
        let is_part = PARTS.iter().any(|(name, _)| name == word);
        assert!(
            is_part,
            "no part {word}; there are {:?}",
            PARTS.map(|(name, _)| name)
        );
    }
    let variable = |name: &str| PathBuf::from(std::env::var_os(name).expect(name));
    let work = std::env::temp_dir().join(format!("isolate-bench-{}", std::process::id()));
    fs::create_dir(&work).unwrap();
    let bench = Bench {
        binary: variable("ISOLATE_RUN_BIN"),
        programs: variable("ISOLATE_TEST_PROGRAMS"),
        work,
    };
    bench.write_config();
    for (name, measure) in PARTS {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            measure(&bench);
        }
    }
    fs::remove_dir_all(&bench.work).unwrap();
}

impl Bench {
    fn write_config(&self) {
        let work = self.work.display();
        let text = format!("[boxes]\nroot = '{work}/boxes'\nlocks = '{work}/locks'\n");
        fs::write(self.work.join("isolate.toml"), text).unwrap();
    }

    /// Root's boxes, by the binary under test.
    fn root(&self) -> Boxes {
        Boxes::of_root(&self.binary, &self.work.join("isolate.toml"))
    }

    /// What a program finds in its box of root's, from outside.
    fn inside_of_root(&self, id: u32) -> PathBuf {
        self.work.join(format!("boxes/{id}/box"))
    }

    /// All whose boxes can be compared here: root's, the users', the peer's.
    fn kinds(&self) -> Vec<Boxes> {
        [self.root()]
            .into_iter()
            .chain(Boxes::of_users())
            .chain(Boxes::of_peer())
            .collect()
    }
}
