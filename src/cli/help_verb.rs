//! `help`: what there is, and how it is called.

use std::ffi::OsString;

use clap::{ArgAction, CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::page::Form;
use super::page::{Chapter, Page};
use super::read;
use super::suggest::listed;
use super::verb::{Mistake, Verb};
use crate::guess::did_you_mean;

/// The verb. Unlike `--help` in isolate's spelling, it exits with 0.
pub(super) const VERB: Verb = Verb {
    name: "help",
    chapter: Chapter::Machine,
    page: Page {
        about: "Explain a verb, or say what there is",
        usage: &["[VERB]"],
        description: "Explains a verb with all its options, as the option --help after it does. Without a verb: \
            isolate's spelling of the command line, and the list of verbs. The exit code is 0.",
        examples: &[
            ("help exec", "all about exec"),
            ("exec -h", "the usual options of exec on one screen"),
        ],
        ..Page::EMPTY
    },
    command: HelpLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: call,
};

/// The options of `help`.
#[derive(Debug, Parser)]
#[command(disable_help_flag = true, no_binary_name = true)]
struct HelpLine {
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

fn call(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (HelpLine { .. }, words) = read(argv, Operands::Anywhere)?;
    let verb = match words.first() {
        None => &super::isolate::VERB,
        Some(word) => {
            let mut all = super::VERBS.iter();
            let found = all.find(|verb| word == verb.name);
            found.ok_or_else(|| {
                let names: Vec<_> = super::verbs().map(|verb| verb.name).collect();
                let word = word.to_string_lossy();
                let guess = did_you_mean(&word, &names);
                format!(
                    "help: '{word}' is not a verb; {guess}verbs are {}",
                    listed(&names)
                )
            })?
        }
    };
    if let Some(more) = words.get(1).filter(|_| verb.page.commands.is_empty()) {
        let more = more.to_string_lossy();
        return Err(format!("help takes one verb, but '{more}' was given, too").into());
    }
    Err(Mistake::Help {
        verb: Some(verb),
        form: Form::Long,
    })
}
