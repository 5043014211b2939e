use super::*;

fn play(events: &[Event]) -> (Phase, Vec<Action>) {
    let mut phase = Phase::SettingUp;
    let mut actions = Vec::new();
    for event in events {
        let (after, action) = next(phase, event.clone());
        phase = after;
        actions.extend(action);
    }
    (phase, actions)
}

use Action::{AskSystemd, Go, KillInit, KillProgram, Leave, LookForTraces, Permit, WatchLimits};
use Event::{
    Answered, Begun, CgroupReady, Empty, Ended, Exceeded, Failed, InitGone, Kill, Permitted, Traced,
};

const NOTHING: Traces = Traces {
    shortage: None,
    by_oomd: false,
    in_scope: true,
};

#[test]
fn a_permission_is_passed_on_once_whenever_it_comes_and_a_denial_ends_the_run() {
    for (events, actions) in [
        (vec![Permitted, CgroupReady], vec![Permit, Go]),
        (vec![CgroupReady, Permitted], vec![Go, Permit]),
    ] {
        let (phase, done) = play(&events);
        assert_eq!(phase, Phase::Starting);
        assert_eq!(done, actions);
        let denied: Vec<_> = events
            .into_iter()
            .map(|event| match event {
                Permitted => Failed("no".into()),
                other => other,
            })
            .collect();
        let (phase, done) = play(&denied);
        assert_eq!(phase, Phase::Over(Ending::Failed("no".into())));
        assert_eq!(done.last(), Some(&KillInit));
        assert!(!done.contains(&Permit));
    }
}

#[test]
fn a_run_without_incident_goes_through_all_phases() {
    let ok = Ending::Program(Exit::Code(0));
    let events = [CgroupReady, Begun, Ended(Exit::Code(0)), Empty, InitGone];
    let (phase, actions) = play(&events);
    assert_eq!(phase, Phase::Over(ok));
    assert_eq!(actions, [Go, WatchLimits, KillProgram, Leave]);
}

#[test]
fn nothing_starts_before_the_cgroup_is_ready() {
    assert_eq!(play(&[Permitted]).1, [Permit]);
    assert_eq!(play(&[CgroupReady]).1, [Go]);
}

#[test]
fn the_clock_starts_anew_when_the_program_begins_again() {
    let (phase, actions) = play(&[CgroupReady, Begun, Begun]);
    assert_eq!(phase, Phase::Running);
    assert_eq!(actions, [Go, WatchLimits, WatchLimits]);
}

#[test]
fn the_first_cause_stays_the_cause() {
    let running = [CgroupReady, Begun];
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
        assert_eq!(play(&events).0, Phase::Over(ending));
    }
    let killed = play(&[&running[..], &[time, Ended(Exit::Signal(9))]].concat()).1;
    assert_eq!(killed, [Go, WatchLimits, KillProgram]);
}

#[test]
fn before_the_program_runs_init_is_killed_and_waited_for() {
    for events in [vec![], vec![CgroupReady]] {
        let interrupted = [&events[..], &[Kill(KillReason::Interrupted(2))]].concat();
        assert_eq!(play(&interrupted).1.last(), Some(&KillInit));
        let failed = [
            &events[..],
            &[Failed("x".into()), Ended(Exit::Code(2)), InitGone],
        ]
        .concat();
        let (phase, actions) = play(&failed);
        assert_eq!(phase, Phase::Over(Ending::Failed("x".into())));
        assert_eq!(actions.last(), Some(&KillInit));
    }
}

#[test]
fn a_process_that_ends_before_it_begins_was_killed_from_outside() {
    for traces in [vec![Traced(NOTHING), InitGone], vec![InitGone]] {
        let events = [&[CgroupReady, Ended(Exit::Signal(9))], &traces[..]].concat();
        let (phase, actions) = play(&events);
        assert_eq!(phase, Phase::Over(Ending::Failed(KILLED_EARLY.to_owned())));
        assert_eq!(actions[..2], [Go, LookForTraces]);
    }
}

#[test]
fn a_process_that_had_too_little_memory_to_begin_was_killed_for_that() {
    let traced = Traced(Traces {
        shortage: Some(Shortage::OfTheRun),
        ..NOTHING
    });
    let events = [
        CgroupReady,
        Ended(Exit::Signal(9)),
        traced.clone(),
        Empty,
        traced,
    ];
    let (phase, actions) = play(&events);
    assert_eq!(phase, Phase::Over(KILLED));
    let done = [Go, LookForTraces, KillProgram, LookForTraces, Leave];
    assert_eq!(actions, done);
}

/// The ending of a program that died of SIGKILL, and what was done to find it.
fn explained(events: &[Event]) -> (Ending, Vec<Action>) {
    let death = [CgroupReady, Begun, Ended(Exit::Signal(9)), Empty];
    match play(&[&death[..], events].concat()) {
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
        let events = [CgroupReady, Begun, exceeded, Ended(Exit::Signal(9)), Empty];
        let (phase, actions) = play(&[&events[..], &[traced]].concat());
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
    for events in [vec![InitGone], vec![CgroupReady, Begun, InitGone]] {
        let (phase, _) = play(&events);
        assert!(
            matches!(phase, Phase::Over(Ending::Failed(message)) if message.contains("from outside"))
        );
    }
}

#[test]
fn a_run_without_figures_has_no_verdict() {
    let running = [CgroupReady, Begun];
    let lost = Failed("cannot read cpu.stat".into());
    for end in [Ended(Exit::Code(0)), Exceeded(KillReason::WallTime, None)] {
        let gone = [&running[..], &[end.clone(), InitGone]].concat();
        assert!(
            matches!(play(&gone).0, Phase::Over(Ending::Failed(message)) if message.contains("from outside"))
        );
        let unread = [&running[..], &[end, lost.clone(), Empty, InitGone]].concat();
        let (phase, actions) = play(&unread);
        assert_eq!(
            phase,
            Phase::Over(Ending::Failed("cannot read cpu.stat".into()))
        );
        assert_eq!(actions.last(), Some(&KillInit));
    }
}
