//! One file per command: each is the story of what happens, told by calls to those who know how.

mod box_run;
pub(crate) mod boxes;
pub(crate) mod config_import;
pub(crate) mod exec;
mod free_box;
pub(crate) mod run;
pub(crate) mod show;

use std::error::Error;
use std::fmt;

use box_run::Finished;

use crate::caller::Caller;
use crate::clock::Moment;
use crate::config::settings::Settings;
use crate::error::{chain, printable};
use crate::report;
use crate::request::Request;

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// What was asked.
    pub(crate) request: Request,
    /// What is configured.
    pub(crate) settings: Settings,
    /// Who asks.
    pub(crate) caller: Caller,
    /// When they asked.
    pub(crate) asked: Moment,
}

/// What a command has to say, besides what its program printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// For standard output.
    pub(crate) stdout: String,
    /// For standard error; a line without its end.
    pub(crate) stderr: Option<String>,
    /// The exit code.
    pub(crate) code: u8,
}

/// What a command has to say to programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Results {
    /// For the meta file.
    pub(crate) meta: String,
    /// For the report.
    pub(crate) report: String,
}

impl Results {
    /// Of a call that was refused or failed before there was a run.
    pub(crate) fn of_failure(failure: &Failure) -> Self {
        Self {
            meta: report::meta::format_failure(&failure.0),
            report: report::json::format_failure(&failure.0),
        }
    }

    fn of_run(finished: &Finished) -> Self {
        let Finished {
            report,
            circumstances,
        } = finished;
        Self {
            meta: report::meta::format(report, circumstances.cg),
            report: report::json::format(report, circumstances),
        }
    }
}

/// Why a command did not do what it was asked: one line, ready to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Failure {
    /// A failure that no other error caused.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(printable(&message.into()))
    }

    /// What could not be done, and the error that says why: for `map_err`.
    pub(crate) fn at<E: Error + 'static>(what: &str) -> impl Fn(E) -> Self {
        move |error| Self::new(format!("{what}: {}", chain(&error)))
    }
}

/// Every error of the layers below is a chain of causes that can be printed. This is the border: what
/// arrives here is told to the caller, not examined.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(chain(&error))
    }
}
