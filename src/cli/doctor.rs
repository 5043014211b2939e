//! `doctor`: examines the machine; and `isolate-check-environment`, which is the same by the
//! options of isolate's program of that name.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{ArgAction, CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::page::{Chapter, Page};
use super::read;
use super::value;
use super::verb::{Mistake, Verb};
use crate::check_name::CheckName;
use crate::guess::nearest;
use crate::request::{Doctor, DoctorTask};

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "doctor",
    chapter: Chapter::Machine,
    page: Page {
        about: "Examine this machine: what runs need, what makes times differ",
        usage: &["[OPTION]..."],
        description: "Examines what runs need, what makes times differ from one run to the next, and what programs \
            could reach; says why it matters, and which command mends it.\n\
            Root sees everything; others see what they may, and are told what only root can see. For a user who does \
            without root and without the broker, it is their configuration, their boxes and their systemd that are \
            examined. Nothing is changed without --fix.",
        examples: &[
            ("doctor", "see what is wrong here"),
            ("doctor --only swap,smt -v", "hear more of two checks"),
            (
                "doctor --fix --skip huge-pages",
                "change what is safe, but not that",
            ),
            (
                "doctor --fix --only smt,timers",
                "change what has a price, because it is named",
            ),
            ("doctor --undo", "take everything back"),
            ("doctor --json | jq .worst", "ask from a script"),
        ],
        sections: &[
            (
                "Exit code",
                "0 if all is well, or worth a note; 1 after a warning or a change that failed; 3 after an error; 2 when \
                 doctor itself did not work.",
            ),
            (
                "Silence",
                "[doctor] silence in isolate.toml names checks that may fail here, each with its reason; they count \
                 for nothing.",
            ),
        ],
        ..Page::EMPTY
    },
    command: DoctorLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

/// The program that is called by isolate's name for it.
pub(super) static CHECK_ENVIRONMENT: Verb = Verb {
    name: "isolate-check-environment",
    chapter: Chapter::Hidden,
    page: Page {
        about: "Check whether programs can be run on this machine, and whether their times repeat",
        usage: &["[--execute] [--quiet]"],
        description: "The same as isolate-run doctor. The exit code is 0, or 1 after a warning or an error.",
        ..Page::EMPTY
    },
    command: CheckEnvironmentLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: check_environment,
};

/// The options of `doctor`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
pub(super) struct DoctorLine {
    /// Change what is safe to change, until --undo
    ///
    /// What has a price (aslr, boost, migration, smt, timers) is changed only when --only names it.
    #[arg(long)]
    pub(super) fix: bool,
    /// Take back what --fix has changed
    #[arg(long)]
    pub(super) undo: bool,
    /// Make these checks only
    #[arg(long, value_name = "CHECK,...", action = ArgAction::Append, value_parser = value::word(checks))]
    pub(super) only: Vec<Checks>,
    /// Leave these checks out
    #[arg(long, value_name = "CHECK,...", action = ArgAction::Append, value_parser = value::word(checks))]
    pub(super) skip: Vec<Checks>,
    /// Write JSON; docs/doctor.schema.json is its form
    #[arg(long)]
    pub(super) json: bool,
    /// Write warnings and errors only
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Say of every check what it looks at and why
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Read this configuration file instead of the installed one and its drop-ins
    #[arg(long, value_name = "FILE", value_parser = value::word(value::path))]
    pub(super) config: Option<PathBuf>,
    /// Look at /proc, /sys and /etc below this directory
    ///
    /// Nobody is asked, and no command is run.
    #[arg(long, value_name = "DIR", hide_short_help = true, value_parser = value::word(value::path))]
    pub(super) root: Option<PathBuf>,
    /// Examine what runs of a user without the broker need
    ///
    /// The same happens by itself where no broker is installed.
    #[arg(long)]
    pub(super) rootless: bool,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

/// The options of `isolate-check-environment`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
struct CheckEnvironmentLine {
    /// Change what can be changed: isolate-run doctor --undo takes it back
    #[arg(short, long)]
    execute: bool,
    /// Write warnings and errors only
    #[arg(short, long)]
    quiet: bool,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

/// Several checks in one word.
type Checks = Vec<CheckName>;

fn checks(word: &OsStr) -> Result<Checks, String> {
    let word = word.to_string_lossy();
    let check = |name: &str| {
        CheckName::named(name).ok_or_else(|| {
            let known = CheckName::ALL.map(CheckName::name);
            let guess = nearest(name, &known).map(|name| format!("did you mean {name}? "));
            let guess = guess.unwrap_or_default();
            format!(
                "'{name}' is no check; {guess}there are {}",
                known.join(", ")
            )
        })
    };
    word.split(',').map(check).collect()
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, words) = read::<DoctorLine>(argv, VERB.operands)?;
    let check = words.first().and_then(|word| word.to_str());
    if let Some(check) = check.filter(|word| CheckName::named(word).is_some()) {
        let message = format!("doctor: a check is named by an option: doctor --only={check}");
        return Err(message.into());
    }
    VERB.refuse_operands(&words)?;
    if line.rootless && line.root.is_some() {
        return Err("--rootless and --root exclude each other".to_owned().into());
    }
    let task = match (line.fix, line.undo) {
        (true, true) => return Err("--fix and --undo exclude each other".to_owned().into()),
        (true, false) => DoctorTask::Fix,
        (false, true) => DoctorTask::Undo,
        (false, false) => DoctorTask::Look,
    };
    Ok(Call::Doctor(Doctor {
        task,
        only: line.only.concat(),
        skip: line.skip.concat(),
        fixes_all: false,
        json: line.json,
        quiet: line.quiet,
        verbosity: line.verbose,
        is_check_environment: false,
        config: line.config,
        root: line.root,
        rootless: line.rootless,
    }))
}

fn check_environment(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, words) = read::<CheckEnvironmentLine>(argv, CHECK_ENVIRONMENT.operands)?;
    if let Some(word) = words.first() {
        return Err(format!("unexpected operand '{}'", word.to_string_lossy()).into());
    }
    Ok(Call::Doctor(Doctor {
        task: if line.execute {
            DoctorTask::Fix
        } else {
            DoctorTask::Look
        },
        fixes_all: true,
        quiet: line.quiet,
        is_check_environment: true,
        ..Doctor::default()
    }))
}
