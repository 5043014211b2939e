//! `config`: about configuration files.

use std::ffi::OsString;

use clap::{ArgAction, CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::page::{Chapter, Page, Word};
use super::read;
use super::verb::{Mistake, Verb};
use crate::request::ImportSource;

/// The verb.
pub(super) const VERB: Verb = Verb {
    name: "config",
    chapter: Chapter::Machine,
    page: Page {
        about: "Bring over a configuration file of isolate",
        usage: &["import FILE"],
        description: "Writes what a configuration file of isolate says (key = value) as TOML to standard output. \
            Comments in the result say which line a value is from, and what was left out and why.\n\
            Without any TOML file, isolate's /etc/isolate or else /usr/local/etc/isolate is read as it is.",
        commands: &[Word {
            name: "import",
            operands: "FILE",
            about: "write isolate's FILE as TOML; - is standard input",
        }],
        examples: &[
            (
                "config import /etc/isolate > isolate.toml",
                "write a configuration of isolate as TOML",
            ),
            (
                "--config isolate.toml --check-config",
                "see whether a file is a configuration, and what holds with it",
            ),
        ],
        ..Page::EMPTY
    },
    command: ConfigLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

/// The options of `config`.
#[derive(Debug, Parser)]
#[command(
    disable_help_flag = true,
    no_binary_name = true,
    args_override_self = true
)]
pub(super) struct ConfigLine {
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (_, words) = read::<ConfigLine>(argv, VERB.operands)?;
    let message = match words.as_slice() {
        [] => "config: no command given: there is only import".to_owned(),
        [command, ..] if command != "import" => format!(
            "config: '{}' is not a command: there is only import",
            command.to_string_lossy()
        ),
        [_] => "config import: no file given; - is standard input".to_owned(),
        [_, file] if file == "-" => return Ok(Call::Import(ImportSource::Stdin)),
        [_, file] if file.is_empty() => "config import: the name is empty".to_owned(),
        [_, file] => return Ok(Call::Import(ImportSource::File(file.into()))),
        [_, _, more, ..] => format!(
            "config import takes one file, but '{}' was given, too",
            more.to_string_lossy()
        ),
    };
    Err(message.into())
}
