//! The scope of a run: asked for ahead, awaited in the keeper's poll loop, verified in `/proc`.
//! Also the quota of a slice, the state of units, and a survey of services. What is in the cgroup
//! of a scope is not set up here.
//!
//! Asking and using are apart: [`Bus::connect`] begins the handshake with the bus, and
//! [`ScopeRequest::start`] asks. The keeper polls [`ScopeRequest::ready`] beside everything else,
//! and sets the deadline. Nothing here blocks, and there are no threads.

mod attempt;
mod cpu_quota;
mod error;
mod inquiry;
mod line;
mod name;
mod slice;
mod state;
mod survey;
mod unit;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use attempt::{Attempt, Line};
pub(crate) use cpu_quota::ensure as ensure_cpu_quota;
pub(crate) use error::ScopeError;
pub(crate) use inquiry::Inquiry;
pub(crate) use line::{connect, is_there};
pub(crate) use name::is_scope;
use name::unit_name;
pub(crate) use slice::{manager_path, slice_of_user, slice_path};
pub(crate) use state::StateRequest;
#[cfg(test)]
pub(crate) use survey::UnitState;
pub(crate) use survey::{SliceLimits, Survey};
use unit::{Answer, ENTRY_PATIENCE, Start};

use crate::bus::{Bus, BusError};
use crate::cgroup::hierarchy;
use crate::clock::Timer;
use crate::error::chain;
use crate::quantity::BoxId;
use crate::sys::poll::{self, Until, readable};
use crate::way;

/// The scope that systemd is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScopeSpec {
    /// The box of the run: see [`prefix`](Self::prefix).
    pub(crate) box_id: BoxId,
    /// A digest of where the locks of boxes are. Another configuration has other locks, and boxes
    /// with the same numbers that these say nothing about.
    pub(crate) locks: u32,
    /// The user whose run it is.
    pub(crate) uid: u32,
    /// The slice that the scope is in.
    pub(crate) slice: String,
    /// Where the control groups are.
    pub(crate) mount_point: PathBuf,
    /// The controllers to make available in the scope.
    pub(crate) controllers: Vec<String>,
    /// The age at which systemd itself ends the scope, in case the keeper was stopped.
    pub(crate) runtime_max: Option<Duration>,
    /// Whether it is there for the runs that follow, too, as long as somebody keeps it.
    pub(crate) outlasts_runs: bool,
    /// Whether the process that it is made around only keeps it, for runs to come.
    pub(crate) is_kept: bool,
}

impl ScopeSpec {
    /// The cgroup of the slice.
    pub(crate) fn slice_cgroup(&self) -> PathBuf {
        let manager = self.mount_point.join(manager_path());
        manager.join(slice_path(&self.slice))
    }

    /// The same for a run whose time limits are not known: init ends it at these limits, too.
    pub(crate) fn of_any_time(self) -> Self {
        Self {
            runtime_max: None,
            ..self
        }
    }

    /// What the names of scopes of this box begin with: `isolate-BOX-LOCKS`, then random digits.
    pub(crate) fn prefix(&self) -> String {
        format!("isolate-{}-{:08x}", self.box_id, self.locks)
    }

    /// The text that `systemctl status` shows. It goes into the journal, so no user ever chooses
    /// it.
    fn description(&self) -> String {
        // Other names would have to be looked up, on the way of a run.
        let user = match way::outside(self.uid) {
            0 => "root".to_owned(),
            uid => format!("uid {uid}"),
        };
        let (id, own) = (self.box_id, std::process::id());
        match self.is_kept {
            true => format!(
                "isolate-run: kept for programs in box {id} for {user} (isolate-holder is PID {own})"
            ),
            false => {
                format!("isolate-run: a program in box {id} for {user} (keeper is PID {own})")
            }
        }
    }
}

/// The process that a scope is made around.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<'a> {
    pub(crate) pid: i32,
    pub(crate) pidfd: BorrowedFd<'a>,
}

/// A scope that was asked for.
#[derive(Debug)]
pub(crate) struct ScopeRequest {
    spec: ScopeSpec,
    held_pid: i32,
    held_pidfd: OwnedFd,
    /// Whether the scope has been seen to hold its process.
    is_there: bool,
    attempt: Attempt,
    /// How many attempts there were.
    attempts: usize,
    /// How many early looks are still to be taken.
    early_looks: u32,
    /// Reports when the pause is over, or when it is time to look whether systemd has done what was
    /// asked without saying so.
    timer: Timer,
}

/// The time between two looks at `/proc`. A systemd that was replaced by itself (daemon-reexec)
/// goes on with its jobs, but may have forgotten whom to tell.
const LOOK: Duration = Duration::from_millis(500);

/// The time between two of the [`EARLY_LOOKS`]. systemd moves the process long before the bus says
/// so, and makes the cgroup with all that the unit has before that: the bus first tells everybody
/// else of the unit.
const EARLY_LOOK: Duration = Duration::from_micros(100);
/// How many early looks there are, after systemd has taken the job. A move that takes longer waits
/// for the kernel, and the little time that could be gained then does not matter.
const EARLY_LOOKS: u32 = 20;

/// How long systemd may take to hear that nobody needs a scope any more.
const TAKE_BACK: Duration = Duration::from_secs(2);

/// What a request that is given up waits for.
#[derive(Debug, Clone, Copy)]
enum Seen {
    /// The end of the process.
    End,
    /// Something on the bus.
    Answer,
}

impl ScopeRequest {
    /// Asks for a scope around a process, over a connection that was opened before.
    pub(crate) fn start(
        bus: Result<Bus, BusError>,
        spec: ScopeSpec,
        held: Held<'_>,
    ) -> Result<Self, ScopeError> {
        let unit = unit_name(&spec);
        let held_pidfd = held.pidfd.try_clone_to_owned();
        let held_pidfd = held_pidfd.map_err(ScopeError::Descriptor)?;
        let begun = bus.and_then(|bus| Start::begin(bus, unit.clone(), &spec, held));
        let timer = Timer::new().map_err(ScopeError::Timer)?;
        let attempt = Attempt::follow(begun, unit, 1, &timer)?;
        Ok(Self {
            spec,
            held_pid: held.pid,
            held_pidfd,
            is_there: false,
            attempt,
            attempts: 1,
            early_looks: 0,
            timer,
        })
    }

    /// Whether systemd may know of the request.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(&self.attempt, Attempt::Asked(start) if start.bus().has_sent())
    }

    /// Whether [`Self::proceed`] has something to do now.
    pub(crate) fn has_mail(&self) -> bool {
        matches!(&self.attempt, Attempt::Asked(start) if start.bus().has_mail())
    }

    /// One of them is readable when [`Self::proceed`] has something to do.
    pub(crate) fn ready(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let bus = match &self.attempt {
            Attempt::Asked(start) => Some(start.bus().as_fd()),
            Attempt::Paused(..) => None,
        };
        bus.into_iter().chain([self.timer.as_fd()])
    }

    /// Ends the request for a process that was told to end, which it does only after it was moved.
    /// Returns when it has ended, when systemd has refused to move it, or when `patience` is over.
    pub(crate) fn give_up(&mut self, patience: Duration) {
        let Attempt::Asked(start) = &mut self.attempt else {
            return;
        };
        let until = Until::within(patience);
        let mut refused = start.is_refused();
        loop {
            let bus = match refused {
                Ok(true) => return,
                Ok(false) => Some(start.bus().as_fd()),
                // The bus says nothing any more, but systemd may still do what was asked.
                Err(_) => None,
            };
            let sources = [
                (Seen::End, readable(self.held_pidfd.as_fd())),
                (Seen::Answer, readable(bus)),
            ];
            match poll::first(sources, until) {
                Ok(Some(Seen::Answer)) => refused = start.is_refused(),
                Ok(Some(Seen::End) | None) | Err(_) => return,
            }
        }
    }

    /// Goes on with the request as far as possible without waiting. Returns the cgroup of the scope
    /// that holds its process, or `None` when there is no answer yet.
    pub(crate) fn proceed(&mut self) -> Result<Option<PathBuf>, ScopeError> {
        let scope = self.go_on()?;
        self.is_there |= scope.is_some();
        Ok(scope)
    }

    fn go_on(&mut self) -> Result<Option<PathBuf>, ScopeError> {
        let held = Held {
            pid: self.held_pid,
            pidfd: self.held_pidfd.as_fd(),
        };
        match &mut self.attempt {
            Attempt::Asked(start) => {
                let unit = start.unit().to_owned();
                match start.proceed(&self.spec, held) {
                    Ok(Answer::Started) => self.verify(unit, Ok(())),
                    Ok(Answer::Queued) => {
                        self.early_looks = EARLY_LOOKS;
                        self.timer
                            .set_after(EARLY_LOOK)
                            .map_err(ScopeError::Timer)?;
                        Ok(None)
                    }
                    Ok(Answer::None) if start.is_passed_on() => self.look(&unit),
                    Ok(Answer::None) => {
                        self.give_up_the_bus()?;
                        Ok(None)
                    }
                    Err(error) => self.verify(unit, Err(error)),
                }
            }
            Attempt::Paused(last, line) => {
                let (last, line) = (std::mem::take(last), *line);
                if let Some(scope) = self.scope_of_held(&last) {
                    return Ok(Some(scope));
                }
                self.attempts += 1;
                self.early_looks = 0;
                let unit = unit_name(&self.spec);
                let bus = match line {
                    Line::Bus(carries) => line::connect(carries),
                    Line::Directly => line::undisturbed(),
                };
                let begun = bus.and_then(|bus| Start::begin(bus, unit.clone(), &self.spec, held));
                self.attempt = Attempt::follow(begun, unit, self.attempts, &self.timer)?;
                Ok(None)
            }
        }
    }

    /// Asks directly, when it is time, since the bus does not pass the call on.
    fn give_up_the_bus(&mut self) -> Result<(), ScopeError> {
        let Attempt::Asked(start) = &self.attempt else {
            return Ok(());
        };
        if !self.timer.has_reported().map_err(ScopeError::Timer)? {
            return Ok(());
        }
        if !start.is_overdue() {
            return self
                .timer
                .set_after(ENTRY_PATIENCE)
                .map_err(ScopeError::Timer);
        }
        log::info!("the system bus does not answer; asking systemd directly");
        let held = Held {
            pid: self.held_pid,
            pidfd: self.held_pidfd.as_fd(),
        };
        let begun = line::directly().and_then(|systemd| start.again(systemd, &self.spec, held));
        match begun {
            Ok(start) => self.attempt = Attempt::Asked(Box::new(start)),
            // Then the bus is waited for.
            Err(error) => log::debug!("{}", chain(&error)),
        }
        self.timer.set_after(LOOK).map_err(ScopeError::Timer)
    }

    /// Looks, when it is time, whether the process is in the unit although nobody said so.
    fn look(&mut self, unit: &str) -> Result<Option<PathBuf>, ScopeError> {
        if !self.timer.has_reported().map_err(ScopeError::Timer)? {
            return Ok(None);
        }
        self.early_looks = self.early_looks.saturating_sub(1);
        let next = if self.early_looks == 0 {
            LOOK
        } else {
            EARLY_LOOK
        };
        self.timer.set_after(next).map_err(ScopeError::Timer)?;
        Ok(self.scope_of_held(unit))
    }

    /// Verifies the answer in `/proc`, which is the truth whatever the bus says: the call in flight
    /// during `systemctl daemon-reexec` fails although systemd goes on to do what it asked for.
    fn verify(
        &mut self,
        unit: String,
        answer: Result<(), BusError>,
    ) -> Result<Option<PathBuf>, ScopeError> {
        match (self.scope_of_held(&unit), answer) {
            (Some(scope), _) => Ok(Some(scope)),
            (None, Ok(())) => {
                let found = self.cgroup_of_held();
                Err(ScopeError::NotThere { unit, found })
            }
            (None, Err(error)) => {
                self.attempt = Attempt::follow(Err(error), unit, self.attempts, &self.timer)?;
                Ok(None)
            }
        }
    }

    fn cgroup_of_held(&self) -> Option<PathBuf> {
        hierarchy::cgroup_of(&self.held_pid.to_string()).ok()?
    }

    /// The cgroup of the scope, if the process is in it.
    fn scope_of_held(&self, unit: &str) -> Option<PathBuf> {
        let path = self.cgroup_of_held()?;
        (path.file_name()? == unit).then(|| self.spec.mount_point.join(path))
    }
}

impl Drop for ScopeRequest {
    /// Takes a scope back that nobody has seen to hold its process. systemd does not notice when
    /// that was dying already while it was moved, and would keep a scope without any process for
    /// ever.
    fn drop(&mut self) {
        if let (false, Attempt::Asked(start)) = (self.is_there, &mut self.attempt) {
            if start.bus().has_sent() {
                let sent = start.take_back(Instant::now() + TAKE_BACK);
                log::debug!("{} is taken back: {sent:?}", start.unit());
            }
        }
    }
}

/// Builds a request and sends it to nobody.
pub(crate) fn rehearse() {
    let spec = ScopeSpec {
        box_id: BoxId(0),
        locks: 0,
        uid: 0,
        slice: String::new(),
        mount_point: PathBuf::new(),
        controllers: vec!["pids".to_owned()],
        runtime_max: None,
        outlasts_runs: false,
        is_kept: false,
    };
    unit::rehearse(&unit_name(&spec), &spec);
}
