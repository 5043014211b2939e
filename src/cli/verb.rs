//! The first word of a command line, and how a mistake in what follows it is told.

use std::ffi::{OsStr, OsString};
use std::iter::Peekable;
use std::path::Path;

use super::CliError;
use crate::error::printable;

/// Which spelling of the command line this is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verb {
    /// isolate's: the command is an option.
    Isolate,
    /// `exec PROGRAM`.
    Exec,
    /// `config import FILE`.
    Config,
    /// `broker`.
    Broker,
}

impl Verb {
    /// Takes the verb off the rest of a line, if that begins with one.
    pub(super) fn take(argv: &mut Peekable<impl Iterator<Item = OsString>>) -> Self {
        let verb = match argv.peek().and_then(|word| word.to_str()) {
            Some("exec") => Self::Exec,
            Some("config") => Self::Config,
            Some("broker") => Self::Broker,
            _ => return Self::Isolate,
        };
        argv.next();
        verb
    }

    /// Makes a mistake presentable. `called` is argv[0]: the hint names what the caller can type.
    pub(super) fn explain(self, mistake: Mistake, called: &OsStr) -> CliError {
        let (verb, help_exit_code) = match self {
            Self::Isolate => ("", 2),
            Self::Exec => ("exec ", 0),
            Self::Config => ("config ", 0),
            Self::Broker => ("broker ", 0),
        };
        let message = match mistake {
            Mistake::Help(text) => {
                return CliError::Help {
                    text,
                    exit_code: help_exit_code,
                };
            }
            Mistake::Usage(message) => message,
        };
        let name = Path::new(called)
            .file_name()
            .and_then(OsStr::to_str)
            .unwrap_or("isolate-run");
        CliError::Usage(format!(
            "{}\nTry '{} {verb}--help' for more information.",
            printable(&message),
            printable(name)
        ))
    }
}

/// What keeps a command line from being a call.
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
