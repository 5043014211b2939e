//! What the keeper does: tells init, watches limits, kills.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::phase::{Action, Event, Phase};
use super::{KILL_PATIENCE, Keeper, KeeperError, SETUP_PATIENCE, cannot};
use crate::barrier::Barrier;
use crate::cgroup::Leaf;
use crate::clock::Moment;
use crate::error::chain;
use crate::launch::message::FromKeeper;
use crate::report::KillReason;
use crate::sys::priority::Urgent;
use crate::sys::process;

/// The longest look, in CPU time, that a keeper at real-time priority may take. A longer one means
/// that the program has very many threads, perhaps on purpose.
const URGENT_LOOK: Duration = Duration::from_micros(500);

/// A keeper that wakes up this late at real-time priority is held up by that priority: the budget
/// of its group is used up, or others have a higher one. An ordinary priority helps it then.
const LATE: Duration = Duration::from_millis(50);

impl Keeper<'_> {
    /// Does what a transition asks for. Returns what it found, if it was to find something; the
    /// error is the message of the failure.
    pub(super) fn act(&mut self, action: Action) -> Result<Option<Event>, String> {
        match action {
            Action::LookForTraces => return Ok(Some(Event::Traced(self.traces()))),
            Action::AskSystemd => return Ok(self.ask_systemd()),
            Action::Go => {
                let leaf = self.home.leaf().map(Leaf::as_fd);
                self.tell(FromKeeper::Go, leaf)
            }
            Action::Permit => self.tell(FromKeeper::Permitted, None),
            Action::WatchLimits => self.watch_limits(),
            Action::KillProgram => self.kill_program(),
            Action::KillInit => self.kill_init().map_err(|error| chain(&error)),
            Action::Leave => self.tell(FromKeeper::Leave, None),
        }
        .map(|()| None)
    }

    fn tell(&self, message: FromKeeper, descriptor: Option<BorrowedFd<'_>>) -> Result<(), String> {
        match message.send(self.init.socket.as_fd(), descriptor) {
            // Its end is an event of its own, and a better explanation.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => Ok(()),
            other => other.map_err(|error| chain(&cannot("talk to init")(error))),
        }
    }

    fn watch_limits(&mut self) -> Result<(), String> {
        let timer = |errno| chain(&cannot("set a timer")(errno));
        let program = self.program.as_ref().map(AsFd::as_fd);
        let timed = self.home.leaf().filter(|_| self.plan.cg_timing);
        let begun = self.figures.watch(timed, program)?;
        match Barrier::KeeperWallClock.of(self.plan.deadlines.keeper()) {
            Some(wall) => self.deadline.set_at(begun.after(wall)),
            None => self.deadline.unset(),
        }
        .map_err(timer)?;
        let cpu_kill = Barrier::KeeperCpuClock.of(self.plan.deadlines.cpu_kill());
        if let Some(limit) = cpu_kill {
            let looks = &mut self.looks;
            let first = looks.next(Duration::ZERO, limit, self.parallel, Duration::ZERO);
            self.set_look(begun.after(first)).map_err(timer)?;
        }
        let watches = self.plan.deadlines.keeper().is_some() || cpu_kill.is_some();
        // It may be so already: the program may begin more than once.
        if watches && self.urgent.is_none() {
            self.hurry();
        }
        Ok(())
    }

    /// Goes to real-time priority: otherwise the keeper waits up to 10 ms for programs that keep
    /// all CPUs busy, and they use that time beyond their limits.
    fn hurry(&mut self) {
        match Urgent::begin() {
            Ok(urgent) => self.urgent = urgent,
            Err(error) => log::info!("limits may be exceeded by some ms on busy CPUs: {error}"),
        }
    }

    /// What a deadline that has passed means.
    pub(super) fn deadline_passed(&mut self, phase: &Phase) -> Option<Event> {
        match phase {
            Phase::SettingUp | Phase::Starting => {
                let what = if self.permission.is_some() {
                    "polkit did not say whether the caller may run it (is it hung? see systemctl status polkit)"
                } else if !self.home.is_ready() {
                    "systemd did not start the scope of the run (is it hung? see systemctl list-jobs)"
                } else {
                    "the sandbox was not set up"
                };
                Some(Event::Failed(format!(
                    "{what} within {} s",
                    SETUP_PATIENCE.as_secs()
                )))
            }
            Phase::Running => Some(self.exceeded(KillReason::WallTime)),
            // systemd does not answer.
            Phase::Explaining(_) => {
                log::info!(
                    "systemd gave no answer within {} s",
                    KILL_PATIENCE.as_secs()
                );
                self.question = None;
                Some(Event::Answered { is_stopping: false })
            }
            Phase::Ending(_) => Some(Event::Failed(format!(
                "the program's processes did not end within {} s after they were killed",
                KILL_PATIENCE.as_secs()
            ))),
            Phase::Over(_) => None,
        }
    }

    /// Kills above the limit, or finds the moment of the next look.
    pub(super) fn look_at_cpu_time(&mut self) -> Option<Event> {
        let limit = self.plan.deadlines.cpu_kill()?;
        let now = Moment::now().ok();
        let late = now.zip(self.look_at).map(|(now, due)| now.since(due));
        let is_late = late.is_some_and(|late| late > LATE);
        // CPU time, not the time on the clock: the keeper may have waited for its turn.
        let before = own_cpu_time();
        let used = match self.figures.cpu_time_so_far(self.home.leaf()) {
            Ok(Some(used)) => used,
            // The process has gone; what it used comes with its end.
            Ok(None) => return None,
            Err(error) => return Some(self.unread(chain(&error))),
        };
        if used > limit {
            return Some(self.exceeded(KillReason::CpuTime));
        }
        let cost = own_cpu_time().saturating_sub(before);
        if cost > URGENT_LOOK || is_late {
            self.urgent = None;
        }
        let next = self.looks.next(used, limit, self.parallel, cost);
        let set = Moment::now().and_then(|now| self.set_look(now.after(next)));
        set.err()
            .map(|errno| Event::Failed(chain(&cannot("set a timer")(errno))))
    }

    fn set_look(&mut self, moment: Moment) -> nix::Result<()> {
        self.look_at = Some(moment);
        self.cpu_look.set_at(moment)
    }

    /// A time limit was passed, perhaps by a program that the kernel had already killed.
    fn exceeded(&self, reason: KillReason) -> Event {
        Event::Exceeded(reason, self.shortage())
    }

    /// Kills the whole leaf at once. Without a leaf it kills the main process, and init kills the
    /// rest.
    fn kill_program(&mut self) -> Result<(), String> {
        let timer = |errno| chain(&cannot("set a timer")(errno));
        self.deadline.set_after(KILL_PATIENCE).map_err(timer)?;
        self.cpu_look.unset().map_err(timer)?;
        let killed = self.kill_processes();
        // What follows may take long, and nobody's time depends on it.
        self.urgent = None;
        killed
    }

    fn kill_processes(&self) -> Result<(), String> {
        if let Some(leaf) = self.home.leaf() {
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

    /// Kills init and everything in its PID namespace, and returns when they are dead.
    fn kill_init(&mut self) -> Result<(), KeeperError> {
        self.home.part_with(&self.init);
        match process::send_signal(self.init.pidfd.as_fd(), libc::SIGKILL) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                Err(cannot("kill init")(error))
            }
            _ => self.init.wait().map_err(cannot("wait for init")),
        }
    }
}

/// The CPU time of the keeper; zero where it cannot be read, so that looks do not become rare.
fn own_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
