//! The first word of a command line, and the text about a mistake in what follows it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::getopt::Operands;
use super::{Call, CliError};
use crate::error::printable;

/// One spelling of the command line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verb {
    /// The first word; empty for isolate's spelling, which has none.
    pub(super) name: &'static str,
    /// Whether a person who mistyped a verb is told of this one.
    pub(super) is_for_people: bool,
    /// The exit code when help was asked for.
    pub(super) help_exit_code: u8,
    /// Reads the rest of the line.
    pub(super) read: fn(&mut dyn Iterator<Item = OsString>) -> Result<Call, Mistake>,
    /// The options and operands of a line that may name a file for results.
    pub(super) results: Option<(fn() -> clap::Command, Operands)>,
}

impl Verb {
    /// Makes a text of a mistake. `called` is `argv[0]`, so that the hint names what the caller can
    /// type.
    pub(super) fn explain(self, mistake: Mistake, called: &OsStr) -> CliError {
        let message = match mistake {
            Mistake::Help(text) => {
                return CliError::Help {
                    text,
                    exit_code: self.help_exit_code,
                };
            }
            Mistake::Usage(message) => message,
        };
        let name = Path::new(called)
            .file_name()
            .and_then(OsStr::to_str)
            .unwrap_or("isolate-run");
        let words = [name, self.name, "--help"].into_iter();
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        CliError::Usage(format!(
            "{}\nTry '{}' for more information.",
            printable(&message),
            printable(&words.join(" "))
        ))
    }
}

/// Why a command line is not a call.
pub(super) enum Mistake {
    /// Help was asked for; its text.
    Help(String),
    /// What is wrong, on one line.
    Usage(String),
}

impl From<String> for Mistake {
    fn from(message: String) -> Self {
        Self::Usage(message)
    }
}
