//! `test`: a solution on a folder of tests.

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
use crate::quantity::{self, Bytes};
use crate::request::{Comparison, OutputTarget, TestOptions};

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "test",
    chapter: Chapter::Run,
    page: Page {
        about: "Judge a solution on a folder of tests",
        usage: &["[OPTIONS]... [--] PROGRAM [ARGUMENT]..."],
        description: DESCRIPTION,
        examples: &[
            (
                "test -t 1 --in 'in/*' --out 'out/*' -- ./solution",
                "a file in out for each in in, with the same name",
            ),
            (
                "test -t 1 --memory 256M --in 'tests/*.in' --out 'tests/*.ans' -- ./solution",
                "words count, and not the white space between them",
            ),
            (
                "test --floats 1e-6 --in 'tests/*.in' --out 'tests/*.ans' -- python3 solution.py",
                "numbers may differ a little",
            ),
            (
                "test --checker ./check --in 'in/*' --out 'out/*' --junit report.xml -- ./solution",
                "a checker in the manner of testlib, in a box of its own",
            ),
        ],
        sections: &[("Verdicts", VERDICTS), ("Exit status", EXIT_STATUS)],
        ..Page::EMPTY
    },
    command: TestLine::command,
    operands: Operands::Last,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

const DESCRIPTION: &str = "Runs the program on each input, in a box that is new each time, and compares what it prints \
    with the answer. A PATTERN is a path with one * in the name of the file: what it stands for is the name of the test.\n\
    Words of the command that name files, as ./solution or solution.py, are copied into the box; a program without a / \
    is looked for in /usr/local/bin, /usr/bin and /bin.";

const VERDICTS: &str = "OK; WA wrong answer; PE presentation; PT partial; TL time; ML memory; OL output; RE runtime \
    error; XX no verdict, because the sandbox or the checker did not work.";

const EXIT_STATUS: &str = "0 if all tests are OK; 1 if some are not; 2 if it could not be done; 128 + N if a signal N \
    ended it.";

/// The options of `test`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
pub(super) struct TestLine {
    /// The inputs, as in 'tests/*.in'
    #[arg(long = "in", value_name = "PATTERN")]
    pub(super) inputs: Option<String>,
    /// The answers, as in 'tests/*.ans'
    ///
    /// With a checker they are not needed.
    #[arg(long = "out", value_name = "PATTERN")]
    pub(super) answers: Option<String>,
    /// Judge by this program, in the manner of testlib
    ///
    /// It is called with the names of input, output and answer, in a box of its own.
    #[arg(long, value_name = "PROGRAM", value_parser = value::word(value::path))]
    pub(super) checker: Option<PathBuf>,
    /// Every byte counts
    #[arg(long, hide_short_help = true)]
    pub(super) exact: bool,
    /// Numbers may differ by this much
    ///
    /// Absolutely or relatively, whichever is more.
    #[arg(long, value_name = "TOLERANCE")]
    pub(super) floats: Option<String>,
    /// What the program may print; more is OL [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = value::text(Bytes::parse))]
    pub(super) max_output: Option<Bytes>,
    /// Tests at a time [default: the number of CPUs, or of leases]
    #[arg(short, long, value_name = "COUNT", value_parser = value::text(quantity::parse_count))]
    pub(super) jobs: Option<u32>,
    /// Write the verdicts to FILE as JSON
    ///
    /// - is standard output, in the place of the table.
    #[arg(long, value_name = "FILE", value_parser = value::word(value::export))]
    pub(super) json: Option<OutputTarget>,
    /// The same as CSV
    #[arg(long, value_name = "FILE", hide_short_help = true, value_parser = value::word(value::export))]
    pub(super) csv: Option<OutputTarget>,
    /// The same as JUnit's XML
    #[arg(long, value_name = "FILE", hide_short_help = true, value_parser = value::word(value::export))]
    pub(super) junit: Option<OutputTarget>,
    /// Print the table to standard error where standard output has something else
    #[arg(long, hide_short_help = true)]
    pub(super) table: bool,
    #[command(flatten)]
    pub(super) solution: SolutionOptions,
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, program) = read::<TestLine>(argv, VERB.operands)?;
    let usage = |text: &str| Mistake::Usage(text.to_owned());
    if program.is_empty() {
        return Err(usage("test: no program given"));
    }
    let missing = || usage("test: --in is missing: where are the inputs?");
    let inputs = line.inputs.ok_or_else(missing)?;
    if line.answers.is_none() && line.checker.is_none() {
        // The shell has made several words of the pattern, the second of which ends the options.
        let is_spread = !inputs.contains('*') && std::path::Path::new(&program[0]).is_file();
        return Err(usage(match is_spread {
            true => "test: --in wants a pattern, in quotes: --in 'tests/*.in'",
            false => "test: --out is missing: where are the answers? Or give a --checker",
        }));
    }
    if line.jobs == Some(0) {
        return Err(usage("--jobs: at least one test at a time is needed"));
    }
    let comparison = match (line.exact, line.floats) {
        (true, Some(_)) => return Err(usage("--exact and --floats exclude each other")),
        (true, None) => Comparison::Exact,
        (false, None) => Comparison::Tokens,
        (false, Some(text)) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Comparison::Floats(number),
            _ => {
                let text = format!("--floats: '{text}' is no number, as in 1e-6");
                return Err(Mistake::Usage(text));
            }
        },
    };
    Ok(Call::Test(Box::new(TestOptions {
        program: words(program)?,
        solution: line.solution.join()?,
        max_output: line.max_output,
        inputs,
        answers: line.answers,
        checker: line.checker,
        comparison,
        jobs: line.jobs.and_then(|jobs| usize::try_from(jobs).ok()),
        json: line.json,
        csv: line.csv,
        junit: line.junit,
        table: line.table,
    })))
}
