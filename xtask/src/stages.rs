//! The parts of a run, and what is done at the same time: the compiler's work in one lane, the tests in another.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::build::{Built, cargo};
use crate::counts::{Row, failed_tests, judge, last_result, listed, suite_rows};
use crate::dependencies;
use crate::job::{self, Ended};
use crate::orders::Orders;
use crate::payload;
use crate::screen::Screen;

/// What a part of the run needs to know, and where it writes its results.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) orders: Orders,
    /// The repository.
    pub(crate) top: PathBuf,
    /// A folder for this run alone.
    pub(crate) work: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// Options of every cargo command.
    pub(crate) cargo: Vec<String>,
    pub(crate) screen: Screen,
    results: Mutex<Results>,
}

#[derive(Debug, Default)]
struct Results {
    rows: Vec<Row>,
    /// Where each test of a suite came to its end: place and name.
    ran: BTreeSet<(String, String)>,
}

/// A result that is made in the background: whoever looks at it waits.
pub(crate) type Later<T> = Arc<LazyLock<T, Box<dyn FnOnce() -> T + Send>>>;

/// Begins to make a result.
pub(crate) fn later<T: Send + Sync + 'static>(
    make: impl FnOnce() -> T + Send + 'static,
) -> Later<T> {
    let result: Later<T> = Arc::new(LazyLock::new(Box::new(make)));
    let background = Arc::clone(&result);
    thread::spawn(move || {
        LazyLock::force(&background);
    });
    result
}

/// The last line that a script prints, or all of what it said.
pub(crate) fn answer(script: PathBuf, arguments: Vec<String>) -> Later<Result<String, String>> {
    later(move || {
        let said = payload::must(Command::new(&script).args(&arguments));
        let last = |said: String| said.lines().next_back().unwrap_or_default().to_owned();
        said.map(last).map_err(|error| error.to_string())
    })
}

impl Run {
    pub(crate) fn new(
        orders: Orders,
        top: PathBuf,
        work: PathBuf,
        target: PathBuf,
        cargo: Vec<String>,
    ) -> Self {
        Self {
            orders,
            top,
            work,
            target,
            cargo,
            screen: Screen::new(),
            results: Mutex::default(),
        }
    }

    fn results(&self) -> MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        self.results().rows.clone()
    }

    pub(crate) fn row(&self, part: &str, place: &str, counts: (usize, usize), start: Instant) {
        self.results().rows.push(Row {
            part: part.into(),
            place: place.into(),
            passed: counts.0,
            failed: counts.1,
            seconds: start.elapsed().as_secs(),
            cpu: 0,
        });
    }

    /// Something went wrong that is no test's result.
    pub(crate) fn failure(&self, part: &str, place: &str, problem: &str) {
        self.screen.problem(part, problem);
        self.row(part, place, (0, 1), Instant::now());
    }

    pub(crate) fn script(&self, name: &str) -> PathBuf {
        self.top.join("tests/guest").join(name)
    }

    /// Runs a command, whose output comes out as it happens. One that cannot be started has failed.
    fn job(&self, label: &str, command: &mut Command) -> Ended {
        let log = self
            .work
            .join(format!("{}.log", label.replace([' ', '/'], "-")));
        job::run(&self.screen, label, &log, None, command).unwrap_or_else(|error| {
            self.screen.problem(label, &error.to_string());
            Ended {
                status: None,
                output: String::new(),
            }
        })
    }

    /// A part that passes or fails as a whole, and counts only when it fails.
    fn step(&self, name: &str, command: &mut Command) -> bool {
        let _running = self.screen.begin(name);
        let start = Instant::now();
        let ended = self.job(name, command);
        self.row(name, "here", (0, usize::from(!ended.ok())), start);
        ended.ok()
    }

    /// A cargo command that waits for what tests on this machine leave of its processors.
    fn patient(&self, subcommand: &[&str]) -> Command {
        let inner = cargo(&self.top, subcommand, &self.cargo);
        let mut command = Command::new("nice");
        command.args(["-n", "19", "cargo"]).args(inner.get_args());
        command.current_dir(&self.top);
        command
    }

    /// Formatting and lints need components that a distribution's cargo may lack. CI must have them.
    fn has_component(&self, name: &str) -> bool {
        let mut probe = Command::new("cargo");
        if payload::must(probe.args([name, "--version"])).is_ok() {
            return true;
        }
        let problem = format!("cargo {name} is not installed");
        if std::env::var_os("CI").is_some() {
            self.failure(name, "here", &problem);
        } else {
            self.screen.line(name, &format!("not checked: {problem}"));
        }
        false
    }

    /// What only the compiler has to say.
    pub(crate) fn lints(&self) {
        if self.has_component("fmt") {
            let mut command = Command::new("cargo");
            command
                .current_dir(&self.top)
                .args(["fmt", "--all", "--check"]);
            self.step("cargo fmt", &mut command);
        }
        if self.has_component("clippy") {
            let mut command = self.patient(&["clippy"]);
            command.args([
                "--quiet",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]);
            self.step("cargo clippy", &mut command);
        }
        let mut command = self.patient(&["doc"]);
        command.args([
            "--quiet",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        self.step("cargo doc", &mut command);
        self.dependencies();
    }

    /// Licenses and sources of dependencies, and what is known against them.
    fn dependencies(&self) {
        let name = "licenses";
        let start = Instant::now();
        match dependencies::problems(&self.top) {
            Ok(problems) => {
                for problem in &problems {
                    self.screen.problem(name, problem);
                }
                self.row(name, "here", (0, problems.len()), start);
            }
            Err(error) => self.failure(name, "here", &error.to_string()),
        }
        let mut probe = Command::new("cargo");
        if payload::must(probe.args(["deny", "--version"])).is_ok() {
            let mut command = Command::new("cargo");
            command.current_dir(&self.top);
            self.step("cargo deny", command.args(["deny", "check"]));
        } else {
            let problem = "not checked: cargo deny is not installed";
            self.screen.line("advisories", problem);
        }
    }

    /// The pages of the manual, which the program makes: xtask's `man`.
    pub(crate) fn manuals(&self, built: &Built) {
        let name = "manual pages";
        let Some(program) = &built.program else {
            return;
        };
        for tool in ["mandoc", "man"] {
            let found = Command::new("sh")
                .args(["-c", "command -v \"$0\" >/dev/null", tool])
                .status();
            if !found.is_ok_and(|status| status.success()) {
                let problem = format!("{tool} is not installed");
                match std::env::var_os("CI") {
                    Some(_) => self.failure(name, "here", &problem),
                    None => self.screen.line(name, &format!("not checked: {problem}")),
                }
                return;
            }
        }
        let script = "for page in $(\"$0\" manual); do
            \"$0\" manual \"$page\" >\"$1/$page\" || exit
            mandoc -T lint -W warning \"$1/$page\" || exit
            said=$(MANWIDTH=80 man --warnings -l \"$1/$page\" 2>&1 >/dev/null)
            [ -z \"$said\" ] || { echo \"$page: $said\"; exit 1; }
        done";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(program).arg(&self.work);
        self.step(name, &mut command);
    }

    /// The tests that need no privileges.
    pub(crate) fn unit(&self, built: &Built) {
        for (name, binary) in &built.tests {
            if !payload::SUITES.contains(&name.as_str()) {
                self.unit_binary(name, binary);
            }
        }
    }

    fn unit_binary(&self, name: &str, binary: &Path) {
        let start = Instant::now();
        let list = Command::new(binary)
            .args(["--list", "--format", "terse"])
            .output();
        let list = list.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let list = list.unwrap_or_default();
        let mut names = listed(&list);
        let mut command = self.test_binary(binary);
        let filter = self.orders.filter.as_deref();
        if let Some(word) = filter {
            names.retain(|test| format!("{name}::{test}").contains(word));
            if names.is_empty() {
                return;
            }
            command.arg("--exact").args(&names);
        }
        let _running = self.screen.begin(name);
        let ended = self.job(name, &mut command);
        let result = last_result(&ended.output);
        let (passed, failed, problem) = judge(names.len(), result, ended.ok());
        if let Some(problem) = &problem {
            let advice = "tests that need root belong in tests/root, those that need systemd in tests/system";
            self.screen
                .problem(name, &format!("{name} {problem}; {advice}"));
        }
        let (passed, failed) = match problem {
            None if self.passes_again(name, binary, &ended.output, failed) => (passed + failed, 0),
            _ => (passed, failed),
        };
        self.row(name, "here", (passed, failed), start);
    }

    /// A test binary, where its tests look for their files.
    fn test_binary(&self, binary: &Path) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--foreground", "-k", "10", "900"]);
        command.arg(binary).current_dir(&self.top);
        command
    }

    /// Whether the tests that failed are few, and pass when they are tried once more.
    fn passes_again(&self, name: &str, binary: &Path, output: &str, failed: usize) -> bool {
        let names = failed_tests(output);
        // Those whose names could not be read are not tried.
        if failed == 0 || names.len() != failed || failed > self.orders.again() {
            return false;
        }
        self.screen.line(name, "-- once more: what failed");
        let mut command = self.test_binary(binary);
        let ended = self.job(name, command.arg("--exact").args(&names));
        let counts = judge(names.len(), last_result(&ended.output), ended.ok());
        if counts != (names.len(), 0, None) {
            return false;
        }
        for test in names {
            let said =
                format!("AGAIN: {name}::{test} failed, and passed when it was tried once more");
            self.screen.line(name, &said);
        }
        true
    }

    /// Whether Debian 13's compiler builds the crate, in the tree that `image` will be.
    pub(crate) fn compiler(&self, image: &Later<Result<String, String>>) {
        let name = "compiler";
        let _running = self.screen.begin(name);
        let start = Instant::now();
        let image = match &***image {
            Ok(image) => image,
            Err(said) => return self.failure(name, "trixie", &format!("no image: {said}")),
        };
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(self.script("compiler"));
        command.arg(image).arg(self.target.join("debian-13"));
        let ok = self.job(name, &mut command).ok();
        self.row(name, "trixie", (usize::from(ok), usize::from(!ok)), start);
    }

    /// Runs the suite by a command that puts it somewhere, and takes its results from the folder `out`.
    pub(crate) fn suite(&self, part: &str, place: &str, out: &Path, command: &mut Command) {
        let start = Instant::now();
        let label = format!("{part} {place}");
        let _running = self.screen.begin(&label);
        let ended = self.job(&label, command);
        match fs::read_to_string(out.join("results")) {
            Ok(text) => self.results().rows.extend(suite_rows(&text, part, place)),
            // With the reason, unless the command told one.
            Err(error) if matches!(ended.status, Some(0 | 1)) => {
                self.failure(part, place, &format!("no results: {error}"));
            }
            Err(_) => {}
        }
        let ran = fs::read_to_string(out.join("ran")).unwrap_or_default();
        let names = ran.lines().filter_map(|line| line.split(' ').next());
        let place_of = |name: &str| (place.to_owned(), name.to_owned());
        self.results().ran.extend(names.map(place_of));
        // The suite says in its results what failed: status 1.
        if !matches!(ended.status, Some(0 | 1)) {
            let status = ended.status;
            self.failure(part, place, &format!("ended with status {status:?}"));
        }
        let seconds = start.elapsed().as_secs();
        self.screen.line(&label, &format!("took {seconds} s"));
    }

    /// `env` with what the suite reads, then the suite with `out` and these arguments.
    pub(crate) fn suite_words(
        &self,
        limits: [u32; 3],
        package: bool,
        suite: impl AsRef<OsStr>,
        out: impl AsRef<OsStr>,
    ) -> Vec<std::ffi::OsString> {
        let [threads, limit, settle] = limits;
        let filter = self.orders.filter.as_deref().unwrap_or_default();
        let mut words: Vec<std::ffi::OsString> = vec![
            "env".into(),
            format!("SUITE_FILTER={filter}").into(),
            format!("SUITE_THREADS={threads}").into(),
            format!("SUITE_LIMIT={limit}").into(),
            format!("SUITE_SETTLE={settle}").into(),
            format!("SUITE_AGAIN={}", self.orders.again()).into(),
        ];
        for name in ["ISOLATE_TEST_EVERY_ATTACK", "ISOLATE_TEST_SOAK_SECONDS"] {
            let value = std::env::var(name).ok();
            words.extend(value.map(|value| format!("{name}={value}").into()));
        }
        if package {
            words.push("SUITE_PACKAGE=isolate-run.deb".into());
        }
        words.extend([suite.as_ref().into(), out.as_ref().into()]);
        words
    }

    /// Every test must have come to an end in each of the places. Those of `here` may have run on this machine; what
    /// `excused` names, as lists do, may not have run at all.
    pub(crate) fn all_ran(
        &self,
        built: &Built,
        places: &[&str],
        here: &[String],
        excused: &[String],
    ) {
        let mut tests = match Self::suite_tests(built) {
            Ok(tests) => tests,
            Err(error) => {
                self.failure("guests", "-", &format!("cannot list the tests: {error}"));
                return;
            }
        };
        let is_excused = |name: &str| {
            let rest = |item: &String| name.strip_prefix(item.as_str());
            let mut rests = excused.iter().filter_map(rest);
            rests.any(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        tests.retain(|name| !is_excused(name));
        for place in places {
            let results = self.results();
            let ran = |place: &str, name: &String| {
                let both = (place.to_owned(), name.clone());
                results.ran.contains(&both)
            };
            let missing =
                |name: &&String| !(ran(place, name) || here.contains(name) && ran("here", name));
            let missing: Vec<_> = tests.iter().filter(missing).cloned().collect();
            drop(results);
            for name in &missing {
                let problem = format!("{name} ran nowhere with {place}");
                self.screen.problem("guests", &problem);
            }
            if !missing.is_empty() {
                let counts = (0, missing.len());
                self.row("ran nowhere", place, counts, Instant::now());
            }
        }
    }

    /// The names of all tests that the suite runs.
    fn suite_tests(built: &Built) -> io::Result<Vec<String>> {
        let mut tests = Vec::new();
        for name in payload::SUITES {
            let missing = || io::Error::other(format!("there is no test binary {name}"));
            let mut command = Command::new(built.test(name).ok_or_else(missing)?);
            let list = payload::must(command.args(["--list", "--format", "terse"]))?;
            let tests_of = listed(&list);
            if tests_of.is_empty() {
                return Err(io::Error::other(format!("{name} lists no test")));
            }
            tests.extend(tests_of.iter().map(|test| format!("{name}::{test}")));
        }
        Ok(tests)
    }
}

/// The names in a list of tests, without the reasons.
///
/// # Errors
///
/// The list cannot be read.
pub(crate) fn names(list: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(list)?;
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}
