//! `exec`: all of isolate's commands in one.

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::options::Options;
use super::page::{Chapter, Page};
use super::read;
use super::verb::{Mistake, Verb};
use crate::request::BoxCommand;

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "exec",
    chapter: Chapter::Run,
    page: Page {
        about: "Run a program in a box of its own, and say what it used",
        usage: &["[OPTIONS]... [--] PROGRAM [ARGUMENT]..."],
        description: DESCRIPTION,
        examples: &[
            (
                "exec -t 1 --memory 256M -- sort -n < numbers",
                "a second of CPU time, 256 MiB of memory for all its processes together",
            ),
            ("exec -- ls -l /", "what a program finds inside"),
            (
                "exec -d src=/home/me/src -c /src -- python3 check.py",
                "show a directory inside as /src, and start there",
            ),
        ],
        sections: &[("Exit status", EXIT_STATUS)],
        ..Page::EMPTY
    },
    command: ExecLine::command,
    operands: Operands::Last,
    has_results: true,
    help_exit_code: 0,
    read: call,
};

const DESCRIPTION: &str = "Takes a free box, runs the program in it, gives the box back, and exits as the program \
    did. The first word that is no option is the program; what follows it is the program's own.\n\
    The program sees /bin, /lib, /usr and a few names in /etc, not the files around you: the current directory is \
    not inside. It is found by PATH, may have 256 processes, and has no network.\n\
    A SIZE is in KiB when bare, or has a unit: 512K, 64M, 1.5G. A TIME is in seconds when bare, or has a unit: 1.5s, \
    200ms, 2min. Of a repeated option the last one counts. Defaults of limits and the default directory rules may \
    be configured otherwise.";

const EXIT_STATUS: &str = "That of the program; 128 + N if a signal N killed it; 124 if it ran out of time; 125 if \
    the sandbox did not work; 2 if the command line is wrong.";

/// The options of `exec`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
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
