//! Clients that want no good, and whether they did any harm: `client.py` is what they do, in Python, and `wire.py` how they speak.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::support::systemd::{Rules, units};
use crate::support::{BOB, BOXES, TestBox, entries, finish, patience, source, wait_until};

/// A user whom nobody lets into a box.
pub(crate) const NOBODY: u32 = 65_534;

/// A broker with an honest user, alice, and others who are not.
#[derive(Debug)]
pub(crate) struct Arena {
    /// Its first box is alice's, and the next one the others'.
    pub(crate) test_box: TestBox,
    before: Footprint,
    _rules: Rules,
}

/// What the broker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Its children, but for the one that stands by for the next request: it comes and goes.
    pub(crate) children: usize,
    /// Its descriptors, but for those of that one.
    pub(crate) descriptors: usize,
    /// Its memory in KiB, without what is mapped of its file: of that, more is resident the longer it runs.
    pub(crate) memory: usize,
}

/// Its process, and the channel to it.
const DESCRIPTORS_OF_SPARE: usize = 2;

impl Footprint {
    /// Of a broker now; read until two readings agree: one in which a keeper is being cloned counts
    /// only a part of what that one has.
    pub(crate) fn of(test_box: &TestBox) -> Self {
        let end = Instant::now() + patience();
        let mut last = Self::read(test_box);
        loop {
            sleep(Duration::from_millis(20));
            let now = Self::read(test_box);
            let counts = |one: &Self| (one.children, one.descriptors);
            if counts(&now) == counts(&last) || Instant::now() > end {
                return now;
            }
            last = now;
        }
    }

    fn read(test_box: &TestBox) -> Self {
        let pid = test_box.broker().pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let memory = line.unwrap().split_whitespace().nth(1).unwrap();
        let descriptors = entries(Path::new(&format!("/proc/{pid}/fd"))).count();
        let children = test_box.broker().keepers().len();
        let spares = test_box.broker().spares().len();
        Self {
            children,
            descriptors: descriptors.saturating_sub(spares * DESCRIPTORS_OF_SPARE),
            memory: memory.parse().unwrap(),
        }
    }

    /// Whether there is no more than before; memory within 1 MiB.
    pub(crate) fn is_as(&self, before: &Self) -> bool {
        self.children <= before.children
            && self.descriptors <= before.descriptors
            && self.memory <= before.memory + 1024
    }
}

/// Waits until the broker holds no more than before.
pub(crate) fn wait_until_as_before(test_box: &TestBox, before: &Footprint) {
    let end = Instant::now() + patience();
    while !Footprint::of(test_box).is_as(before) {
        let now = Footprint::of(test_box);
        assert!(
            Instant::now() < end,
            "it holds {now:?}, and held {before:?}"
        );
        sleep(Duration::from_millis(50));
    }
}

impl Arena {
    /// Lets alice and bob into boxes; bob's clients are hostile.
    pub(crate) fn new(test_box: TestBox) -> Self {
        let rule = "polkit.addRule(function (action, subject) {\n\
            if (action.id == 'io.github.isolate_run.use-box' && subject.user == 'bob')\n\
            return polkit.Result.YES; });\n";
        let name = format!("20-test-hostile-{}", test_box.uid());
        let cleanup = || finish(test_box.command_of(BOB, &["--cleanup"])).code == 0;
        let rules = Rules::new(&name, rule, cleanup);
        test_box.init();
        let exec = test_box.exec(&["/bin/true"]);
        assert_eq!(exec.code, 0, "{exec:?}");
        let before = Footprint::of(&test_box);
        Self {
            test_box,
            before,
            _rules: rules,
        }
    }

    /// The box of those who are hostile.
    pub(crate) fn their_box(&self) -> u32 {
        self.test_box.id() + 1
    }

    /// Starts a hostile client on that box.
    pub(crate) fn start(&self, uid: u32, kind: &str) -> Hostile {
        self.start_on(uid, kind, self.their_box(), &[])
    }

    /// The same on another box, and with more arguments.
    pub(crate) fn start_on(&self, uid: u32, kind: &str, id: u32, more: &[String]) -> Hostile {
        let mut command = match uid {
            0 => {
                let mut command = Command::new("python3");
                command.env("ISOLATE_RUN_BROKER", self.test_box.broker().socket());
                command
            }
            _ => self.test_box.broker().program(uid, "python3"),
        };
        command.arg(source("tests/hostile/client.py")).arg(kind);
        command.arg(id.to_string()).args(more);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        Hostile::new(command, kind)
    }

    /// Runs a hostile client to its end, and checks that it did no harm; what it was told, one line each.
    pub(crate) fn suffer(&self, uid: u32, kind: &str) -> Vec<String> {
        self.their_init();
        let told = self.start(uid, kind).finish();
        self.assert_unharmed();
        told
    }

    /// Makes the box of the hostile one, as an honest client does.
    fn their_init(&self) {
        self.by_bob(&["--init"]);
    }

    fn by_bob(&self, args: &[&str]) {
        let mut command = self.test_box.broker().command(BOB);
        command
            .arg(format!("--box-id={}", self.their_box()))
            .args(args);
        let output = finish(command);
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
    }

    /// The broker is there, and serves alice at once.
    pub(crate) fn assert_served(&self) {
        kill(Pid::from_raw(self.test_box.broker().pid()), None).unwrap();
        let output = self.test_box.exec(&["--", "/bin/echo", "hello"]);
        assert_eq!((output.code, &*output.stdout), (0, "hello\n"), "{output:?}");
        self.test_box.command(&["/bin/true"]).run().assert_ok();
    }

    /// The same, and the box that was misused can be used again, and nothing is left.
    pub(crate) fn assert_unharmed(&self) {
        self.assert_served();
        for args in [
            &["--init"][..],
            &["--run", "--", "/bin/true"],
            &["--cleanup"],
        ] {
            self.by_bob(args);
        }
        self.assert_nothing_left();
    }

    /// Nothing is left of all that was asked for.
    pub(crate) fn assert_nothing_left(&self) {
        let test_box = &self.test_box;
        let before = &self.before;
        wait_until_as_before(test_box, before);
        wait_until("no process is left", || test_box.processes().is_empty());
        for id in test_box.id()..test_box.id() + BOXES {
            let pattern = format!("isolate-{id}-*");
            wait_until("no unit is left", || units(&pattern).is_empty());
        }
        let alices = test_box.id().to_string();
        let boxes = entries(&test_box.root()).map(|path| path.file_name().unwrap().to_owned());
        let others: Vec<_> = boxes.filter(|name| *name != *alices).collect();
        assert!(others.is_empty(), "boxes are left: {others:?}");
    }
}

/// One hostile client, which runs. Killed when nobody waited for it.
#[derive(Debug)]
pub(crate) struct Hostile {
    kind: String,
    process: Child,
    input: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Hostile {
    fn new(mut command: Command, kind: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        Self {
            kind: kind.to_owned(),
            input: process.stdin.take(),
            lines: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    /// What it was told until it holds what it has.
    pub(crate) fn wait_until_holding(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let mut line = String::new();
            let length = self.lines.read_line(&mut line).unwrap();
            assert!(length > 0, "{} ended: {told:?}", self.kind);
            match line.trim_end() {
                "holding" => return told,
                other => told.push(other.to_owned()),
            }
        }
    }

    /// Lets it end in good order; what it was told.
    pub(crate) fn finish(mut self) -> Vec<String> {
        drop(self.input.take());
        let lines = self.lines.by_ref().lines();
        let told = lines.map(|line| line.unwrap()).collect();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{}: {status}: {told:?}", self.kind);
        told
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Fails unless the line that begins so goes on so.
#[track_caller]
pub(crate) fn assert_told(told: &[String], what: &str, answer: &str) {
    let prefix = format!("{what} ");
    let found = told.iter().find_map(|line| line.strip_prefix(&prefix));
    let found = found.unwrap_or_else(|| panic!("nothing about {what:?} in {told:#?}"));
    assert!(
        found.starts_with(answer) || found.contains(answer),
        "{what}: {found}"
    );
}

/// Fails if anybody was left without an answer.
#[track_caller]
pub(crate) fn assert_all_answered(told: &[String]) {
    let silent: Vec<_> = told
        .iter()
        .filter(|line| line.ends_with(" gone None"))
        .collect();
    assert!(
        silent.is_empty() && !told.is_empty(),
        "{silent:?} of {told:#?}"
    );
}
