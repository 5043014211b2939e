//! The keeper: supervises one run from outside, in one thread and one poll loop.
//!
//! [`phase`] decides, this file does. Every wait of a run is in [`Keeper::wait`]: for init and the
//! program, for the scope, for deadlines and for signals.

mod looks;
mod meter;
mod phase;
mod signals;

pub(crate) use signals::Signals;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::cgroup::{Leaf, LeafUsage, Subtree};
use crate::error::chain;
use crate::launch::Init;
use crate::launch::failure::describe;
use crate::launch::message::{ToInit, ToKeeper};
use crate::plan::RunPlan;
use crate::report::{Ending, KillReason, Usage};
use crate::sys::process::{self, ResourceUsage};
use crate::systemd::ScopeRequest;
use crate::timer::Timer;
use looks::next_look;
use meter::Meter;
use phase::{Action, Event, Phase};

/// How long the set-up may take. A busy systemd has been seen to need seconds.
const SETUP_PATIENCE: Duration = Duration::from_secs(60);
/// How long the program may take to die when it was killed, before init is killed as well.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

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
    /// The scope was asked for.
    Requested(ScopeRequest),
    /// They are set up, and init is in its own.
    Ready(Subtree),
}

/// What the keeper found.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How the run ended.
    pub(crate) ending: Ending,
    /// What it used; `None` when the program never ran.
    pub(crate) usage: Option<Usage>,
    /// What held the program, in words.
    pub(crate) holder: String,
    /// The cgroups, to be given back.
    pub(crate) subtree: Option<Subtree>,
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
    holder: String,
    signals: &'a Signals,
    /// The patience with the set-up, then the wall limit, then the patience with a kill.
    deadline: Timer,
    cpu_look: Timer,
    program: Option<OwnedFd>,
    /// What the program's process had used when it was ready.
    used_before: ResourceUsage,
    meter: Option<Meter>,
    started: Option<Instant>,
    ended: Option<Instant>,
    usage: Option<Usage>,
}

/// Supervises a run from the moment its init was cloned until everything of it is gone.
pub(crate) fn supervise(
    plan: &RunPlan,
    init: Init,
    cgroups: CgroupState,
    signals: &Signals,
) -> Result<Outcome, KeeperError> {
    let has_cgroup = !matches!(cgroups, CgroupState::Requested(_));
    let mut keeper = Keeper {
        plan,
        parallel: plan.parallel(available_cpus().map_err(cannot("count the CPUs"))?),
        init,
        hears_init: true,
        cgroups,
        holder: "namespaces and rlimits, no cgroup".to_owned(),
        signals,
        deadline: Timer::new().map_err(cannot("make a timer"))?,
        cpu_look: Timer::new().map_err(cannot("make a timer"))?,
        program: None,
        used_before: ResourceUsage::default(),
        meter: None,
        started: None,
        ended: None,
        usage: None,
    };
    if let CgroupState::Ready(subtree) = &keeper.cgroups {
        keeper.holder = format!("the cgroup {}", subtree.path().display());
    }
    keeper
        .deadline
        .set(Some(SETUP_PATIENCE))
        .map_err(cannot("set a timer"))?;
    let mut phase = Phase::SettingUp {
        root_built: false,
        has_cgroup,
    };
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
        CgroupState::None | CgroupState::Requested(_) => None,
    };
    Ok(Outcome {
        ending,
        usage: keeper.usage,
        holder: keeper.holder,
        subtree,
    })
}

/// The CPUs that this process, and so the program, may run on (sched_getaffinity(2)).
fn available_cpus() -> nix::Result<usize> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
    Ok((0..nix::sched::CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
        .count())
}

/// What the keeper waits for, what matters first first: a program that has ended by itself is not
/// killed for a deadline that passed in the same moment, and init has gone only when all that it had
/// to say was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Init,
    InitEnd,
    Scope,
    Deadline,
    CpuLook,
    Signals,
}

impl Keeper<'_> {
    /// Waits until something happens.
    fn wait(&self) -> Result<Source, KeeperError> {
        let mut sources = vec![
            (Source::Deadline, self.deadline.as_fd()),
            (Source::CpuLook, self.cpu_look.as_fd()),
            (Source::Signals, self.signals.as_fd()),
        ];
        if let CgroupState::Requested(request) = &self.cgroups {
            sources.insert(0, (Source::Scope, request.ready()));
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

    /// Finds out what happened.
    fn learn(&mut self, source: Source, phase: &Phase) -> Result<Option<Event>, KeeperError> {
        match source {
            Source::Init => self.hear(),
            Source::InitEnd => {
                process::wait_for(self.init.pidfd.as_fd()).map_err(cannot("wait for init"))?;
                Ok(Some(Event::InitGone))
            }
            Source::Scope => Ok(self.take_scope()),
            Source::Deadline => {
                self.deadline.set(None).map_err(cannot("set a timer"))?;
                Ok(self.deadline_passed(phase))
            }
            Source::CpuLook => {
                self.cpu_look.set(None).map_err(cannot("set a timer"))?;
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

    fn hear(&mut self) -> Result<Option<Event>, KeeperError> {
        let message =
            ToKeeper::receive(self.init.socket.as_fd()).map_err(cannot("hear from init"))?;
        let Some((message, descriptor)) = message else {
            self.hears_init = false;
            return Ok(None);
        };
        Ok(Some(match message {
            ToKeeper::RootBuilt => Event::RootBuilt,
            ToKeeper::Started => {
                self.program = descriptor;
                Event::Started
            }
            ToKeeper::Prepared(used) => {
                self.used_before = used;
                Event::Prepared
            }
            ToKeeper::Ended(exit) => {
                self.ended = Some(Instant::now());
                Event::Ended(exit)
            }
            ToKeeper::Empty(processes) => {
                match self.read_usage(processes) {
                    Ok(usage) => self.usage = usage,
                    Err(message) => return Ok(Some(Event::Failed(message))),
                }
                Event::Empty
            }
            ToKeeper::Failed(failure) => {
                // Whatever ran so far was the sandbox, not the program.
                self.started = None;
                Event::Failed(describe(&failure, self.plan))
            }
        }))
    }

    /// Hears systemd, and sets up the cgroups in the scope once it is there.
    fn take_scope(&mut self) -> Option<Event> {
        let CgroupState::Requested(request) = &mut self.cgroups else {
            return None;
        };
        let scope = match request.proceed() {
            Ok(None) => return None,
            Ok(Some(scope)) => scope,
            Err(error) => {
                self.cgroups = CgroupState::None;
                return Some(Event::Failed(chain(&error)));
            }
        };
        self.holder = format!("the systemd scope {}", scope.unit);
        log::info!("init {} is in {}", self.init.pid, scope.path.display());
        match Subtree::in_scope(&scope.path, self.init.pid, &self.plan.leaf) {
            Ok(subtree) => {
                self.cgroups = CgroupState::Ready(subtree);
                Some(Event::CgroupReady)
            }
            Err(error) => {
                self.cgroups = CgroupState::None;
                Some(Event::Failed(chain(&error)))
            }
        }
    }

    fn deadline_passed(&self, phase: &Phase) -> Option<Event> {
        match phase {
            Phase::SettingUp { .. } | Phase::Starting { .. } => {
                let what = match self.cgroups {
                    CgroupState::Requested(_) => {
                        "systemd did not start the scope of the run (is it hung? see systemctl list-jobs)"
                    }
                    CgroupState::None | CgroupState::Ready(_) => "the sandbox was not set up",
                };
                Some(Event::Failed(format!(
                    "{what} within {} s",
                    SETUP_PATIENCE.as_secs()
                )))
            }
            Phase::Running => Some(Event::Kill(KillReason::WallTime)),
            Phase::Ending(_) => {
                log::warn!("the program does not die; killing init");
                drop(self.kill_init());
                None
            }
            Phase::Leaving(_) | Phase::Over(_) => None,
        }
    }

    /// Kills above the limit, or finds the moment of the next look.
    fn look_at_cpu_time(&self) -> Option<Event> {
        let (limit, meter) = (self.plan.deadlines.cpu_kill()?, self.meter.as_ref()?);
        let used = match meter.so_far(self.leaf()) {
            Ok(Some(used)) => used,
            // The process has gone; what it used comes with its end.
            Ok(None) => return None,
            Err(error) => return Some(Event::Failed(chain(&error))),
        };
        if used > limit {
            return Some(Event::Kill(KillReason::CpuTime));
        }
        let next = next_look(used, limit, self.parallel);
        self.cpu_look
            .set(Some(next))
            .err()
            .map(|errno| Event::Failed(chain(&cannot("set a timer")(errno))))
    }

    /// Does what a transition asks for; the error is the message of the failure.
    fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Go => {
                let leaf = self.leaf().map(Leaf::as_fd);
                self.tell(ToInit::Go, leaf)
            }
            Action::Run => self.start_clock(),
            Action::KillProgram => self.kill_program(),
            Action::KillInit => self.kill_init().map_err(|error| chain(&error)),
            Action::Leave => self.tell(ToInit::Leave, None),
        }
    }

    fn leaf(&self) -> Option<&Leaf> {
        match &self.cgroups {
            CgroupState::Ready(subtree) => Some(subtree.leaf()),
            CgroupState::None | CgroupState::Requested(_) => None,
        }
    }

    fn tell(
        &self,
        message: ToInit,
        descriptor: Option<std::os::fd::BorrowedFd<'_>>,
    ) -> Result<(), String> {
        match message.send(self.init.socket.as_fd(), descriptor) {
            // Its end is an event of its own, and a better explanation.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => Ok(()),
            other => other.map_err(|error| chain(&cannot("talk to init")(error))),
        }
    }

    /// The program's process waits, so what it has used until here is known exactly and is not its own.
    fn start_clock(&mut self) -> Result<(), String> {
        let program = self.program.as_ref().map(AsFd::as_fd);
        self.meter = Some(
            Meter::start(self.leaf(), program, self.used_before).map_err(|error| chain(&error))?,
        );
        let deadlines = self.plan.deadlines;
        let timer = |errno| chain(&cannot("set a timer")(errno));
        self.started = Some(Instant::now());
        self.deadline.set(deadlines.wall).map_err(timer)?;
        if let Some(limit) = deadlines.cpu_kill() {
            let first = next_look(Duration::ZERO, limit, self.parallel);
            self.cpu_look.set(Some(first)).map_err(timer)?;
        }
        self.tell(ToInit::Run, None)
    }

    /// Kills all of the program: the leaf at one stroke; without one, the main process, after whose end
    /// init kills the rest.
    fn kill_program(&mut self) -> Result<(), String> {
        self.deadline
            .set(Some(KILL_PATIENCE))
            .map_err(|errno| chain(&cannot("set a timer")(errno)))?;
        self.cpu_look
            .set(None)
            .map_err(|errno| chain(&cannot("set a timer")(errno)))?;
        if let Some(leaf) = self.leaf() {
            return leaf.kill().map_err(|error| chain(&error));
        }
        match self
            .program
            .as_ref()
            .map(|program| process::send_signal(program.as_fd(), libc::SIGKILL))
        {
            None | Some(Ok(())) => Ok(()),
            Some(Err(error)) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            Some(Err(error)) => Err(chain(&cannot("kill the program")(error))),
        }
    }

    fn kill_init(&self) -> Result<(), KeeperError> {
        match process::send_signal(self.init.pidfd.as_fd(), libc::SIGKILL) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                Err(cannot("kill init")(error))
            }
            _ => Ok(()),
        }
    }

    /// Every figure of the run, read while init holds the cgroups.
    fn read_usage(&self, processes: ResourceUsage) -> Result<Option<Usage>, String> {
        let (Some(started), Some(meter)) = (self.started, &self.meter) else {
            return Ok(None);
        };
        let ended = self.ended.unwrap_or_else(Instant::now);
        let cpu = meter
            .total(self.leaf(), Some(&processes))
            .map_err(|error| chain(&error))?;
        let leaf = self
            .leaf()
            .map_or(Ok(LeafUsage::default()), Leaf::usage)
            .map_err(|error| chain(&error))?;
        let before = &self.used_before;
        Ok(cpu.map(|cpu| Usage {
            cpu,
            wall: ended.duration_since(started),
            processes: Some(ResourceUsage {
                // The process had to wait once for the word to run.
                voluntary_switches: processes
                    .voluntary_switches
                    .saturating_sub(before.voluntary_switches + 1),
                forced_switches: processes
                    .forced_switches
                    .saturating_sub(before.forced_switches),
                ..processes
            }),
            leaf,
        }))
    }
}
