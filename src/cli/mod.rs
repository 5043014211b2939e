//! The command line: argv to [`Call`]. Pure: nothing is opened, read, printed or decided here.
//!
//! isolate's spelling has its command among the options (`--init`, `--run -- PROGRAM`). New
//! commands are verbs, the first word of the line; each has a file of its own and a row in
//! [`VERBS`], from which its parser and its help are made. `getopt` brings every line to one form,
//! which `options` and those files read with clap and join to a call.

use std::ffi::OsString;
use std::fmt;
use std::iter::Peekable;
use std::path::Path;

use clap::error::{ContextKind, ContextValue};

use crate::failure::Explained;
use crate::request::{
    BatchOptions, BoxCall, BoxCommand, BrokerOptions, Calibration, Common, ConfigRequest,
    ContainerInit, Doctor, PairOptions, Session, Tell, TestOptions,
};
pub(crate) use complete::{Known, complete};
use direct::Direct;
use getopt::{Operands, Words};
pub(crate) use mistake::meta_before_mistake;
use page::Chapter;
use spelling::Table;
pub(crate) use verb::Help;
use verb::{Mistake, Verb};

mod batch;
mod broker;
mod calibrate;
mod complete;
mod complete_verb;
mod config;
mod container_init;
mod direct;
mod doctor;
mod entry;
mod exec;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod gc;
mod getopt;
mod help;
mod help_verb;
mod isolate;
mod kill;
mod logs;
mod looking;
mod manual;
mod mistake;
mod options;
mod page;
mod pair;
mod rootless;
mod shell;
mod spelling;
mod status;
mod suggest;
mod test;
#[cfg(test)]
mod tests;
mod value;
mod verb;

/// The verbs, in the order in which help lists them. A line that begins with none of them is
/// isolate's.
static VERBS: [Verb; 17] = [
    exec::VERB,
    shell::VERB,
    batch::VERB,
    test::VERB,
    pair::VERB,
    status::VERB,
    logs::VERB,
    kill::VERB,
    gc::VERB,
    doctor::VERB,
    calibrate::VERB,
    config::VERB,
    container_init::VERB,
    help_verb::VERB,
    broker::VERB,
    complete_verb::COMPLETE,
    complete_verb::MANUAL,
];

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Call {
    /// Say something that needs no box.
    Tell(Tell),
    /// Do something with a box, which depends on who asks and on what is configured.
    Box(Box<BoxCall>),
    /// `exec`, in several calls about a box.
    Session(Session),
    /// `batch`: many jobs.
    Batch(BatchOptions),
    /// `test`: a solution on a folder of tests.
    Test(Box<TestOptions>),
    /// `pair`: programs that talk to each other.
    Pair(Box<PairOptions>),
    /// Print this: a page of the manual.
    Print(String),
    /// `complete`: say what may stand in the place of the last of these words.
    Complete(Vec<String>),
    /// `config`: show or change the configuration.
    Config(ConfigRequest),
    /// `calibrate`: measure how fast the machine is.
    Calibrate(Calibration),
    /// `doctor`: examine the machine.
    Doctor(Doctor),
    /// `container-init`: be the first process of a container.
    ContainerInit(ContainerInit),
    /// `broker`: serve those who are not root.
    Serve(BrokerOptions),
}

/// Why there is no call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CliError {
    /// Help was asked for.
    Help {
        /// About what, and how much; for standard output.
        help: Help,
        /// 2 for isolate's spelling, as in isolate; 0 for a verb.
        exit_code: u8,
    },
    /// The command line is wrong. The text says what is wrong and where help is, on two lines; the
    /// exit code is 2.
    Usage(String),
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Help { .. } => f.write_str("help was asked for"),
            Self::Usage(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for CliError {}

impl Explained for CliError {}

/// Reads a command line, which begins with the program's own name.
pub(crate) fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Call, CliError> {
    let mut argv = argv.into_iter();
    let name = argv.next().unwrap_or_default();
    let mut argv = argv.peekable();
    let verb = match Path::new(&name).file_name() {
        Some(called) if called == doctor::CHECK_ENVIRONMENT.name => &doctor::CHECK_ENVIRONMENT,
        _ => take_verb(&mut argv),
    };
    (verb.read)(&mut argv).map_err(|mistake| verb.explain(mistake, &name))
}

/// Takes the verb off the rest of a line, if the line begins with one.
fn take_verb(argv: &mut Peekable<impl Iterator<Item = OsString>>) -> &'static Verb {
    let verb = VERBS
        .iter()
        .find(|verb| argv.next_if(|word| word == verb.name).is_some());
    verb.unwrap_or(&isolate::VERB)
}

/// The verbs for people.
fn verbs() -> impl Iterator<Item = &'static Verb> {
    VERBS.iter().filter(|verb| verb.chapter != Chapter::Hidden)
}

impl Call {
    fn about_box(common: Common, command: BoxCommand) -> Self {
        Self::Box(Box::new(BoxCall { common, command }))
    }

    /// The call about a box that this must be, for tests.
    #[cfg(test)]
    pub(crate) fn into_box_call(self) -> BoxCall {
        match self {
            Self::Box(call) => *call,
            other => panic!("{other:?}"),
        }
    }
}

/// Reads a command line into options and operands.
fn read<Line: clap::Parser>(
    argv: impl Iterator<Item = OsString>,
    operands: Operands,
) -> Result<(Line, Vec<OsString>), Mistake> {
    // One command is both getopt's table and the parser.
    let mut command = Line::command();
    let words = take_apart(&Table::of(&command), argv, operands)?;
    Ok((read_by_clap(&mut command, &words)?, words.operands))
}

/// The same for lines that run programs, without clap as long as they are right; with the options
/// in the one form that they have then.
fn read_directly<Line: clap::Parser + Direct>(
    argv: impl Iterator<Item = OsString>,
    operands: Operands,
) -> Result<(Line, Words), Mistake> {
    let words = take_apart(&Line::table(), argv, operands)?;
    let line = match direct::read(&words.options) {
        Some(line) => line,
        None => read_by_clap(&mut Line::command(), &words)?,
    };
    Ok((line, words))
}

fn take_apart(
    table: &Table<'_>,
    argv: impl Iterator<Item = OsString>,
    operands: Operands,
) -> Result<Words, Mistake> {
    let mut words = Words::default();
    getopt::normalize(table, argv, operands, &mut words)?;
    match words.help {
        Some(form) => Err(Mistake::Help { verb: None, form }),
        None => Ok(words),
    }
}

fn read_by_clap<Line: clap::Parser>(
    command: &mut clap::Command,
    words: &Words,
) -> Result<Line, Mistake> {
    command
        .try_get_matches_from_mut(&words.options)
        .and_then(|mut matches| Line::from_arg_matches_mut(&mut matches))
        .map_err(|error| in_own_words(&error, words))
}

/// clap's refusal of a value, with the option's name in front, as it was typed: `--time: 'abc' is
/// not a time: …`.
fn in_own_words(error: &clap::Error, words: &Words) -> Mistake {
    let reason = std::error::Error::source(error).map(ToString::to_string);
    match (error.get(ContextKind::InvalidArg), reason) {
        (Some(ContextValue::String(arg)), Some(reason)) => {
            let option = arg.split([' ', '[', '=']).next().unwrap_or_default();
            Mistake::Usage(format!("{}: {reason}", words.typed(option)))
        }
        // Nothing else is left to clap. If it were, its own first line must do.
        _ => Mistake::Usage(error.to_string().lines().take(1).collect()),
    }
}
