//! `pair`: programs that talk to each other.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::options::{SolutionOptions, words};
use super::page::{Chapter, Page};
use super::read;
use super::value;
use super::verb::{Mistake, Verb};
use crate::quantity::Bytes;
use crate::request::{OutputTarget, PairOptions};

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "pair",
    chapter: Chapter::Run,
    page: Page {
        about: "Run two programs that talk to each other, and say whose fault it was",
        usage: &["[OPTIONS]... -- A [ARGUMENT]... -- B [ARGUMENT]..."],
        description: DESCRIPTION,
        examples: &[
            (
                "pair -t 1 -w 10 -- ./solution -- ./interactor",
                "a solution and its interactor",
            ),
            (
                "pair --transcript said.txt -- python3 guess.py -- ./judge 42",
                "with what they said to each other",
            ),
        ],
        sections: &[("Exit status", EXIT_STATUS)],
        ..Page::EMPTY
    },
    command: PairLine::command,
    operands: Operands::Last,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

const DESCRIPTION: &str = "Each program has a box of its own; what one prints the other reads, in both directions. Limits \
    are those of each program. Words that name files are copied into the boxes, as for test.\n\
    With three or more programs the last one is a manager: it talks to the first by descriptors 3 (read) and 4 (write), \
    to the second by 5 and 6, and so on.\n\
    Named as the cause is who failed first, and not who died of a broken pipe after that. If each waits for the other \
    until the wall time is over, it is a deadlock; without --wall-time that is after 60 seconds.";

const EXIT_STATUS: &str = "0 if all programs ended well; 1 if one did not; 2 if they could not be run; 128 + N if a \
    signal N ended it.";

/// The options of `pair`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
pub(super) struct PairLine {
    /// Write down what they say to each other, with times
    #[arg(long, value_name = "FILE", value_parser = value::word(value::path))]
    pub(super) transcript: Option<PathBuf>,
    /// What each may say to another; more is OL [default: unlimited]
    #[arg(long, value_name = "SIZE", value_parser = value::text(Bytes::parse))]
    pub(super) max_output: Option<Bytes>,
    /// Write the result to FILE as JSON, as batch does; - is standard output
    #[arg(long, value_name = "FILE", value_parser = value::word(value::output))]
    pub(super) json: Option<OutputTarget>,
    #[command(flatten)]
    pub(super) solution: SolutionOptions,
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, operands) = read::<PairLine>(argv, VERB.operands)?;
    let programs = words(operands)?;
    let programs = programs.split(|word| word == "--").map(<[_]>::to_vec);
    let programs: Vec<Vec<String>> = programs.collect();
    if programs.len() < 2 || programs.iter().any(Vec::is_empty) {
        let text =
            "pair: two programs are needed: pair [OPTIONS] -- A [ARGUMENT]... -- B [ARGUMENT]...";
        return Err(text.to_owned().into());
    }
    Ok(Call::Pair(Box::new(PairOptions {
        programs,
        solution: line.solution.join()?,
        max_output: line.max_output,
        transcript: line.transcript,
        json: line.json,
    })))
}
