//! `shell`: inside a box, at the terminal.

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::options::Options;
use super::page::{Chapter, Page};
use super::read;
use super::value;
use super::verb::{Mistake, Verb};
use crate::request::{BoxChoice, BoxCommand, EnvRule};

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "shell",
    chapter: Chapter::Run,
    page: Page {
        about: "Be inside a box, as a program in it is",
        usage: &["[OPTIONS]... [BOX] [[--] PROGRAM [ARGUMENT]...]"],
        description: "Starts a shell, or another program, at this terminal in a box: one that --init or exec --keep made, \
            by its number, which stays; without a number a fresh one, which is given back at the end. It sees what a \
            program that exec runs there sees, with the same rights and limits, and has the terminal for itself.",
        examples: &[
            (
                "shell 3",
                "a shell in box 3, among the files of its program",
            ),
            (
                "shell -d src=/home/me/src",
                "a shell in a fresh box in which a directory is shown",
            ),
            ("shell 3 -- ls -l", "another program in box 3"),
        ],
        ..Page::EMPTY
    },
    command: ShellLine::command,
    operands: Operands::Last,
    has_results: true,
    help_exit_code: 0,
    read: call,
};

/// What runs when nothing is named: bash where there is one.
const SHELL: [&str; 3] = [
    "/bin/sh",
    "-c",
    "command -v bash >/dev/null && exec bash; exec sh",
];

/// The options of `shell`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
struct ShellLine {
    #[command(flatten)]
    options: Options,
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (line, mut words) = read::<ShellLine>(argv, VERB.operands)?;
    let mut id = line.options.box_options.box_id;
    let number = words.first().and_then(|word| word.to_str());
    let number = number.filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some(number) = number.filter(|number| !number.is_empty() && id.is_none()) {
        let choice = value::box_choice(number).map_err(|error| format!("shell: {error}"))?;
        id = Some(choice);
        words.remove(0);
        if words.first().is_some_and(|word| word == "--") {
            words.remove(0);
        }
    }
    if words.is_empty() {
        words = SHELL.map(OsString::from).into();
    }
    let (mut common, mut program) = line.options.join(words)?;
    common.box_id = id;
    program.tty_hack = true;
    program.env.insert(0, EnvRule::Inherit("TERM".into()));
    let command = match id {
        Some(BoxChoice::Number(_)) => BoxCommand::Enter(program),
        Some(BoxChoice::Auto) | None => BoxCommand::Exec(program),
    };
    Ok(Call::about_box(common, command))
}
