//! The keeper: supervises one run from outside, in one thread and one poll loop.
//!
//! [`phase`] decides, [`actions`] does. Every wait of a run is in [`Keeper::wait`]: for init and the
//! program, for systemd, for deadlines and for signals.

mod actions;
mod figures;
mod looks;
mod meter;
mod phase;
mod signals;
mod systemd;

pub(crate) use signals::{Signals, watch};

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::cgroup::{Leaf, Subtree};
use crate::clock::{Moment, Timer};
use crate::failure::Explained;
use crate::launch::failure::describe;
use crate::launch::message::ToKeeper;
use crate::launch::{Holder, Init, LEAVE_PATIENCE, online_cpus};
use crate::plan::RunPlan;
use crate::polkit::Authority;
use crate::report::{Ending, KillReason, Stages, Usage};
use crate::sys::priority::Urgent;
use crate::sys::process::Exit;
use crate::systemd::{ScopeRequest, StateRequest};
use figures::Figures;
use looks::Looks;
use phase::{Event, Phase};

/// How long the set-up may take. A busy systemd has been seen to need seconds.
const SETUP_PATIENCE: Duration = Duration::from_secs(60);
/// How long the program may take to die when it was killed, before init is killed as well.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// The program died of SIGKILL, which nobody here had sent.
const DIED_OF_KILL: Phase = Phase::Ending(Ending::Program(Exit::Signal(libc::SIGKILL)));

/// The keeper itself could not go on: the run is over, and what it left dies with init.
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

/// Where the cgroups of a run stand.
#[derive(Debug)]
pub(crate) enum CgroupState {
    /// The run has none.
    None,
    /// The scope was asked for: around init, or ahead, around a holder.
    Requested(ScopeRequest, Option<Holder>),
    /// They are set up, and init is in its own.
    Ready(Subtree),
}

impl CgroupState {
    /// Comes before the end of init. While systemd may be about to move it, it must not be killed, but ends by itself, for
    /// which this waits.
    pub(crate) fn part_with(&mut self, init: &Init) {
        if let Self::Requested(request, None) = self {
            if request.is_under_way() {
                init.let_go();
                request.give_up(LEAVE_PATIENCE);
            }
        }
    }

    fn leaf(&self) -> Option<&Leaf> {
        match self {
            Self::Ready(subtree) => Some(subtree.leaf()),
            Self::None | Self::Requested(..) => None,
        }
    }
}

/// What the keeper found.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How the run ended.
    pub(crate) ending: Ending,
    /// What it used; `None` when the program never ran.
    pub(crate) usage: Option<Usage>,
    /// The unit of its scope.
    pub(crate) unit: Option<String>,
    /// When what was reached.
    pub(crate) stages: Stages,
    /// The cgroups, to be given back when init has ended.
    pub(crate) subtree: Option<Subtree>,
    /// init: on its way out, and alone in its PID namespace; dropping it waits for its end.
    pub(crate) init: Init,
}

/// One run under supervision.
struct Keeper<'a> {
    plan: &'a RunPlan,
    /// How many CPUs the program can keep busy at once.
    parallel: u32,
    init: Init,
    /// Whether init or the program can still be heard.
    hears_init: bool,
    cgroups: CgroupState,
    /// The unit of the run's scope, and the question whether systemd is stopping it.
    unit: Option<String>,
    question: Option<StateRequest>,
    stages: Stages,
    signals: &'a Signals<'a>,
    /// Where it is said whether the caller may run it, until that has been said.
    permission: Option<&'a RefCell<Authority>>,
    /// The patience with the set-up, then the wall limit, then the patience with a kill.
    deadline: Timer,
    cpu_look: Timer,
    looks: Looks,
    /// While limits are watched.
    urgent: Option<Urgent>,
    program: Option<OwnedFd>,
    figures: Figures,
}

/// Supervises a run from the moment its init was cloned until all processes but init are dead.
pub(crate) fn supervise(
    plan: &RunPlan,
    init: Init,
    cgroups: CgroupState,
    signals: &Signals<'_>,
    permission: Option<&RefCell<Authority>>,
) -> Result<Outcome, KeeperError> {
    let has_cgroup = !matches!(cgroups, CgroupState::Requested(..));
    let unit = match &cgroups {
        CgroupState::Ready(subtree) => subtree.unit(),
        CgroupState::None | CgroupState::Requested(..) => None,
    };
    let mut keeper = Keeper {
        plan,
        // Whatever the caller's affinity is: the program can change its own.
        parallel: plan.parallel(online_cpus().map_err(cannot("count the CPUs"))?),
        init,
        hears_init: true,
        cgroups,
        question: None,
        stages: Stages {
            laid_out: Moment::now().ok(),
            // A scope that was made ahead.
            cgroup_ready: unit.as_ref().and_then(|_| Moment::now().ok()),
            ..Stages::default()
        },
        unit,
        signals,
        permission,
        deadline: Timer::new().map_err(cannot("make a timer"))?,
        cpu_look: Timer::new().map_err(cannot("make a timer"))?,
        looks: Looks::default(),
        urgent: None,
        program: None,
        figures: Figures::default(),
    };
    keeper
        .deadline
        .set_after(SETUP_PATIENCE)
        .map_err(cannot("set a timer"))?;
    let mut phase = Phase::SettingUp {
        root_built: false,
        has_cgroup,
    };
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
    let subtree = match keeper.cgroups {
        CgroupState::Ready(subtree) => Some(subtree),
        CgroupState::None | CgroupState::Requested(..) => None,
    };
    Ok(Outcome {
        ending,
        usage: keeper.figures.usage(),
        unit: keeper.unit,
        stages: keeper.stages,
        subtree,
        init: keeper.init,
    })
}

/// What the keeper waits for, what matters first first: a program that has ended by itself is not
/// killed for a deadline that passed in the same moment, and init has gone only when all that it had
/// to say was heard. Before all that comes what another one has read from the bus ([`Keeper::has_mail`]): only while
/// no program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Init,
    InitEnd,
    Systemd,
    Permission,
    Deadline,
    CpuLook,
    Signals,
}

impl Keeper<'_> {
    /// Waits until something happens.
    fn wait(&self) -> Result<Source, KeeperError> {
        if let Some(source) = self.has_mail() {
            return Ok(source);
        }
        let mut sources = vec![
            (Source::Deadline, self.deadline.as_fd()),
            (Source::CpuLook, self.cpu_look.as_fd()),
        ];
        sources.extend(self.signals.ready().map(|fd| (Source::Signals, fd)));
        if let CgroupState::Requested(request, _) = &self.cgroups {
            for fd in request.ready() {
                sources.insert(0, (Source::Systemd, fd));
            }
        }
        if let Some(question) = &self.question {
            sources.insert(0, (Source::Systemd, question.ready()));
        }
        let permission = self.permission.map(RefCell::borrow);
        if let Some(ready) = permission.as_ref().and_then(|authority| authority.ready()) {
            sources.insert(0, (Source::Permission, ready));
        }
        sources.insert(
            0,
            if self.hears_init {
                (Source::Init, self.init.socket.as_fd())
            } else {
                (Source::InitEnd, self.init.pidfd.as_fd())
            },
        );
        let mut polled: Vec<_> = sources
            .iter()
            .map(|(_, fd)| PollFd::new(*fd, PollFlags::POLLIN))
            .collect();
        loop {
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(cannot("wait for events")(errno)),
            }
            let ready = polled
                .iter()
                .position(|fd| fd.revents().is_some_and(|events| !events.is_empty()));
            if let Some((source, _)) = ready.and_then(|at| sources.get(at)) {
                return Ok(*source);
            }
        }
    }

    /// Who has been sent something that came over the bus while another one listened there.
    fn has_mail(&self) -> Option<Source> {
        let permission = self.permission.map(RefCell::borrow);
        if permission.is_some_and(|authority| authority.has_mail()) {
            return Some(Source::Permission);
        }
        match &self.cgroups {
            CgroupState::Requested(request, _) if request.has_mail() => Some(Source::Systemd),
            _ => None,
        }
    }

    /// Finds out what happened.
    fn learn(&mut self, source: Source, phase: &Phase) -> Result<Option<Event>, KeeperError> {
        match source {
            Source::Init => self.hear(phase),
            Source::InitEnd => {
                self.init.wait().map_err(cannot("wait for init"))?;
                Ok(Some(Event::InitGone))
            }
            Source::Permission => Ok(self.take_permission()),
            Source::Systemd if self.question.is_some() => Ok(self.take_answer()),
            Source::Systemd => Ok(self.take_scope()),
            Source::Deadline => {
                self.deadline.unset().map_err(cannot("set a timer"))?;
                Ok(self.deadline_passed(phase))
            }
            Source::CpuLook => {
                self.cpu_look.unset().map_err(cannot("set a timer"))?;
                Ok(self.look_at_cpu_time())
            }
            Source::Signals => {
                let signal = self.signals.take().map_err(cannot("read signals"))?;
                Ok(signal.map(|signal| match signal {
                    signals::Received::Interrupt(number) => {
                        Event::Kill(KillReason::Interrupted(number))
                    }
                    signals::Received::Fatal(number) => {
                        Event::Failed(format!("Sandbox keeper received fatal signal {number}"))
                    }
                }))
            }
        }
    }

    /// Goes to the next phase and does what is to be done on the way. What fails there is an event.
    fn step(&mut self, phase: Phase, event: Event) -> Phase {
        log::debug!("{phase:?}: {event:?}");
        let (phase, action) = phase::next(phase, event);
        match action.map_or(Ok(()), |action| self.act(action)) {
            Ok(()) => phase,
            Err(message) => self.step(phase, Event::Failed(message)),
        }
    }

    fn hear(&mut self, phase: &Phase) -> Result<Option<Event>, KeeperError> {
        let message =
            ToKeeper::receive(self.init.socket.as_fd()).map_err(cannot("hear from init"))?;
        let Some((message, descriptor)) = message else {
            self.hears_init = false;
            return Ok(None);
        };
        Ok(match message {
            ToKeeper::RootBuilt => {
                self.stages.root_built = Moment::now().ok();
                Some(Event::RootBuilt)
            }
            ToKeeper::Started => {
                self.program = descriptor;
                None
            }
            // It waits for that; should it ever not, this is where it ends.
            ToKeeper::Begun(..) if self.permission.is_some() => Some(Event::Failed(
                "the program's process did not wait for the permission to run it".to_owned(),
            )),
            ToKeeper::Begun(used, moment) => {
                self.figures.begin(used, moment);
                self.stages.begun = Some(moment);
                Some(Event::Begun)
            }
            ToKeeper::Ended(exit, moment) => {
                self.figures.end(moment);
                self.stages.ended = Some(moment);
                Some(match phase {
                    Phase::Starting if self.was_oom() => Event::Failed(
                        "the kernel killed the program's process for memory before it could start: the memory \
                         limit of the run is too small for its set-up"
                            .to_owned(),
                    ),
                    _ => Event::Ended(exit),
                })
            }
            ToKeeper::Empty(processes) => match self.figures.read(self.cgroups.leaf(), processes) {
                Err(_) if !self.cgroups.leaf().is_none_or(Leaf::is_there) => {
                    Some(Event::Failed(phase::INIT_GONE.to_owned()))
                }
                Err(message) => Some(Event::Failed(message)),
                Ok(()) if self.was_oom_outside(phase) => {
                    Some(Event::Failed(phase::OOM_OUTSIDE.to_owned()))
                }
                Ok(()) if self.is_unexplained(phase) => self.explain_kill(),
                Ok(()) => Some(Event::Empty),
            },
            ToKeeper::Failed(failure) => {
                // Whatever ran so far was the sandbox, not the program.
                self.figures.forget();
                Some(Event::Failed(describe(&failure, self.plan)))
            }
        })
    }
}
