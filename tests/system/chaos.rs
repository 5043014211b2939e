//! Whoever takes part in runs is killed at random, while root's runs and a user's go on: each run comes to what it should, or
//! says that it did not; none is late, and in the end nothing is left and nothing busy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::dice::Dice;
use crate::support::systemd::{CGROUPS, assert_nothing_left, main_pid, must, units};
use crate::support::{ALICE, TestBox, entries, finish, slow, wait_until};

/// Who runs programs at the same time: root, each in a box of its own, and a user.
const BY_ROOT: usize = 3;
const BY_USER: usize = 3;

/// Longer than anything takes that does not wait for what will not come.
const LATE: Duration = Duration::from_secs(45);

/// The exit code of `exec` when the sandbox did not work.
const INTERNAL: i32 = 125;

/// Seconds: `ISOLATE_TEST_SOAK_SECONDS`, if it is set.
fn duration() -> Duration {
    let chosen = std::env::var("ISOLATE_TEST_SOAK_SECONDS").ok();
    let seconds = chosen.map(|seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(if slow() { 60 } else { 10 }))
}

/// What came of all commands.
#[derive(Debug, Default)]
struct Tally {
    right: usize,
    /// The sandbox said that it did not work, or was killed itself.
    told: usize,
    killed: usize,
    longest: Duration,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, took: Duration, end: End) {
        self.longest = self.longest.max(took);
        if took > LATE {
            self.wrong.push(format!("took {took:?}: {end:?}"));
        }
        match end {
            End::Right => self.right += 1,
            End::Told => self.told += 1,
            End::Killed => self.killed += 1,
            End::Wrong(shown) => self.wrong.push(shown),
        }
    }
}

#[derive(Debug)]
enum End {
    Right,
    Told,
    Killed,
    Wrong(String),
}

/// A script, what it prints, and its exit code.
fn script(number: usize) -> (String, String, i32) {
    let code = i32::try_from(number % 3).unwrap();
    let text = format!("echo out {number}; sleep 0.01; exit {code}");
    (text, format!("out {number}\n"), code)
}

fn by_root(test_box: &TestBox, number: usize) -> End {
    let (script, out, code) = script(number);
    let job = test_box.shell(&script).options(&["--processes=5"]);
    let run = job.options(&["--wall-time=60"]).run();
    let exit = run.meta.get("exitcode").unwrap_or_default().to_owned();
    match (run.code, run.meta.get("status")) {
        (-9, _) => End::Killed,
        (2, Some("XX")) => End::Told,
        (0, None) if (code, &run.stdout) == (0, &out) => End::Right,
        (1, Some("RE")) if (exit, &run.stdout) == (code.to_string(), &out) => End::Right,
        _ => End::Wrong(format!("{run:?}")),
    }
}

fn by_user(number: usize) -> End {
    let (script, out, code) = script(number);
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={ALICE}"), &format!("--regid={ALICE}")]);
    command.args(["--init-groups", "--", "/usr/bin/isolate-run", "exec", "-s"]);
    command.args(["--wall-time=60", "--", "/bin/sh", "-c", &script]);
    let output = finish(command);
    match output.code {
        -9 => End::Killed,
        INTERNAL if !output.stderr.is_empty() => End::Told,
        found if (found, &output.stdout) == (code, &out) => End::Right,
        _ => End::Wrong(format!("{output:?}")),
    }
}

/// The processes of isolate-run but the programs, which are in leaves: keepers, inits, who holds scopes, clients, the broker.
fn own_processes() -> Vec<i32> {
    let is_own = |process: &Path| {
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        let cgroup = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        name.starts_with("isolate") && !cgroup.trim_end().ends_with("/box")
    };
    let number = |path: &Path| path.file_name()?.to_str()?.parse().ok();
    let processes = entries(Path::new("/proc"));
    processes
        .filter(|process| is_own(process))
        .filter_map(|process| number(&process))
        .collect()
}

/// The control groups of all scopes, root's and users'.
fn all_scopes() -> Vec<PathBuf> {
    let is = |path: &PathBuf, kind: &str| path.extension().is_some_and(|found| found == kind);
    let all = Path::new(CGROUPS).join("isolate.slice");
    let slices: Vec<_> = entries(&all).filter(|path| is(path, "slice")).collect();
    let inside = slices.iter().chain([&all]).flat_map(|slice| entries(slice));
    inside.filter(|path| is(path, "scope")).collect()
}

fn broker() -> i32 {
    i32::try_from(main_pid("isolate.service")).unwrap()
}

/// Does something at most so often.
struct Every(Duration, Instant);

impl Every {
    fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds), Instant::now())
    }

    fn is_due(&mut self) -> bool {
        let is_due = self.1.elapsed() >= self.0;
        if is_due {
            self.1 = Instant::now();
        }
        is_due
    }
}

/// Kills until the end; how many were killed.
fn kill_at_random(end: Instant) -> [usize; 5] {
    let systemctl = |args: &[&str]| {
        let mut command = Command::new("systemctl");
        // While its bus is away it may fail.
        drop(finish({
            command.args(args);
            command
        }));
    };
    let mut dice = Dice(2026);
    let mut killed = [0; 5];
    let [mut reexec, mut authority, mut bus, mut service] = [2, 7, 11, 5].map(Every::seconds);
    while Instant::now() < end {
        let main = broker();
        let mut own = own_processes();
        own.retain(|pid| *pid != main);
        if !own.is_empty() {
            let victim = own[dice.roll(own.len())];
            kill(Pid::from_raw(victim), Signal::SIGKILL).ok();
            killed[0] += 1;
        }
        if service.is_due() && main > 0 {
            kill(Pid::from_raw(main), Signal::SIGKILL).ok();
            killed[1] += 1;
        }
        if reexec.is_due() {
            let verbs = ["daemon-reexec", "daemon-reload"];
            systemctl(&[verbs[dice.roll(2)]]);
            killed[2] += 1;
        }
        if authority.is_due() {
            systemctl(&["restart", "polkit.service"]);
            killed[3] += 1;
        }
        if bus.is_due() {
            systemctl(&["kill", "--signal=KILL", "dbus.service"]);
            killed[4] += 1;
        }
        sleep(Duration::from_millis(20 + dice.roll(160) as u64));
    }
    killed
}

/// The CPU time that all processes of isolate-run have used, in ticks of 10 ms.
fn ticks() -> u64 {
    let of = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let times = fields.split_whitespace().skip(11).take(2);
        times.map(|time| time.parse::<u64>().unwrap()).sum::<u64>()
    };
    own_processes().into_iter().map(of).sum()
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn every_run_is_right_or_says_that_it_is_not_whoever_is_killed() {
    let boxes: Vec<_> = (0..BY_ROOT)
        .map(|_| TestBox::with_manager("systemd").config("keep_ready = 2\n"))
        .collect();
    for test_box in &boxes {
        test_box.init();
    }
    let own_boxes = Path::new("/var/local/lib/isolate");
    let before = entries(own_boxes).count();
    let end = Instant::now() + duration();
    let tally = [Mutex::default(), Mutex::default()];
    let [of_root, of_user]: &[Mutex<Tally>; 2] = &tally;
    let is_over = &AtomicBool::new(false);
    let work = |tally: &Mutex<Tally>, run: &dyn Fn(usize) -> End| {
        let mut number = 0;
        while !is_over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let end = run(number);
            tally.lock().unwrap().add(begun.elapsed(), end);
            number += 1;
        }
    };
    let killed = thread::scope(|scope| {
        for test_box in &boxes {
            scope.spawn(move || work(of_root, &|number| by_root(test_box, number)));
        }
        for _ in 0..BY_USER {
            scope.spawn(move || work(of_user, &by_user));
        }
        let killed = kill_at_random(end);
        is_over.store(true, Ordering::Relaxed);
        killed
    });
    let [processes, brokers, systemds, polkits, buses] = killed;
    println!(
        "killed: {processes} processes, {brokers} brokers, {buses} buses; {systemds} reloads of systemd, {polkits} of polkit"
    );
    println!("by root: {of_root:?}\nby a user: {of_user:?}");
    // Everything goes on as if nothing had been.
    for test_box in &boxes {
        test_box.command(&["/bin/true"]).run().assert_ok();
        assert_nothing_left(test_box);
    }
    wait_until("a user is served", || matches!(by_user(0), End::Right));
    for tally in [of_root, of_user] {
        let tally = tally.lock().unwrap();
        assert!(tally.wrong.is_empty(), "{:#?}", tally.wrong);
        assert!(tally.right > 0, "{tally:?}");
    }
    // A box whose keeper was killed before its end is there until it is chosen again, or removed.
    for path in entries(own_boxes) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.parse::<u32>().is_ok() {
            let mut cleanup = Command::new("/usr/bin/isolate-run");
            cleanup.arg(format!("--box-id={name}")).arg("--cleanup");
            finish(cleanup).assert_silent_success();
        }
    }
    assert_eq!(entries(own_boxes).count(), before);
    drop(boxes);
    wait_until("no unit is left", || units("isolate-*.scope").is_empty());
    // Whose keeper was killed before they were taken away.
    must("/usr/bin/isolate-run", &["gc"]);
    wait_until("no control group is left", || all_scopes().is_empty());
    // The broker, and the keeper that stands by for the next request.
    wait_until("no process is left", || own_processes().len() <= 2);
    let used = ticks();
    sleep(Duration::from_secs(2));
    let used = ticks() - used;
    assert!(used <= 20, "{used} ticks of CPU time for nothing");
}
