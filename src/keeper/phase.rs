//! What follows from what happens: the life of a run as a state machine. Pure.

use crate::report::{Ending, KillReason};
use crate::sys::process::Exit;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// init builds the sandbox while systemd makes the cgroup.
    SettingUp,
    /// The leaf is ready, or there is to be none: init was told to make the program's process when
    /// it has built the sandbox. It has not become the program yet.
    Starting,
    /// The clock ticks.
    Running,
    /// The ending is decided. What is left of the run is dying, and init has yet to report its
    /// usage.
    Ending(Ending),
    /// The program died of a SIGKILL that the keeper had not sent, and every figure was read. This
    /// is the ending unless an explanation is found.
    Explaining(Ending),
    /// The run is over: init is gone, was killed, or was told to go and has nothing left to say.
    Over(Ending),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The leaf is ready, or there is to be none.
    CgroupReady,
    /// The caller may run it.
    Permitted,
    /// The program's process has become the program, or is about to.
    Begun,
    /// The program's main process has ended.
    Ended(Exit),
    /// Only init is left.
    Empty,
    /// init has ended.
    InitGone,
    /// A part of the sandbox did not work.
    Failed(String),
    /// The keeper was told to stop.
    Kill(KillReason),
    /// A time limit was passed, perhaps after the kernel had killed the program for memory.
    Exceeded(KillReason, Option<Shortage>),
    /// What the cgroups show of the death of the program.
    Traced(Traces),
    /// What systemd says of the scope, or would say if it did.
    Answered {
        /// Whether it is stopping the scope.
        is_stopping: bool,
    },
}

/// What the cgroups show of the death of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traces {
    /// The kernel has killed for memory.
    pub(super) shortage: Option<Shortage>,
    /// systemd-oomd has killed.
    pub(super) by_oomd: bool,
    /// There is a scope, and with it a systemd that can be asked.
    pub(super) in_scope: bool,
}

/// The lack of memory for which the kernel kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    /// The run had reached its own limit.
    OfTheRun,
    /// The machine or the slice had run out of memory.
    OfOthers,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Tell init to make the program's process, when it has built the sandbox.
    Go,
    /// Tell it that it may become the program.
    Permit,
    /// Watch the limits, from the moment on at which the program began.
    WatchLimits,
    /// Kill all processes of the program.
    KillProgram,
    /// Kill init, and with it everything in its PID namespace.
    KillInit,
    /// Let init go, which is alone now.
    Leave,
    /// Look for what the cgroups show of the death of the program.
    LookForTraces,
    /// Ask systemd whether it is stopping the scope.
    AskSystemd,
}

/// The ending of a run whose init was killed by somebody else.
pub(super) const INIT_GONE: &str = "the processes of the sandbox were killed from outside, perhaps by the administrator, by \
                         'systemctl stop' or by the kernel for lack of memory on the machine";

/// The ending of a run whose scope systemd stops.
pub(super) const STOPPED: &str = "systemd stopped the scope of the run: it was told to from outside, by \
                                  'systemctl stop' or for a limit of the slice";

/// The ending of a run whose program the kernel killed for memory that others used up.
pub(super) const OOM_OUTSIDE: &str = "the kernel killed the program for lack of memory from outside: the machine or the \
                                      slice ran out of it, not the run";

/// The ending of a run whose program systemd-oomd killed.
pub(super) const OOMD: &str = "systemd-oomd killed the program for lack of memory on the machine or in the slice, for which \
                               the run need not be to blame; see 'journalctl -u systemd-oomd'";

/// The ending of a run whose program was killed while it was still ours.
const KILLED_EARLY: &str = "the program's process was killed from outside before it could start";

/// The ending of a run without figures.
fn without_figures(ending: Ending) -> Ending {
    match ending {
        Ending::Failed(message) => Ending::Failed(message),
        // Whatever the program did: its time and memory are not known, so neither is the verdict.
        Ending::Program(_) | Ending::Killed(_) => Ending::Failed(INIT_GONE.to_owned()),
    }
}

/// How a program that the kernel killed has ended.
const KILLED: Ending = Ending::Program(Exit::Signal(libc::SIGKILL));

/// What follows from the traces of a death that is otherwise told as `ending`.
fn explain(ending: Ending, traces: Traces) -> (Phase, Option<Action>) {
    let failed = |message: &str| {
        let ending = Ending::Failed(message.to_owned());
        (Phase::Over(ending), Some(Action::KillInit))
    };
    let has_run = ending == KILLED;
    match traces.shortage {
        Some(Shortage::OfTheRun) if has_run => over(ending),
        // It did not even begin: its figures are still to be read.
        Some(Shortage::OfTheRun) => (Phase::Ending(KILLED), Some(Action::KillProgram)),
        Some(Shortage::OfOthers) => failed(OOM_OUTSIDE),
        None if traces.by_oomd => failed(OOMD),
        None if has_run && traces.in_scope => (Phase::Explaining(ending), Some(Action::AskSystemd)),
        None => over(ending),
    }
}

/// The end of a run that has nothing but init left.
fn over(ending: Ending) -> (Phase, Option<Action>) {
    let action = match ending {
        Ending::Failed(_) => Action::KillInit,
        Ending::Program(_) | Ending::Killed(_) => Action::Leave,
    };
    (Phase::Over(ending), Some(action))
}

/// The next phase, and what to do on the way. The first cause of an end stays the cause.
pub(super) fn next(phase: Phase, event: Event) -> (Phase, Option<Action>) {
    use Action::{Go, KillInit, KillProgram, LookForTraces, Permit, WatchLimits};
    match (phase, event) {
        (Phase::Over(ending), _) => (Phase::Over(ending), None),
        (Phase::Ending(ending) | Phase::Explaining(ending), Event::InitGone) => {
            (Phase::Over(without_figures(ending)), None)
        }
        (_, Event::InitGone) => (Phase::Over(Ending::Failed(INIT_GONE.to_owned())), None),

        // init reads it when it has built the sandbox, and nobody waits for anybody then.
        (Phase::SettingUp, Event::CgroupReady) => (Phase::Starting, Some(Go)),
        // The program's process waits for the permission, so it is passed on whenever it comes.
        (phase @ (Phase::SettingUp | Phase::Starting), Event::Permitted) => (phase, Some(Permit)),
        // A program begins again when its file could not be executed at first.
        (Phase::Starting | Phase::Running, Event::Begun) => (Phase::Running, Some(WatchLimits)),

        // Before the program runs there is only init to kill.
        (Phase::SettingUp | Phase::Starting, Event::Kill(reason)) => {
            (Phase::Over(Ending::Killed(reason)), Some(KillInit))
        }
        (Phase::SettingUp | Phase::Starting, Event::Failed(message)) => {
            (Phase::Over(Ending::Failed(message)), Some(KillInit))
        }

        // The program's process cannot end before it has begun, unless somebody killed it.
        (Phase::Starting, Event::Ended(_)) => (
            Phase::Explaining(Ending::Failed(KILLED_EARLY.to_owned())),
            Some(LookForTraces),
        ),

        (Phase::Running, Event::Ended(exit)) => {
            (Phase::Ending(Ending::Program(exit)), Some(KillProgram))
        }
        (Phase::Running, Event::Kill(reason)) => {
            (Phase::Ending(Ending::Killed(reason)), Some(KillProgram))
        }
        (Phase::Running, Event::Exceeded(reason, None)) => {
            (Phase::Ending(Ending::Killed(reason)), Some(KillProgram))
        }
        (Phase::Running, Event::Exceeded(_, Some(_))) => (Phase::Ending(KILLED), Some(KillProgram)),
        (Phase::Running, Event::Failed(message)) => {
            (Phase::Ending(Ending::Failed(message)), Some(KillProgram))
        }

        (Phase::Ending(KILLED), Event::Empty) => (Phase::Explaining(KILLED), Some(LookForTraces)),
        (Phase::Ending(ending), Event::Empty) => (Phase::Over(ending), Some(Action::Leave)),
        (Phase::Explaining(ending), Event::Traced(traces)) => explain(ending, traces),
        (Phase::Explaining(_), Event::Answered { is_stopping: true }) => {
            over(Ending::Failed(STOPPED.to_owned()))
        }
        (Phase::Explaining(ending), Event::Answered { is_stopping: false }) => over(ending),
        // The first failure is the one to tell.
        (Phase::Ending(ending) | Phase::Explaining(ending), Event::Failed(message)) => {
            over(match ending {
                Ending::Failed(first) => Ending::Failed(first),
                Ending::Program(_) | Ending::Killed(_) => Ending::Failed(message),
            })
        }
        (phase, _) => (phase, None),
    }
}

#[cfg(test)]
mod tests;
