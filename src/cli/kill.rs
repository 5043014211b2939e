//! `kill`: ends a run.

use std::ffi::OsString;

use clap::{ArgAction, CommandFactory, Parser};

use super::getopt::Operands;
use super::looking::{LookOptions, number};
use super::page::{Chapter, Page};
use super::verb::{Mistake, Verb};
use super::{Call, read};
use crate::request::{BoxChoice, BoxCommand};

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "kill",
    chapter: Chapter::Boxes,
    page: Page {
        about: "End the run that goes on in a box",
        usage: &["[OPTIONS]... BOX"],
        description: "The program and all its processes are killed, and whoever waits for the run is told that it was \
            interrupted (status SG). The box stays.\n\
            Root ends all runs, others their own; those of others need io.github.isolate_run.manage-boxes.",
        examples: &[("kill 7", "end the run in box 7; status shows the numbers")],
        ..Page::EMPTY
    },
    command: KillLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

/// The options of `kill`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
pub(super) struct KillLine {
    #[command(flatten)]
    look: LookOptions,
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, words) = read::<KillLine>(argv, VERB.operands)?;
    let id = match words.as_slice() {
        [word] => number("kill", word)?,
        [] => return Err("kill: no box given; status shows them".to_owned().into()),
        _ => return Err("kill takes one box".to_owned().into()),
    };
    let mut common = line.look.common();
    common.box_id = Some(BoxChoice::Number(id));
    Ok(Call::about_box(common, BoxCommand::Kill))
}
