//! `exec`: all of isolate's commands in one.

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::options::Options;
use super::read;
use super::verb::{Mistake, Verb};
use crate::request::BoxCommand;

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "exec",
    is_for_people: true,
    help_exit_code: 0,
    read: call,
    results: Some((ExecLine::command, Operands::Last)),
};

/// The options of `exec`.
#[derive(Debug, Parser)]
#[command(
    name = "isolate-run exec",
    about = "Takes a free box, runs a program in it, and gives the box back.",
    override_usage = "isolate-run exec [OPTIONS] [--] PROGRAM [ARGUMENT]...

The first word that is no option is the program; what follows it is the program's own. A SIZE is in
KiB when bare, or has a unit: 512K, 64M, 1.5G. A TIME is in seconds when bare, or has a unit: 1.5s,
200ms, 2min. Of a repeated option the last one counts. Defaults of limits and the default directory
rules may be configured otherwise.",
    after_help = "Examples:
  isolate-run exec /bin/ls -l /
  isolate-run exec -t 1 -w 5s --cg --cg-mem 256M /usr/bin/sort -n < numbers
  isolate-run exec -p -e -d src=/home/me/src -c /src -- /usr/bin/python3 check.py",
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true,
    term_width = 100
)]
pub(super) struct ExecLine {
    #[command(flatten)]
    pub(super) options: Options,
}

/// Reads the line. `--cg-mem` without `--cg` is no mistake here: the box is made for this run, so
/// the plan may choose the mode that the limit needs.
fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, program) = read::<ExecLine>(argv, Operands::Last)?;
    if program.is_empty() {
        return Err("exec: no program given".to_owned().into());
    }
    let (common, program) = line.options.join(program)?;
    Ok(Call::about_box(common, BoxCommand::Exec(program)))
}
