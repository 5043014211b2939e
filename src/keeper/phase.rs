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
    /// A deadline has passed, or the keeper was told to stop.
    Kill(KillReason),
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

/// What there is to say of a run that ends without its figures.
fn without_figures(ending: Ending) -> Ending {
    match ending {
        Ending::Failed(message) => Ending::Failed(message),
        // Whatever the program did: its time and memory are not known, so neither is the verdict.
        Ending::Program(_) | Ending::Killed(_) => Ending::Failed(INIT_GONE.to_owned()),
    }
}

/// The next phase, and what to do on the way. The first cause of an end stays the cause.
pub(super) fn next(phase: Phase, event: Event) -> (Phase, Option<Action>) {
    use Action::{Go, KillInit, KillProgram, Leave, Permit, WatchLimits};
    match (phase, event) {
        (Phase::Over(ending), _) => (Phase::Over(ending), None),
        (Phase::Ending(ending), Event::InitGone) => (Phase::Over(without_figures(ending)), None),
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
            Phase::Over(Ending::Failed(KILLED_EARLY.to_owned())),
            Some(KillInit),
        ),

        (Phase::Running, Event::Ended(exit)) => {
            (Phase::Ending(Ending::Program(exit)), Some(KillProgram))
        }
        (Phase::Running, Event::Kill(reason)) => {
            (Phase::Ending(Ending::Killed(reason)), Some(KillProgram))
        }
        (Phase::Running, Event::Failed(message)) => {
            (Phase::Ending(Ending::Failed(message)), Some(KillProgram))
        }

        (Phase::Ending(ending), Event::Empty) => (Phase::Over(ending), Some(Leave)),
        // The first failure is the one to tell.
        (Phase::Ending(Ending::Failed(first)), Event::Failed(_)) => {
            (Phase::Over(Ending::Failed(first)), Some(KillInit))
        }
        (Phase::Ending(_), Event::Failed(message)) => {
            (Phase::Over(Ending::Failed(message)), Some(KillInit))
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

    use Action::{Go, KillInit, KillProgram, Leave, Permit, WatchLimits};
    use Event::{Begun, CgroupReady, Empty, Ended, Failed, InitGone, Kill, Permitted, RootBuilt};

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
        let time = Kill(KillReason::CpuTime);
        let wall = Kill(KillReason::WallTime);
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
        let (phase, actions) = play(true, &[RootBuilt, Ended(Exit::Signal(9)), InitGone]);
        assert_eq!(phase, Phase::Over(Ending::Failed(KILLED_EARLY.to_owned())));
        assert_eq!(actions, [Go, KillInit]);
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
        for end in [Ended(Exit::Code(0)), Kill(KillReason::WallTime)] {
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
