//! What follows from what happens: the life of a run as a state machine. Pure.

use crate::report::{Ending, KillReason};
use crate::sys::process::Exit;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// init builds the sandbox while the cgroup is being had.
    SettingUp {
        /// init is ready.
        root_built: bool,
        /// The leaf is ready, or there is to be none.
        has_cgroup: bool,
    },
    /// init was told to make the program's process, which has not become the program yet.
    Starting,
    /// The clock ticks.
    Running,
    /// It is decided how the run ends; what is left of it is dying, and init has yet to say what it used.
    Ending(Ending),
    /// The program died of a SIGKILL that the keeper had not sent, and every figure was read. Without an
    /// explanation the run ends like this.
    Explaining(Ending),
    /// Nothing more is to come: init is gone, was killed, or was told to go and has nothing left but its end.
    Over(Ending),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// init has built the sandbox.
    RootBuilt,
    /// The leaf is ready.
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
    /// A time limit was passed; and before that the kernel may have killed the program for memory.
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
    /// Tell init to make the program's process.
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

/// The ending of a run whose memory limit does not let its program start.
const OOM_EARLY: &str = "the kernel killed the program's process for memory before it could start: the memory limit of \
                         the run is too small for its set-up";

/// The ending of a run whose program was killed while it was still ours.
const KILLED_EARLY: &str = "the program's process was killed from outside before it could start";

/// What there is to say of a run that ends without its figures.
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
        Some(Shortage::OfTheRun) => failed(OOM_EARLY),
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

        (
            Phase::SettingUp {
                root_built,
                has_cgroup,
            },
            event @ (Event::RootBuilt | Event::CgroupReady),
        ) => {
            let root_built = root_built || event == Event::RootBuilt;
            let has_cgroup = has_cgroup || event == Event::CgroupReady;
            if root_built && has_cgroup {
                (Phase::Starting, Some(Go))
            } else {
                (
                    Phase::SettingUp {
                        root_built,
                        has_cgroup,
                    },
                    None,
                )
            }
        }
        // The program's process waits for that: it is heard whenever it comes.
        (phase @ (Phase::SettingUp { .. } | Phase::Starting), Event::Permitted) => {
            (phase, Some(Permit))
        }
        // Anew when its file could not be executed yet.
        (Phase::Starting | Phase::Running, Event::Begun) => (Phase::Running, Some(WatchLimits)),

        // Before the program runs there is only init to kill.
        (Phase::SettingUp { .. } | Phase::Starting, Event::Kill(reason)) => {
            (Phase::Over(Ending::Killed(reason)), Some(KillInit))
        }
        (Phase::SettingUp { .. } | Phase::Starting, Event::Failed(message)) => {
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
mod tests {
    use super::*;

    fn play(has_cgroup: bool, events: &[Event]) -> (Phase, Vec<Action>) {
        let mut phase = Phase::SettingUp {
            root_built: false,
            has_cgroup,
        };
        let mut actions = Vec::new();
        for event in events {
            let (after, action) = next(phase, event.clone());
            phase = after;
            actions.extend(action);
        }
        (phase, actions)
    }

    use Action::{
        AskSystemd, Go, KillInit, KillProgram, Leave, LookForTraces, Permit, WatchLimits,
    };
    use Event::{
        Answered, Begun, CgroupReady, Empty, Ended, Exceeded, Failed, InitGone, Kill, Permitted,
        RootBuilt, Traced,
    };

    const NOTHING: Traces = Traces {
        shortage: None,
        by_oomd: false,
        in_scope: true,
    };

    #[test]
    fn a_permission_is_passed_on_once_whenever_it_comes_and_a_denial_ends_the_run() {
        for (events, actions) in [
            (vec![Permitted, RootBuilt], vec![Permit, Go]),
            (vec![RootBuilt, Permitted], vec![Go, Permit]),
        ] {
            let (phase, done) = play(true, &events);
            assert_eq!(phase, Phase::Starting);
            assert_eq!(done, actions);
            let denied: Vec<_> = events
                .into_iter()
                .map(|event| match event {
                    Permitted => Failed("no".into()),
                    other => other,
                })
                .collect();
            let (phase, done) = play(true, &denied);
            assert_eq!(phase, Phase::Over(Ending::Failed("no".into())));
            assert_eq!(done.last(), Some(&KillInit));
            assert!(!done.contains(&Permit));
        }
    }

    #[test]
    fn a_run_without_incident_goes_through_all_phases_in_any_order_of_arrival() {
        let ok = Ending::Program(Exit::Code(0));
        for (has_cgroup, start) in [
            (true, vec![RootBuilt, Begun]),
            (false, vec![RootBuilt, CgroupReady, Begun]),
            (false, vec![CgroupReady, RootBuilt, Begun]),
        ] {
            let events = [&start[..], &[Ended(Exit::Code(0)), Empty, InitGone]].concat();
            let (phase, actions) = play(has_cgroup, &events);
            assert_eq!(phase, Phase::Over(ok.clone()));
            assert_eq!(actions, [Go, WatchLimits, KillProgram, Leave]);
        }
    }

    #[test]
    fn nothing_starts_before_both_the_sandbox_and_the_cgroup_are_ready() {
        assert_eq!(play(false, &[RootBuilt]).1, []);
        assert_eq!(play(false, &[CgroupReady]).1, []);
        assert_eq!(play(true, &[RootBuilt]).1, [Go]);
    }

    #[test]
    fn the_clock_starts_anew_when_the_program_begins_again() {
        let (phase, actions) = play(true, &[RootBuilt, Begun, Begun]);
        assert_eq!(phase, Phase::Running);
        assert_eq!(actions, [Go, WatchLimits, WatchLimits]);
    }

    #[test]
    fn the_first_cause_stays_the_cause() {
        let running = [RootBuilt, Begun];
        let time = Exceeded(KillReason::CpuTime, None);
        let wall = Exceeded(KillReason::WallTime, None);
        for (events, ending) in [
            (
                vec![time.clone(), wall, Ended(Exit::Signal(9))],
                Ending::Killed(KillReason::CpuTime),
            ),
            (
                vec![Ended(Exit::Code(1)), time.clone()],
                Ending::Program(Exit::Code(1)),
            ),
            (
                vec![Failed("x".into()), Ended(Exit::Code(2))],
                Ending::Failed("x".into()),
            ),
        ] {
            let events = [&running[..], &events, &[Empty, InitGone]].concat();
            assert_eq!(play(true, &events).0, Phase::Over(ending));
        }
        let killed = play(
            true,
            &[&running[..], &[time, Ended(Exit::Signal(9))]].concat(),
        )
        .1;
        assert_eq!(killed, [Go, WatchLimits, KillProgram]);
    }

    #[test]
    fn before_the_program_runs_init_is_killed_and_waited_for() {
        for events in [vec![], vec![RootBuilt], vec![RootBuilt, CgroupReady]] {
            let interrupted = [&events[..], &[Kill(KillReason::Interrupted(2))]].concat();
            assert_eq!(play(false, &interrupted).1.last(), Some(&KillInit));
            let failed = [
                &events[..],
                &[Failed("x".into()), Ended(Exit::Code(2)), InitGone],
            ]
            .concat();
            let (phase, actions) = play(false, &failed);
            assert_eq!(phase, Phase::Over(Ending::Failed("x".into())));
            assert_eq!(actions.last(), Some(&KillInit));
        }
    }

    #[test]
    fn a_process_that_ends_before_it_begins_was_killed_from_outside() {
        for traces in [vec![Traced(NOTHING), InitGone], vec![InitGone]] {
            let events = [&[RootBuilt, Ended(Exit::Signal(9))], &traces[..]].concat();
            let (phase, actions) = play(true, &events);
            assert_eq!(phase, Phase::Over(Ending::Failed(KILLED_EARLY.to_owned())));
            assert_eq!(actions[..2], [Go, LookForTraces]);
        }
    }

    /// The ending of a program that died of SIGKILL, and what was done to find it.
    fn explained(events: &[Event]) -> (Ending, Vec<Action>) {
        let death = [RootBuilt, Begun, Ended(Exit::Signal(9)), Empty];
        match play(true, &[&death[..], events].concat()) {
            (Phase::Over(ending), actions) => (ending, actions[3..].to_vec()),
            (phase, _) => panic!("{phase:?}"),
        }
    }

    #[test]
    fn a_kill_that_nobody_here_sent_is_explained_by_what_it_left_behind() {
        let failed = |message: &str| Ending::Failed(message.to_owned());
        let with = |shortage, by_oomd| {
            Traced(Traces {
                shortage,
                by_oomd,
                ..NOTHING
            })
        };
        for (traces, ending, last) in [
            (with(Some(Shortage::OfTheRun), true), KILLED, Leave),
            (
                with(Some(Shortage::OfOthers), true),
                failed(OOM_OUTSIDE),
                KillInit,
            ),
            (with(None, true), failed(OOMD), KillInit),
        ] {
            assert_eq!(explained(&[traces]), (ending, vec![LookForTraces, last]));
        }
        let nowhere = Traced(Traces {
            in_scope: false,
            ..NOTHING
        });
        assert_eq!(explained(&[nowhere]), (KILLED, vec![LookForTraces, Leave]));
    }

    #[test]
    fn systemd_is_asked_about_a_kill_without_traces() {
        for (heard, ending, last) in [
            (Answered { is_stopping: false }, KILLED, Leave),
            (
                Answered { is_stopping: true },
                Ending::Failed(STOPPED.to_owned()),
                KillInit,
            ),
            (Failed("x".into()), Ending::Failed("x".into()), KillInit),
        ] {
            let done = vec![LookForTraces, AskSystemd, last];
            let interrupt = Kill(KillReason::Interrupted(15));
            let events = [Traced(NOTHING), interrupt, heard];
            assert_eq!(explained(&events), (ending, done));
        }
        let gone = Ending::Failed(INIT_GONE.to_owned());
        assert_eq!(explained(&[Traced(NOTHING), InitGone]).0, gone);
    }

    #[test]
    fn a_program_that_the_kernel_killed_before_a_time_limit_passed_did_not_exceed_that() {
        for shortage in [Shortage::OfTheRun, Shortage::OfOthers] {
            let exceeded = Exceeded(KillReason::WallTime, Some(shortage));
            let traced = Traced(Traces {
                shortage: Some(shortage),
                ..NOTHING
            });
            let events = [RootBuilt, Begun, exceeded, Ended(Exit::Signal(9)), Empty];
            let (phase, actions) = play(true, &[&events[..], &[traced]].concat());
            let ending = match shortage {
                Shortage::OfTheRun => KILLED,
                Shortage::OfOthers => Ending::Failed(OOM_OUTSIDE.to_owned()),
            };
            assert_eq!(phase, Phase::Over(ending));
            assert_eq!(actions[2..4], [KillProgram, LookForTraces]);
        }
    }

    #[test]
    fn an_init_that_somebody_else_killed_is_not_blamed_on_the_program() {
        for events in [vec![InitGone], vec![RootBuilt, Begun, InitGone]] {
            let (phase, _) = play(true, &events);
            assert!(
                matches!(phase, Phase::Over(Ending::Failed(message)) if message.contains("from outside"))
            );
        }
    }

    #[test]
    fn a_run_without_figures_has_no_verdict() {
        let running = [RootBuilt, Begun];
        let lost = Failed("cannot read cpu.stat".into());
        for end in [Ended(Exit::Code(0)), Exceeded(KillReason::WallTime, None)] {
            let gone = [&running[..], &[end.clone(), InitGone]].concat();
            assert!(
                matches!(play(true, &gone).0, Phase::Over(Ending::Failed(message)) if message.contains("from outside"))
            );
            let unread = [&running[..], &[end, lost.clone(), Empty, InitGone]].concat();
            let (phase, actions) = play(true, &unread);
            assert_eq!(
                phase,
                Phase::Over(Ending::Failed("cannot read cpu.stat".into()))
            );
            assert_eq!(actions.last(), Some(&KillInit));
        }
    }
}
