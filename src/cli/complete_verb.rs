//! `complete` and `manual`: what shells and the installation ask for.

use std::ffi::OsString;

use clap::{ArgAction, CommandFactory, Parser};

use super::Call;
use super::getopt::Operands;
use super::manual;
use super::page::{Chapter, Page};
use super::read;
use super::verb::{Mistake, Verb};

/// `complete`.
pub(super) const COMPLETE: Verb = Verb {
    name: "complete",
    chapter: Chapter::Hidden,
    page: Page {
        about: "Say which words may come next, for the completion scripts of shells",
        usage: &["-- [WORD]..."],
        description: "Prints what may stand in the place of the last word, each with what it is, and at last what the shell \
            has to find by itself (:files, :directories, :programs).",
        examples: &[("complete -- exec --mem", "what may --mem become?")],
        ..Page::EMPTY
    },
    command: PlainLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: complete,
};

/// `manual`.
pub(super) const MANUAL: Verb = Verb {
    name: "manual",
    chapter: Chapter::Hidden,
    page: Page {
        about: "Print a page of the manual, for man",
        usage: &["[PAGE]"],
        description: "Without a page, the names of all of them. ./install and the package put them where man finds them.",
        examples: &[("manual isolate-run-exec.1", "the page about exec")],
        ..Page::EMPTY
    },
    command: PlainLine::command,
    operands: Operands::Anywhere,
    has_results: false,
    help_exit_code: 0,
    read: manual,
};

#[derive(Debug, Parser)]
#[command(disable_help_flag = true, no_binary_name = true)]
struct PlainLine {
    /// Print this help
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
}

fn complete(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (PlainLine { .. }, words) = read(argv, Operands::Anywhere)?;
    let words = words
        .into_iter()
        .map(|word| word.to_string_lossy().into_owned());
    Ok(Call::Complete(words.collect()))
}

fn manual(argv: &mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let (PlainLine { .. }, words) = read(argv, Operands::Anywhere)?;
    let text = match words.first() {
        None => manual::names().join("\n") + "\n",
        Some(word) => {
            let word = word.to_string_lossy();
            manual::page(&word).ok_or_else(|| format!("manual: there is no page '{word}'"))?
        }
    };
    Ok(Call::Print(text))
}
