//! One file per command: each is the story of what happens, told by calls to those who know how.

mod ahead;
mod box_run;
pub(crate) mod boxes;
pub(crate) mod config_import;
pub(crate) mod exec;
mod free_box;
mod rights;
pub(crate) mod run;
mod run_cgroups;
pub(crate) mod show;

use std::cell::RefCell;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use ahead::{Ahead, ScopeAhead};
use box_run::Finished;
pub(crate) use rights::Rights;

use crate::caller::Caller;
use crate::cgroup::{Place, find_place};
use crate::clock::Moment;
use crate::config::settings::Settings;
use crate::error::{chain, printable};
use crate::inheritance::Inheritance;
use crate::keeper::Line;
use crate::opened_dirs::OpenedDirs;
use crate::report;
use crate::request::{Command, Request};
use crate::systemd::ScopeSpec;

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// What was asked.
    pub(crate) request: Request,
    /// What is configured.
    pub(crate) settings: Settings,
    /// Where the cgroups of runs come from, if that has been found out already.
    pub(crate) place: Option<Place>,
    /// Who asks.
    pub(crate) caller: Caller,
    /// What they may do beyond using boxes of their own; `None`: nothing, unless they are root.
    pub(crate) rights: Option<Rights>,
    /// When they asked.
    pub(crate) asked: Moment,
    /// Their environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// The directories that they named.
    pub(crate) directories: OpenedDirs,
    /// What a caller who is another process would pass on to a child.
    pub(crate) inheritance: Option<Inheritance>,
    /// To a caller who is another process, by the broker: it brings their signals.
    pub(crate) line: Option<Line>,
    /// What was made ahead, for one who wants it.
    pub(crate) ahead: RefCell<Ahead>,
    /// The scope of a run that did not fail, and that another such run will ask for.
    pub(crate) scope: RefCell<Option<ScopeSpec>>,
}

impl Context {
    /// Where the cgroups of runs come from.
    fn place(&self) -> Result<Place, Failure> {
        match &self.place {
            Some(place) => Ok(place.clone()),
            None => Ok(find_place(&self.settings.cgroup)?),
        }
    }

    /// Carries the command out, if it is one about boxes.
    pub(crate) fn carry_out(&self) -> Result<(Answer, Results), Failure> {
        let told = |answer| (answer, Results::default());
        match self.request.command {
            Command::Run => run::run(self),
            Command::Exec => exec::exec(self),
            Command::Init => boxes::init(self).map(told),
            Command::Cleanup => boxes::cleanup(self).map(told),
            Command::Version | Command::CheckConfig | Command::PrintCgRoot => {
                Err(Failure::new("this is not a command about a box"))
            }
        }
    }
}

/// What a command has to say, besides what its program printed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// For standard output.
    pub(crate) stdout: String,
    /// For standard error; a line without its end.
    pub(crate) stderr: Option<String>,
    /// The exit code.
    pub(crate) code: u8,
}

/// What a command has to say to programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
