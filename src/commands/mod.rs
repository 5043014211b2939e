//! What is done for each call: one file per command, which tells what happens by calls to those who
//! know how. Who may ask is decided in the broker, and how much a call may have in `plan`.

mod boxes;
mod cleanup;
pub(crate) mod configure;
pub(crate) mod container_init;
mod enter;
mod exec;
mod finished;
mod free_box;
mod gc;
mod init;
mod kill;
mod lease;
mod leftovers;
mod logs;
mod next_scope;
pub(crate) mod offers;
mod one_run;
mod renew;
mod rights;
mod run;
pub(crate) mod show;
mod status;

use std::ffi::OsString;

pub(crate) use rights::Rights;

use exec::Fate;
pub(crate) use exec::kept_box;

use crate::answer::{Answer, Results};
use crate::bus::Bus;
use crate::caller::{Caller, Inheritance, Line, OpenedDirs};
use crate::cgroup::Place;
use crate::chronicle::Told;
use crate::clock::Moment;
use crate::config::settings::Settings;
use crate::failure::{Failure, Kind};
use crate::home::find_place;
use crate::keeper::Signals;
use crate::launch::{Coming, Namespaces};
use crate::plan::Granted;
use crate::report::Ending;
use crate::request::{BoxCall, BoxCommand, Common};

/// A call about a box, with all that it depends on.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What was asked.
    pub(crate) call: BoxCall,
    /// How much of it is granted.
    pub(crate) granted: Granted,
    /// What is configured.
    pub(crate) settings: Settings,
    /// Who asks.
    pub(crate) caller: Caller,
    /// When they asked.
    pub(crate) at: Moment,
    /// Their environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// The directories that they named.
    pub(crate) directories: OpenedDirs,
    /// What they would pass on to a child, where this process has something else.
    pub(crate) inheritance: Option<Inheritance>,
    /// Whether it is one of many that a batch makes with one box.
    pub(crate) of_batch: bool,
    /// Whether the box is made anew after the run.
    pub(crate) renews: bool,
}

/// What else there is when the caller is another process, which sends its calls over a connection.
#[derive(Debug)]
pub(crate) struct Brokered {
    /// Where the cgroups of runs come from: that has been found out already.
    pub(crate) place: Place,
    /// What they may do beyond using boxes of their own; `None`: they are root, who may.
    pub(crate) rights: Option<Rights>,
    /// It brings their signals.
    pub(crate) line: Line,
}

/// What takes long to make and may be of use to the next run. `None` is still to be made.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// A connection to the bus.
    pub(crate) bus: Option<Bus>,
    /// Namespaces for a program.
    pub(crate) namespaces: Option<Namespaces>,
    /// Such that another process is making.
    pub(crate) coming: Option<Coming>,
}

/// A command that was carried out.
#[derive(Debug)]
pub(crate) struct Done {
    /// The result for people.
    pub(crate) answer: Answer,
    /// The result for programs.
    pub(crate) results: Results,
    /// The result for the journal.
    pub(crate) told: Told,
}

/// What every command is given.
#[derive(Debug, Clone, Copy)]
struct Context<'a> {
    asked: &'a Asked,
    by_broker: Option<&'a Brokered>,
}

/// Carries a call about a box out. Of what was made ahead it takes what it needs.
pub(crate) fn carry_out(
    asked: Asked,
    by_broker: Option<&Brokered>,
    ahead: &mut Ahead,
) -> Result<Done, Failure> {
    let context = Context {
        asked: &asked,
        by_broker,
    };
    let mut done = match &asked.call.command {
        BoxCommand::Init(_) => init::init(context).map(Done::from),
        BoxCommand::Run(program) => run::run(context, program, ahead),
        BoxCommand::Cleanup => cleanup::cleanup(context).map(Done::from),
        BoxCommand::Exec(program) => exec::exec(context, program, Fate::GivenBack, ahead),
        BoxCommand::Keep(program) => exec::exec(context, program, Fate::Kept, ahead),
        BoxCommand::Enter(program) => enter::enter(context, program, ahead),
        BoxCommand::Status(request) => status::status(context, *request),
        BoxCommand::Kill => kill::kill(context),
        BoxCommand::Gc(request) => gc::gc(context, *request),
        BoxCommand::Logs(request) => logs::logs(context, request),
    };
    match (&mut done, context.rights()) {
        // Somebody who may do nothing at all is told that, and not what else did not work.
        (Err(_), Some(rights)) => rights.wait()?,
        // A run that was made ready before the answer to whether it may be is no failed run.
        (Ok(done), Some(rights)) if rights.were_denied() => {
            if let Told::Run(run) = &done.told {
                if let Ending::Failed(message) = &run.0.ending {
                    let refusal = Failure::new(message.clone()).of_kind(Kind::Denied);
                    done.told = Told::Failed(refusal);
                }
            }
        }
        _ => {}
    }
    done
}

impl Context<'_> {
    fn common(&self) -> &Common {
        &self.asked.call.common
    }

    /// Where the cgroups of runs come from.
    fn place(&self) -> Result<Place, Failure> {
        match self.by_broker {
            Some(Brokered { place, .. }) => Ok(place.clone()),
            None => Ok(find_place(&self.asked.settings.cgroup)?),
        }
    }

    fn rights(&self) -> Option<&Rights> {
        self.by_broker?.rights.as_ref()
    }
}

/// Takes the signals of this process over, and those of a caller who is another one.
fn take_over_signals(context: Context<'_>) -> Result<Signals<'_>, Failure> {
    let taken = Signals::take_over(context.by_broker.map(|brokered| &brokered.line));
    taken.map_err(Failure::at("cannot take over the signals of this process"))
}

impl From<Answer> for Done {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            results: Results::default(),
            told: Told::Nothing,
        }
    }
}
