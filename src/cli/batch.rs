//! `batch`: many jobs from one call.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::page::{Chapter, Page};
use super::read;
use super::rootless;
use super::value;
use super::verb::{Mistake, Verb};
use crate::quantity::{self, Bytes};
use crate::request::BatchOptions;

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "batch",
    chapter: Chapter::Run,
    page: Page {
        about: "Carry out many jobs: a line of JSON in, a line of JSON out",
        usage: &["[OPTIONS]... [FILE]..."],
        description: DESCRIPTION,
        examples: &[
            (
                "batch -j 4 jobs.jsonl > results.jsonl",
                "four jobs at a time",
            ),
            (
                "batch --resume results.jsonl jobs.jsonl >> results.jsonl",
                "those that have no result yet",
            ),
        ],
        sections: &[("Exit status", EXIT_STATUS)],
        ..Page::EMPTY
    },
    command: BatchLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

const DESCRIPTION: &str = "Without a FILE, or with -, jobs come from standard input. A job is a list of programs that \
    run one after the other in one box, or together in several; docs/batch.md explains jobs and results.\n\
    A line {\"cancel\": \"ID\"} ends the job with that id.";

const EXIT_STATUS: &str = "0 if all jobs were done, whatever became of their programs; 1 if some were not; 2 if the \
    command line is wrong, or the input or output does not work; 128 + N if a signal N ended it.";

/// The options of `batch`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
pub(super) struct BatchLine {
    /// Jobs at a time [default: the number of CPUs, or of leases]
    #[arg(short, long, value_name = "COUNT", value_parser = value::text(quantity::parse_count))]
    pub(super) jobs: Option<u32>,
    /// Go on whatever becomes of a job; the default
    #[arg(long, overrides_with = "stop_on_failure")]
    _keep_going: bool,
    /// End everything when a job is not done, or one of its programs fails
    #[arg(long, overrides_with = "_keep_going")]
    pub(super) stop_on_failure: bool,
    /// End a run that prints more than this, where its job does not say how much
    ///
    /// For each output to the result, to a file or to another program. The verdict is
    /// output_limit.
    #[arg(long, value_name = "SIZE", value_parser = value::text(Bytes::parse))]
    pub(super) max_output: Option<Bytes>,
    /// Leave out the jobs whose results are in FILE
    #[arg(long, value_name = "FILE", value_parser = value::word(value::path))]
    pub(super) resume: Option<PathBuf>,
    #[arg(long, help = rootless::HELP, long_help = rootless::LONG_HELP)]
    pub(super) rootless: bool,
    /// Read this configuration instead of the installed one; root only
    #[arg(long, value_name = "FILE", value_parser = value::word(value::path))]
    pub(super) config: Option<PathBuf>,
    /// Say more; more than once for even more
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, files) = read::<BatchLine>(argv, VERB.operands)?;
    if line.jobs == Some(0) {
        return Err("--jobs: at least one job at a time is needed"
            .to_owned()
            .into());
    }
    Ok(Call::Batch(BatchOptions {
        files: files.into_iter().map(PathBuf::from).collect(),
        jobs: line.jobs.and_then(|jobs| usize::try_from(jobs).ok()),
        stop_on_failure: line.stop_on_failure,
        max_output: line.max_output,
        resume: line.resume,
        config: line.config,
        rootless: line.rootless,
        verbosity: line.verbose,
    }))
}
