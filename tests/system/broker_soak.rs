//! Many hostile clients of the broker at the same time, and honest ones among them: every honest run is as it should be,
//! and in the end the broker is as it was.

use crate::support;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::hostile::{Arena, Footprint, NOBODY, wait_until_as_before};
use crate::support::{ALICE, BOB, Meta, TestBox, entries, finish, slow};

/// Users who are hostile; bob alone may use boxes.
const HOSTILE: [u32; 4] = [BOB, NOBODY, 1, 2];
/// How many clients are honest.
const HONEST: u32 = 4;
/// Their first box: the first ones are fought over by the hostile.
const HONEST_BOXES: u32 = 100;

/// Seconds: `ISOLATE_TEST_SOAK_SECONDS`, if it is set.
fn duration() -> Duration {
    let chosen = std::env::var("ISOLATE_TEST_SOAK_SECONDS").ok();
    let seconds = chosen.map(|seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(if slow() { 60 } else { 10 }))
}

/// An honest client with a box of its own; how long each run took.
struct Honest<'a> {
    test_box: &'a TestBox,
    id: u32,
    meta: PathBuf,
    times: Vec<Duration>,
}

impl<'a> Honest<'a> {
    fn new(test_box: &'a TestBox, number: u32) -> Self {
        let id = test_box.id() + HONEST_BOXES + number;
        let new = Self {
            test_box,
            id,
            meta: test_box.out().join(format!("honest-{number}")),
            times: Vec::new(),
        };
        let output = finish(new.command(&["--init"]));
        let path = format!("{}\n", test_box.root().join(id.to_string()).display());
        assert_eq!((output.code, output.stdout), (0, path));
        new
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.test_box.broker().command(ALICE);
        command.arg(format!("--box-id={}", self.id)).args(args);
        command
    }

    /// One run, whose result is known to the last letter.
    fn run(&mut self) {
        let number = self.times.len();
        let code = number % 3;
        let script = format!("echo out {number}; echo err {number} >&2; exit {code}");
        let mut command = self.command(&["--silent", "--wall-time=60", "--processes=4"]);
        command.arg("--meta").arg(&self.meta);
        command.args(["--run", "--", "/bin/sh", "-c", &script]);
        let start = Instant::now();
        let output = finish(command);
        self.times.push(start.elapsed());
        let found = (output.code, &*output.stdout, &*output.stderr);
        let said = (format!("out {number}\n"), format!("err {number}\n"));
        let expected = (i32::from(code > 0), &*said.0, &*said.1);
        assert_eq!(found, expected);
        let meta = Meta::parse(&fs::read_to_string(&self.meta).unwrap());
        let status = (code > 0).then_some("RE");
        let exit = code.to_string();
        let found = (meta.get("exitcode"), meta.get("status"));
        assert_eq!(found, (Some(&*exit), status), "{meta:?}");
        assert!(meta.get("killed").is_none(), "{meta:?}");
    }
}

impl Drop for Honest<'_> {
    fn drop(&mut self) {
        let output = finish(self.command(&["--cleanup"]));
        assert!(std::thread::panicking() || output.code == 0, "{output:?}");
    }
}

fn shown(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    let (median, most, last) = (at(50), at(99), at(100));
    format!(
        "{} runs: median {median:.1?}, 99 of 100 {most:.1?}, longest {last:.1?}",
        times.len()
    )
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn honest_clients_among_hostile_ones_are_served_correctly() {
    let test_box = TestBox::with_manager("systemd").called_by(ALICE);
    // Boxes for everybody; no other test is in this binary.
    let config = fs::read_to_string(test_box.config_file()).unwrap();
    let count = format!("count = {}", test_box.id() + support::BOXES);
    let more = format!("count = {}", test_box.id() + HONEST_BOXES * 2);
    fs::write(test_box.config_file(), config.replace(&count, &more)).unwrap();
    let arena = Arena::new(test_box);
    let test_box = &arena.test_box;
    let mut honest: Vec<_> = (0..HONEST).map(|at| Honest::new(test_box, at)).collect();
    for _ in 0..if slow() { 3 } else { 100 } {
        honest.iter_mut().for_each(Honest::run);
    }
    let before = Footprint::of(test_box);
    let mut idle: Vec<_> = honest
        .iter_mut()
        .flat_map(|one| one.times.drain(..))
        .collect();
    println!("nobody else: {}", shown(&mut idle));

    let hostile: Vec<_> = (0..if slow() { 8 } else { 64_u32 })
        .map(|number| {
            let uid = HOSTILE[number as usize % HOSTILE.len()];
            // A quarter of them want the boxes of the honest.
            let id = match number % 16 {
                at @ 0..HONEST => HONEST_BOXES + at,
                at => at % 8,
            };
            let seed = [number.to_string()];
            arena.start_on(uid, "anything", test_box.id() + id, &seed)
        })
        .collect();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for one in &mut honest {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    one.run();
                }
            });
        }
        std::thread::sleep(duration());
        is_over.store(true, Ordering::Relaxed);
    });
    let during = Footprint::of(test_box);
    for client in hostile {
        client.finish();
    }
    let mut times: Vec<_> = honest
        .iter_mut()
        .flat_map(|one| one.times.drain(..))
        .collect();
    println!("among hostile ones: {}", shown(&mut times));
    wait_until_as_before(test_box, &before);
    let after = Footprint::of(test_box);
    println!("before {before:?}\nduring {during:?}\nafter {after:?}");
    drop(honest);
    // Boxes that were made and not removed are no leak; all of these have their makers' number.
    for path in entries(&test_box.root()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let number = name.parse::<u32>().unwrap() - test_box.id();
        assert!(number < 8, "box {name} is left");
        if number > 0 {
            let mut cleanup = std::process::Command::new(support::binary());
            cleanup.arg("--config").arg(test_box.config_file());
            cleanup.arg(format!("--box-id={name}")).arg("--cleanup");
            finish(cleanup).assert_silent_success();
        }
    }
    arena.assert_unharmed();
}
