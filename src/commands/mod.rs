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
use std::ffi::OsString;

pub(crate) use ahead::{Ahead, ScopeAhead};
use box_run::Finished;
pub(crate) use rights::Rights;

use crate::answer::{Answer, Results};
use crate::caller::{Caller, Inheritance, Line, OpenedDirs};
use crate::cgroup::{Place, find_place};
use crate::clock::Moment;
use crate::config::settings::Settings;
use crate::failure::Failure;
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

fn results_of(finished: &Finished) -> Results {
    let Finished {
        report,
        circumstances,
    } = finished;
    Results {
        meta: report::meta::format(report, circumstances.cg),
        report: report::json::format(report, circumstances),
    }
}
