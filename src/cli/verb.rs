//! The first word of a command line, and the text about a mistake in what follows it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::getopt::Operands;
use super::page::{Chapter, Form, Page};
use super::{Call, CliError};
use crate::error::printable;

/// One spelling of the command line: all that its parser, help, manual and completions need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verb {
    /// The first word; empty for isolate's spelling, which has none.
    pub(super) name: &'static str,
    /// Where it stands in the list of verbs.
    pub(super) chapter: Chapter,
    /// What is told of it.
    pub(super) page: Page,
    /// Its options.
    pub(super) command: fn() -> clap::Command,
    /// Where its operands stand.
    pub(super) operands: Operands,
    /// Whether a line may name files for the results of a run.
    pub(super) has_results: bool,
    /// The exit code when help was asked for.
    pub(super) help_exit_code: u8,
    /// Reads the rest of the line.
    pub(super) read: fn(&mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake>,
}

impl Verb {
    /// How it is called by its usual name.
    pub(super) fn call(&self) -> String {
        if self.is_program() {
            return self.name.to_owned();
        }
        format!("isolate-run {}", self.name).trim_end().to_owned()
    }

    /// Whether it is not a word after the program's name, but another name of the program.
    fn is_program(&self) -> bool {
        self.name.starts_with("isolate-")
    }

    /// Refuses operands, of which this verb takes none.
    pub(super) fn refuse_operands(&self, words: &[OsString]) -> Result<(), Mistake> {
        let Some(word) = words.first() else {
            return Ok(());
        };
        let (name, word) = (self.name, word.to_string_lossy());
        Err(format!("{name} takes no operands, but '{word}' was given").into())
    }

    /// Makes a text of a mistake. `called` is `argv[0]`, so that the hint names what the caller can
    /// type.
    pub(super) fn explain(&'static self, mistake: Mistake, called: &OsStr) -> CliError {
        let message = match mistake {
            Mistake::Help { verb, form } => {
                return CliError::Help {
                    help: Help {
                        verb: verb.unwrap_or(self),
                        form,
                    },
                    exit_code: self.help_exit_code,
                };
            }
            Mistake::Nothing => return CliError::Usage(super::suggest::first_steps(&name(called))),
            Mistake::Usage(message) => message,
        };
        let name = name(called);
        let verb = if self.is_program() { "" } else { self.name };
        let words = [name.as_str(), verb, "--help"].into_iter();
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        CliError::Usage(format!(
            "{}\nTry '{}' for more information.",
            printable(&message),
            words.join(" ")
        ))
    }
}

/// A request for help.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Help {
    pub(super) verb: &'static Verb,
    pub(super) form: Form,
}

impl PartialEq for Help {
    fn eq(&self, other: &Self) -> bool {
        (self.verb.name, self.form) == (other.verb.name, other.form)
    }
}

impl Eq for Help {}

/// The name by which the program was called.
fn name(called: &OsStr) -> String {
    let name = Path::new(called).file_name().and_then(OsStr::to_str);
    printable(name.unwrap_or("isolate-run"))
}

/// Why a command line is not a call.
#[derive(Debug)]
pub(super) enum Mistake {
    /// Help was asked for.
    Help {
        /// About this verb; `None` is the one of the line.
        verb: Option<&'static Verb>,
        /// How much.
        form: Form,
    },
    /// There is not a word.
    Nothing,
    /// What is wrong, on one line.
    Usage(String),
}

impl From<String> for Mistake {
    fn from(message: String) -> Self {
        Self::Usage(message)
    }
}
