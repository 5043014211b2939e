//! `calibrate`: how fast this machine is for programs in boxes.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::page::{Chapter, Page};
use super::read;
use super::value;
use super::verb::{Mistake, Verb};
use crate::quantity;
use crate::request::{Calibration, Load};

/// Where a reference is saved when no file is named.
const REFERENCE: &str = "/var/lib/isolate/calibration.json";
/// How long all loads take together.
const USUAL: Duration = Duration::from_secs(10);

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "calibrate",
    chapter: Chapter::Machine,
    page: Page {
        about: "Measure how fast this machine is, and beside another one",
        usage: &["[OPTION]..."],
        description: "Runs five fixed loads in boxes, as any program is run: integer arithmetic, branches, latency and \
            bandwidth of memory, system calls. They take turns, ten seconds together.\n\
            The rate of a load is that of its fastest rounds, by CPU time; the spread is by how much the median round \
            was slower, and small on a quiet machine. The factor compares with a saved result: 2 is twice as fast. \
            Compare results of one version of the program only.",
        examples: &[
            ("calibrate --save", "make this machine the reference"),
            ("calibrate", "compare it with what was saved"),
            (
                "calibrate --reference judge1.json",
                "compare it with another machine",
            ),
            (
                "calibrate --box-id 3",
                "measure on the CPUs that box 3 is bound to",
            ),
        ],
        ..Page::EMPTY
    },
    command: CalibrateLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

/// The options of `calibrate`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
pub(super) struct CalibrateLine {
    /// Save the result as the reference
    #[arg(long)]
    pub(super) save: bool,
    /// The file of the reference [default: /var/lib/isolate/calibration.json]
    ///
    /// It is what --json writes.
    #[arg(long, value_name = "FILE", value_parser = value::word(value::path))]
    pub(super) reference: Option<PathBuf>,
    /// Write JSON; docs/calibration.schema.json is its form
    #[arg(long)]
    pub(super) json: bool,
    /// How long all loads take together [default: 10]
    #[arg(long, value_name = "TIME", value_parser = value::text(quantity::parse_time))]
    pub(super) time: Option<Duration>,
    /// Number of the box to run in [default: any free box]
    #[arg(short, long, value_name = "ID")]
    pub(super) box_id: Option<OsString>,
    /// Read this configuration file instead of the installed one and its drop-ins
    #[arg(long, value_name = "FILE", value_parser = value::word(value::path))]
    pub(super) config: Option<PathBuf>,
    /// Do rounds of this load and tell of each: what runs in the box
    #[arg(long, value_name = "LOAD", hide = true, value_parser = value::word(load))]
    pub(super) load: Option<Load>,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

fn load(word: &OsStr) -> Result<Load, &'static str> {
    let mut all = Load::ALL.into_iter();
    all.find(|load| word == load.name())
        .ok_or("there is no such load")
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, words) = read::<CalibrateLine>(argv, VERB.operands)?;
    VERB.refuse_operands(&words)?;
    Ok(Call::Calibrate(Calibration {
        save: line.save,
        reference: line.reference.unwrap_or_else(|| REFERENCE.into()),
        json: line.json,
        time: line.time.unwrap_or(USUAL),
        box_id: line.box_id,
        config: line.config,
        load: line.load,
    }))
}
