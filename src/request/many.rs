//! What the verbs that run many programs want: `batch`, `test` and `pair`.

use std::path::PathBuf;

use super::{LimitRequest, OutputTarget};
use crate::quantity::Bytes;

/// `batch`: where jobs come from, and how they are carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BatchOptions {
    /// Files with jobs; none is standard input.
    pub(crate) files: Vec<PathBuf>,
    /// `--jobs`: how many at a time.
    pub(crate) jobs: Option<usize>,
    /// `--stop-on-failure`.
    pub(crate) stop_on_failure: bool,
    /// `--max-output`: of each output whose job does not say it.
    pub(crate) max_output: Option<Bytes>,
    /// `--resume`: results of before.
    pub(crate) resume: Option<PathBuf>,
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--rootless`: not by the broker.
    pub(crate) rootless: bool,
    /// How often `-v` was given.
    pub(crate) verbosity: u8,
}

/// How programs of this machine are run in boxes by `test` and `pair`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Solution {
    /// Limits of each program.
    pub(crate) limits: LimitRequest,
    /// `--file`: more files for the box.
    pub(crate) files: Vec<PathBuf>,
    /// `--dir`, as text that was checked.
    pub(crate) dirs: Vec<String>,
    /// `--env`.
    pub(crate) env: Vec<(String, String)>,
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--rootless`: not by the broker.
    pub(crate) rootless: bool,
    /// How often `-v` was given.
    pub(crate) verbosity: u8,
}

impl Solution {
    /// The rules of its programs: names inside, as with `exec`, unless one says otherwise.
    pub(crate) fn all_dirs(&self) -> Vec<String> {
        let etc = "etc=etc:fs".to_owned();
        std::iter::once(etc)
            .chain(self.dirs.iter().cloned())
            .collect()
    }
}

/// How an output is compared with an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Comparison {
    /// Every byte counts.
    Exact,
    /// Words count.
    Tokens,
    /// Words count, and numbers may differ by this much, absolutely or relatively.
    Floats(f64),
}

/// `test`: a solution and its tests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TestOptions {
    /// The program and its arguments.
    pub(crate) program: Vec<String>,
    /// How it is run.
    pub(crate) solution: Solution,
    /// `--max-output`.
    pub(crate) max_output: Option<Bytes>,
    /// `--in`.
    pub(crate) inputs: String,
    /// `--out`.
    pub(crate) answers: Option<String>,
    /// `--checker`.
    pub(crate) checker: Option<PathBuf>,
    /// How outputs are compared where there is no checker.
    pub(crate) comparison: Comparison,
    /// `--jobs`: how many at a time.
    pub(crate) jobs: Option<usize>,
    /// `--json`.
    pub(crate) json: Option<OutputTarget>,
    /// `--csv`.
    pub(crate) csv: Option<OutputTarget>,
    /// `--junit`.
    pub(crate) junit: Option<OutputTarget>,
    /// `--table`.
    pub(crate) table: bool,
}

/// `pair`: programs that talk to each other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PairOptions {
    /// Each with its arguments; of more than two the last one talks to all others.
    pub(crate) programs: Vec<Vec<String>>,
    /// How they are run.
    pub(crate) solution: Solution,
    /// `--max-output`.
    pub(crate) max_output: Option<Bytes>,
    /// `--transcript`.
    pub(crate) transcript: Option<PathBuf>,
    /// `--json`.
    pub(crate) json: Option<OutputTarget>,
}
