//! The one line that `exec` prints for people.

use std::time::Duration;

use super::{EXIT_NOT_EXECUTED, Report, Verdict, seconds};
use crate::quantity::Bytes;

/// The exit code of `exec` when a time limit was exceeded, as timeout(1) has it.
const EXIT_TIME_LIMIT: u8 = 124;
/// The exit code of `exec` when the sandbox did not work.
pub(crate) const EXIT_INTERNAL: u8 = 125;

/// The summary: verdict, figures, and what held the program.
pub(crate) fn line(report: &Report, holder: &str) -> String {
    let verdict = match report.verdict() {
        Verdict::Ok => "ok".to_owned(),
        Verdict::ExitCode(code) => format!("exited with code {code}"),
        Verdict::NotExecuted(reason) | Verdict::NotOpened(reason) => {
            return format!("isolate-run: not started: {reason}");
        }
        Verdict::Memory(signal) => format!("memory limit exceeded (signal {signal})"),
        Verdict::MemoryAndTime(signal) => {
            format!("memory limit exceeded (signal {signal}), and a time limit as well")
        }
        Verdict::Signal(signal) => format!("killed by signal {signal}{}", name_of(signal)),
        Verdict::Interrupted(signal) => {
            format!("interrupted by signal {signal}{}", name_of(signal))
        }
        Verdict::CpuTime => "CPU time limit exceeded".to_owned(),
        Verdict::WallTime => "wall time limit exceeded".to_owned(),
        Verdict::Internal(message) => return format!("isolate-run: {message}"),
    };
    let Some(usage) = &report.usage else {
        return format!("isolate-run: {verdict}");
    };
    let memory = match (usage.leaf.memory_peak, usage.processes) {
        (Some(peak), _) => format!(", memory {}", mebibytes(peak)),
        (None, Some(processes)) => format!(
            ", largest process {}",
            mebibytes(Bytes(processes.max_rss_kib * 1024))
        ),
        (None, None) => String::new(),
    };
    let reached = match reached(report) {
        Some(reached) => format!("; {reached}"),
        None => String::new(),
    };
    format!(
        "isolate-run: {verdict}{reached}; CPU {}, wall {}{memory}; held by {holder}",
        time(usage.cpu.total),
        time(usage.wall)
    )
}

/// A limit that the program has reached, which may explain the verdict.
fn reached(report: &Report) -> Option<String> {
    if let Some(reason) = report.reason() {
        return Some(reason.to_owned());
    }
    let usage = report.usage.as_ref()?;
    match usage.leaf.processes_refused {
        None | Some(0) => {}
        Some(1) => return Some("a limit of processes was reached (-p)".to_owned()),
        Some(times) => {
            return Some(format!(
                "a limit of processes was reached {times} times (-p)"
            ));
        }
    }
    let limit = report.address_space?;
    let is_signal = matches!(report.verdict(), Verdict::Signal(_));
    is_signal.then(|| {
        format!(
            "each process had at most {} of addresses (-m)",
            mebibytes(limit)
        )
    })
}

/// The exit code of `exec`: the program's own, or one that says why it has none.
pub(crate) fn exit_code(report: &Report) -> u8 {
    let of_signal = |signal: i32| u8::try_from(128 + signal).unwrap_or(u8::MAX);
    match report.verdict() {
        Verdict::Ok => 0,
        Verdict::ExitCode(code) => u8::try_from(code).unwrap_or(u8::MAX),
        Verdict::NotExecuted(_) => EXIT_NOT_EXECUTED,
        Verdict::Signal(signal)
        | Verdict::Memory(signal)
        | Verdict::MemoryAndTime(signal)
        | Verdict::Interrupted(signal) => of_signal(signal),
        Verdict::CpuTime | Verdict::WallTime | Verdict::NotOpened(_) => EXIT_TIME_LIMIT,
        Verdict::Internal(_) => EXIT_INTERNAL,
    }
}

fn name_of(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal)
        .map_or_else(|_| String::new(), |name| format!(" ({name})"))
}

fn time(time: Duration) -> String {
    format!("{} s", seconds(time))
}

fn mebibytes(bytes: Bytes) -> String {
    // Exact in integers: tenths of a MiB, rounded up.
    let tenths = (bytes.0 * 10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{report, usage};
    use super::super::{Ending, KillReason, Unstarted, Usage};
    use super::*;
    use crate::sys::process::Exit;

    #[test]
    fn the_summary_says_what_happened_and_what_held_the_program() {
        let ok = report(Ending::Program(Exit::Code(0)), Some(usage(12, 345)));
        assert_eq!(
            line(&ok, "a systemd scope"),
            "isolate-run: ok; CPU 0.012 s, wall 0.345 s, largest process 1.3 MiB; held by a systemd scope"
        );
        let signalled = report(Ending::Program(Exit::Signal(11)), Some(usage(1, 1)));
        assert!(line(&signalled, "x").contains("killed by signal 11 (SIGSEGV); CPU"));
    }

    #[test]
    fn a_limit_that_was_reached_is_named_and_so_is_why_nothing_began() {
        let of = |exit, change: &dyn Fn(&mut Usage)| {
            let mut usage = usage(1, 1);
            change(&mut usage);
            report(Ending::Program(exit), Some(usage))
        };
        let refused = of(Exit::Code(1), &|usage| {
            usage.leaf.processes_refused = Some(3);
        });
        let said = line(&refused, "x");
        let words = "exited with code 1; a limit of processes was reached 3 times (-p); CPU";
        assert!(said.contains(words), "{said}");
        let killed = Report {
            address_space: Some(Bytes(1024)),
            ..of(Exit::Signal(11), &|_| {})
        };
        let said = line(&killed, "x");
        assert!(
            said.contains("; each process had at most 0.1 MiB of addresses (-m)"),
            "{said}"
        );
        let oom = of(Exit::Signal(9), &|usage| {
            usage.leaf.oom_kills = Some(2);
            usage.leaf.oom_events = Some(1);
        });
        let said = line(&oom, "x");
        assert!(
            said.contains("isolate-run: memory limit exceeded (signal 9); CPU"),
            "{said}"
        );
        let unstarted = Report {
            unstarted: Some(Unstarted::NotExecuted("why".to_owned())),
            ..of(Exit::Code(127), &|_| {})
        };
        assert_eq!(line(&unstarted, "x"), "isolate-run: not started: why");
        assert_eq!(exit_code(&unstarted), 127);
    }

    #[test]
    fn exit_codes_are_those_of_a_shell_and_of_timeout() {
        for (ending, code) in [
            (Ending::Program(Exit::Code(0)), 0),
            (Ending::Program(Exit::Code(77)), 77),
            (Ending::Program(Exit::Signal(11)), 139),
            (Ending::Killed(KillReason::CpuTime), 124),
            (Ending::Killed(KillReason::WallTime), 124),
            (Ending::Killed(KillReason::Interrupted(2)), 130),
            (Ending::Failed("x".into()), 125),
        ] {
            assert_eq!(exit_code(&report(ending, Some(usage(1, 1)))), code);
        }
    }
}
