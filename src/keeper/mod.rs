//! The keeper: supervises one run from outside, in one thread and one poll loop.
//!
//! [`phase`] decides, [`actions`] does. Every wait of a run is in [`Keeper::wait`]: for init and
//! the program, for systemd, for deadlines and for signals. How the sandbox is built, and what is
//! reported of the ending, is not known here.

mod actions;
mod causes;
mod figures;
mod looks;
mod meter;
#[cfg(fuzzing)]
pub(crate) use meter::read_any;
mod phase;
mod readiness;
mod signals;

pub(crate) use signals::{Signals, watch};

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crate::cgroup::Leaf;
use crate::clock::{Moment, Timer};
use crate::failure::Explained;
use crate::home::Home;
use crate::launch::failure::describe;
use crate::launch::message::ToKeeper;
use crate::launch::{Init, online_cpus};
use crate::plan::RunPlan;
use crate::polkit::Authority;
use crate::report::{Ending, KillReason, Obstacle, Stages, Usage, errno_of, in_words};
use crate::sys::poll::{self, Until, readable};
use crate::sys::priority::Urgent;
use crate::systemd::StateRequest;
use figures::Figures;
use looks::Looks;
use phase::{Event, Phase};
use signals::Received;

/// How long the set-up may take. A busy systemd has been seen to need seconds.
const SETUP_PATIENCE: Duration = Duration::from_secs(60);
/// How long the program may take to die when it was killed, before init is killed as well.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// The ending of a run whose keeper kept a CPU for itself ([`Urgent`]).
const TOO_BUSY: &str = "the keeper was busy at real-time priority for too long without a pause, which should not \
                        happen; please report it";

/// The keeper itself could not go on. The run is over, and its processes die with init.
#[derive(Debug)]
pub(crate) struct KeeperError {
    what: &'static str,
    source: io::Error,
}

impl fmt::Display for KeeperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the keeper cannot {}", self.what)
    }
}

impl std::error::Error for KeeperError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Explained for KeeperError {}

fn cannot<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> KeeperError {
    move |error| KeeperError {
        what,
        source: error.into(),
    }
}

/// What the keeper found.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How the run ended.
    pub(crate) ending: Ending,
    /// What it used; `None` when the program never ran.
    pub(crate) usage: Option<Usage>,
    /// When what was reached.
    pub(crate) stages: Stages,
    /// What kept the program from beginning, if anything did.
    pub(crate) obstacle: Option<Obstacle>,
    /// init: on its way out, and alone in its PID namespace; dropping it waits for its end.
    pub(crate) init: Init,
    /// Where it lived, to be given back when init has ended.
    pub(crate) home: Home,
}

/// One run under supervision.
struct Keeper<'a> {
    plan: &'a RunPlan,
    /// How many CPUs the program can keep busy at once.
    parallel: u32,
    init: Init,
    /// Whether init or the program can still be heard.
    hears_init: bool,
    /// Where it lives.
    home: Home,
    /// The question whether systemd is stopping the unit of its scope.
    question: Option<StateRequest>,
    stages: Stages,
    obstacle: Option<Obstacle>,
    signals: &'a Signals<'a>,
    /// The authority that says whether the caller may run the program, until it has said so.
    permission: Option<&'a RefCell<Authority>>,
    /// In turn: the patience with the set-up, the wall limit, and the patience with a kill.
    deadline: Timer,
    cpu_look: Timer,
    /// When that timer is to report.
    look_at: Option<Moment>,
    looks: Looks,
    /// Real-time priority, while limits are watched.
    urgent: Option<Urgent>,
    program: Option<OwnedFd>,
    figures: Figures,
}

/// Supervises a run from the moment its init was cloned until all processes but init are dead.
pub(crate) fn supervise(
    plan: &RunPlan,
    init: Init,
    home: Home,
    signals: &Signals<'_>,
    permission: Option<&RefCell<Authority>>,
) -> Result<Outcome, KeeperError> {
    let has_cgroup = home.is_ready();
    let unit = home.unit();
    let mut keeper = Keeper {
        plan,
        // Whatever the caller's affinity is: the program can change its own.
        parallel: plan.parallel(online_cpus().map_err(cannot("count the CPUs"))?),
        init,
        hears_init: true,
        home,
        question: None,
        stages: Stages {
            laid_out: Moment::now().ok(),
            // A scope that was made ahead.
            cgroup_ready: unit.and_then(|_| Moment::now().ok()),
            ..Stages::default()
        },
        obstacle: None,
        signals,
        permission,
        deadline: Timer::new().map_err(cannot("make a timer"))?,
        cpu_look: Timer::new().map_err(cannot("make a timer"))?,
        look_at: None,
        looks: Looks::default(),
        urgent: None,
        program: None,
        figures: Figures::default(),
    };
    keeper
        .deadline
        .set_after(SETUP_PATIENCE)
        .map_err(cannot("set a timer"))?;
    let mut phase = Phase::SettingUp;
    if has_cgroup {
        phase = keeper.step(phase, Event::CgroupReady);
    }
    // It may have been given before.
    if let Some(event) = keeper.take_permission() {
        phase = keeper.step(phase, event);
    }
    let ending = loop {
        if let Phase::Over(ending) = phase {
            break ending;
        }
        let source = keeper.wait()?;
        let Some(event) = keeper.learn(source, &phase)? else {
            continue;
        };
        phase = keeper.step(phase, event);
    };
    Ok(Outcome {
        ending,
        usage: keeper.figures.usage(),
        stages: keeper.stages,
        obstacle: keeper.obstacle,
        init: keeper.init,
        home: keeper.home,
    })
}

/// What the keeper waits for, in the order of importance: a program that has ended by itself is not
/// killed for a deadline that passed in the same moment, and init has gone only when all that it
/// had to say was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Init,
    InitEnd,
    Permission,
    Home,
    Question,
    Deadline,
    CpuLook,
    Signals,
    Line,
}

impl Keeper<'_> {
    /// Waits until something happens.
    fn wait(&self) -> Result<Source, KeeperError> {
        if let Some(source) = self.has_mail() {
            return Ok(source);
        }
        let init = self.hears_init.then(|| self.init.socket.as_fd());
        let init_end = (!self.hears_init).then(|| self.init.pidfd.as_fd());
        let permission = self.permission.map(RefCell::borrow);
        let permission = permission.as_ref().and_then(|authority| authority.ready());
        let [bus, timer] = self.home.ready();
        let question = self.question.as_ref().map(StateRequest::ready);
        let sources = [
            (Source::Init, readable(init)),
            (Source::InitEnd, readable(init_end)),
            (Source::Permission, readable(permission)),
            (Source::Home, readable(bus)),
            (Source::Home, readable(timer)),
            (Source::Question, readable(question)),
            (Source::Deadline, readable(self.deadline.as_fd())),
            (Source::CpuLook, readable(self.cpu_look.as_fd())),
            (Source::Signals, readable(self.signals.as_fd())),
            (Source::Line, readable(self.signals.line())),
        ];
        loop {
            let ready = poll::first(sources, Until::Forever);
            if let Some(source) = ready.map_err(cannot("wait for events"))? {
                return Ok(source);
            }
        }
    }

    /// The source that has a message on the bus which another listener has read. It comes before
    /// everything else, and only while no program runs.
    fn has_mail(&self) -> Option<Source> {
        let permission = self.permission.map(RefCell::borrow);
        if permission.is_some_and(|authority| authority.has_mail()) {
            return Some(Source::Permission);
        }
        self.home.has_mail().then_some(Source::Home)
    }

    /// Finds out what happened.
    fn learn(&mut self, source: Source, phase: &Phase) -> Result<Option<Event>, KeeperError> {
        match source {
            Source::Init => self.hear(),
            Source::InitEnd => {
                self.init.wait().map_err(cannot("wait for init"))?;
                Ok(Some(Event::InitGone))
            }
            Source::Permission => Ok(self.take_permission()),
            Source::Home => Ok(self.take_home()),
            Source::Question => Ok(self.take_answer()),
            Source::Deadline => {
                self.deadline.unset().map_err(cannot("set a timer"))?;
                Ok(self.deadline_passed(phase))
            }
            Source::CpuLook => {
                self.cpu_look.unset().map_err(cannot("set a timer"))?;
                Ok(self.look_at_cpu_time())
            }
            Source::Signals | Source::Line => self.take_signal(),
        }
    }

    fn take_signal(&mut self) -> Result<Option<Event>, KeeperError> {
        let signal = self.signals.take().map_err(cannot("read signals"))?;
        // A sender of many signals must not keep a CPU from everybody else.
        let was_urgent = self.urgent.take().is_some();
        Ok(signal.and_then(|signal| match signal {
            Received::Interrupt(number) => Some(Event::Kill(KillReason::Interrupted(number))),
            Received::TooMuchOutput => Some(Event::Kill(KillReason::Output)),
            Received::Fatal(number) => Some(Event::Failed(format!(
                "Sandbox keeper received fatal signal {number}"
            ))),
            Received::TooBusy => was_urgent.then(|| Event::Failed(TOO_BUSY.to_owned())),
        }))
    }

    /// Goes to the next phase and does what the transition asks for. Findings and failures on the
    /// way are events of their own.
    fn step(&mut self, phase: Phase, event: Event) -> Phase {
        log::debug!("{phase:?}: {event:?}");
        let (phase, action) = phase::next(phase, event);
        let event = match action.map(|action| self.act(action)) {
            None | Some(Ok(None)) => return phase,
            Some(Ok(Some(event))) => event,
            Some(Err(message)) => Event::Failed(message),
        };
        self.step(phase, event)
    }

    fn hear(&mut self) -> Result<Option<Event>, KeeperError> {
        let message =
            ToKeeper::receive(self.init.socket.as_fd()).map_err(cannot("hear from init"))?;
        let Some((message, descriptor)) = message else {
            self.hears_init = false;
            return Ok(None);
        };
        Ok(match message {
            ToKeeper::Started => {
                self.program = descriptor;
                None
            }
            // It waits for that; should it ever not, this is where it ends.
            ToKeeper::Begun { .. } if self.permission.is_some() => Some(Event::Failed(
                "the program's process did not wait for the permission to run it".to_owned(),
            )),
            ToKeeper::Begun {
                used,
                moment,
                root_built,
            } => {
                self.figures.begin(used, moment);
                self.stages.root_built = root_built;
                self.stages.begun = Some(moment);
                Some(Event::Begun)
            }
            ToKeeper::NotBegun(obstacle) => {
                log::info!(
                    "the program did not begin: {}",
                    in_words(&obstacle, self.plan)
                );
                self.look_for_starvation(errno_of(&obstacle));
                self.obstacle = Some(obstacle);
                None
            }
            ToKeeper::Ended(exit, moment) => {
                self.figures.end(moment);
                self.stages.ended = Some(moment);
                Some(Event::Ended(self.or_starved(exit)))
            }
            ToKeeper::Empty(processes) => match self.figures.read(self.home.leaf(), processes) {
                Err(message) => Some(self.unread(message)),
                Ok(()) => Some(Event::Empty),
            },
            ToKeeper::Failed(failure) if self.look_for_starvation(failure.errno) => {
                log::info!("too little memory: {}", describe(&failure, self.plan));
                None
            }
            ToKeeper::Failed(failure) => {
                // Whatever ran so far was the sandbox, not the program.
                self.figures.forget();
                Some(Event::Failed(describe(&failure, self.plan)))
            }
        })
    }

    /// The event for figures that could not be read. Where the leaf is gone, that is the better
    /// explanation.
    fn unread(&self, message: String) -> Event {
        if self.home.leaf().is_none_or(Leaf::is_there) {
            Event::Failed(message)
        } else {
            Event::Failed(phase::INIT_GONE.to_owned())
        }
    }
}
