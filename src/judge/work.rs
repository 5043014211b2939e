//! The tests as jobs, and their results as verdicts.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use serde_json::Value;

use super::compare::difference;
use super::progress::Progress;
use super::row::{Row, Verdict, why};
use super::said::text;
use super::set::Test;
use crate::batch::words::{FileWithBound, GivenFile, Inline, Input, Job, Output, Step};
use crate::batch::{Bound, Flow, Next, Prepared, Work};
use crate::failure::Failure;
use crate::request::TestOptions;

/// How much of what a checker says is kept, and of what a program prints on standard error, in
/// bytes.
const MOST_SAID: u64 = 4096;
/// How long a checker may take, in seconds.
const CHECKER_TIME: &str = "60s";

/// Where a test is.
#[derive(Debug)]
struct Under {
    /// Its output, in a file without a name.
    output: File,
}

/// All tests.
pub(super) struct Judging<'a> {
    options: &'a TestOptions,
    program: Prepared,
    tests: Vec<Test>,
    rows: Vec<Row>,
    /// Tests that have not begun.
    waiting: VecDeque<usize>,
    /// Tests whose output a checker has yet to see.
    unchecked: VecDeque<usize>,
    under_way: BTreeMap<usize, Under>,
    judged: Vec<Row>,
    progress: Progress,
}

impl<'a> Judging<'a> {
    /// All of them are still to be judged.
    pub(super) fn new(options: &'a TestOptions, tests: Vec<Test>) -> Result<Self, Failure> {
        Ok(Self {
            options,
            program: Prepared::new(&options.program, &options.solution.files)?,
            rows: tests
                .iter()
                .map(|test| Row::new(test.name.clone()))
                .collect(),
            waiting: (0..tests.len()).collect(),
            unchecked: VecDeque::new(),
            under_way: BTreeMap::new(),
            judged: Vec::new(),
            progress: Progress::new(tests.len()),
            tests,
        })
    }

    /// What became of them.
    pub(super) fn finish(self) -> Vec<Row> {
        self.progress.finish();
        self.rows
    }

    /// The job that runs the program on a test.
    fn run(&self, at: usize, output: &File) -> Job {
        let Prepared { argv, files } = &self.program;
        Job {
            id: format!("run {at}"),
            files: files.clone(),
            steps: vec![Step {
                argv: argv.clone(),
                env: self.options.solution.env.iter().cloned().collect(),
                stdin: Some(Input::Path(self.tests[at].input.display().to_string())),
                stdout: Some(Output::Path(FileWithBound {
                    name: path_of(output),
                    max: self.options.max_output.map(|bytes| Bound::of(bytes.0)),
                })),
                stderr: Some(said()),
                limits: crate::batch::limits(&self.options.solution.limits),
                dirs: self.options.solution.all_dirs(),
                ..Step::new()
            }],
            ..Job::default()
        }
    }

    /// The job that lets the checker see input, output and answer.
    fn check(&self, at: usize, checker: &str, output: &File) -> Job {
        let test = &self.tests[at];
        let file = |name: &str, path: String, mode: &str| GivenFile {
            name: name.to_owned(),
            path: Some(path),
            mode: Some(mode.to_owned()),
            ..GivenFile::default()
        };
        let answer = test.answer.as_ref().unwrap_or(&test.input);
        let limits = serde_json::json!({"wall_time": CHECKER_TIME, "processes": 16});
        Job {
            id: format!("check {at}"),
            files: vec![
                file("checker", checker.to_owned(), "755"),
                file("input", test.input.display().to_string(), "644"),
                file("output", path_of(output), "644"),
                file("answer", answer.display().to_string(), "644"),
            ],
            steps: vec![Step {
                argv: ["./checker", "input", "output", "answer"]
                    .map(str::to_owned)
                    .into(),
                stdout: Some(said()),
                stderr: Some(said()),
                limits: serde_json::from_value(limits).unwrap_or_default(),
                ..Step::new()
            }],
            ..Job::default()
        }
    }

    /// Takes what became of a run; whether the checker comes next.
    fn take_run(&mut self, at: usize, result: &Value) -> bool {
        let report = &result["steps"][0]["report"];
        self.rows[at].measure(report);
        let row = &mut self.rows[at];
        if result["outcome"] != "done" {
            row.verdict = match result["outcome"].as_str() {
                Some("cancelled") => Verdict::NotRun,
                _ => Verdict::Internal,
            };
            row.message = result["reason"].as_str().unwrap_or_default().to_owned();
            return false;
        }
        if let Some(verdict) = Verdict::of_report(report) {
            row.verdict = verdict;
            row.message = why(report);
            if verdict == Verdict::Runtime {
                row.stderr = text(&result["steps"][0]["stderr"]);
            }
            return false;
        }
        if self.options.checker.is_some() {
            return true;
        }
        let compared = self.compare(at);
        let row = &mut self.rows[at];
        (row.verdict, row.message) = match compared {
            Ok(None) => (Verdict::Ok, String::new()),
            Ok(Some(difference)) => (Verdict::Wrong, difference),
            Err(error) => (
                Verdict::Internal,
                format!("cannot compare the output: {error}"),
            ),
        };
        false
    }

    fn compare(&mut self, at: usize) -> std::io::Result<Option<String>> {
        let mut output = Vec::new();
        if let Some(under) = self.under_way.get_mut(&at) {
            under.output.rewind()?;
            under.output.read_to_end(&mut output)?;
        }
        let answer = self.tests[at].answer.as_ref();
        let answer = answer.map_or_else(|| Ok(Vec::new()), std::fs::read)?;
        Ok(difference(&output, &answer, self.options.comparison))
    }

    /// Takes what the checker says.
    fn take_check(&mut self, at: usize, result: &Value) {
        let step = &result["steps"][0];
        let report = &step["report"];
        let row = &mut self.rows[at];
        let said = |stream: &str| {
            let text = text(&step[stream]);
            text.trim().lines().next().unwrap_or_default().to_owned()
        };
        let ended = match report["verdict"].as_str() {
            Some("ok" | "exit_code") if result["outcome"] == "done" => report["exit_code"].as_u64(),
            _ => None,
        };
        row.verdict = match result["outcome"].as_str() {
            Some("cancelled") => Verdict::NotRun,
            _ => Verdict::of_checker(ended),
        };
        row.message = match (said("stderr"), said("stdout")) {
            (stderr, _) if !stderr.is_empty() => stderr,
            (_, stdout) => stdout,
        };
        if row.verdict == Verdict::Internal {
            let why = result["reason"].as_str().or(report["message"].as_str());
            row.message = format!("checker: {} {}", why.unwrap_or_default(), row.message);
        }
    }
}

/// The beginning of a stream; what is beyond it is not kept and ends nothing.
fn said() -> Output {
    Output::Inline(Inline {
        max: Some(Bound::of(MOST_SAID)),
        cut: true,
    })
}

/// A file without a name, as others of the same user find it while it is open here.
fn path_of(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// A file without a name: whatever happens, it is not left.
fn nameless() -> Result<File, Failure> {
    let dir = std::env::temp_dir();
    let mut options = File::options();
    let options = options.read(true).write(true).mode(0o600);
    let what = format!("cannot make a file in {}", dir.display());
    let file = options.custom_flags(libc::O_TMPFILE).open(&dir);
    file.map_err(Failure::at(&what))
}

impl Work for Judging<'_> {
    fn ready(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn next(&mut self) -> Result<Next, Failure> {
        let (at, job) = if let Some(at) = self.unchecked.pop_front() {
            let checker = self.options.checker.as_ref();
            let checker = checker
                .map(|path| path.display().to_string())
                .unwrap_or_default();
            let Some(under) = self.under_way.get(&at) else {
                return Ok(Next::Later);
            };
            (at, self.check(at, &checker, &under.output))
        } else if let Some(at) = self.waiting.pop_front() {
            let output = nameless()?;
            let job = self.run(at, &output);
            self.under_way.insert(at, Under { output });
            (at, job)
        } else if self.under_way.is_empty() {
            return Ok(Next::End);
        } else {
            return Ok(Next::Later);
        };
        let line = serde_json::to_vec(&job);
        let what = format!("test '{}' is no job", self.tests[at].name);
        Ok(Next::Job(job.id, line.map_err(Failure::at(&what))?))
    }

    fn take(&mut self, line: &[u8]) -> Result<Flow, Failure> {
        let result: Value = serde_json::from_slice(line).unwrap_or_default();
        let id = result["id"].as_str().unwrap_or_default();
        let (kind, number) = id.split_once(' ').unwrap_or_default();
        let Ok(at) = number.parse::<usize>() else {
            return Ok(Flow::GoOn);
        };
        if kind == "run" && self.take_run(at, &result) {
            self.unchecked.push_back(at);
            return Ok(Flow::GoOn);
        }
        if kind == "check" {
            self.take_check(at, &result);
        }
        self.under_way.remove(&at);
        self.judged.push(self.rows[at].clone());
        self.progress.judged(&self.rows[at], &self.judged);
        Ok(Flow::GoOn)
    }
}
