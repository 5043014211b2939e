//! The one line that `exec` prints for people.

use std::time::Duration;

use super::{Report, Verdict, seconds};
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
        Verdict::Signal(signal) if was_oom(report) => {
            format!("killed for memory (signal {signal})")
        }
        Verdict::MemoryAndTime(signal) => {
            format!("killed for memory (signal {signal}), and above a time limit")
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
    format!(
        "isolate-run: {verdict}; CPU {}, wall {}{memory}; held by {holder}",
        time(usage.cpu.total),
        time(usage.wall)
    )
}

/// The exit code of `exec`: the program's own, or one that says why it has none.
pub(crate) fn exit_code(report: &Report) -> u8 {
    let of_signal = |signal: i32| u8::try_from(128 + signal).unwrap_or(u8::MAX);
    match report.verdict() {
        Verdict::Ok => 0,
        Verdict::ExitCode(code) => u8::try_from(code).unwrap_or(u8::MAX),
        Verdict::Signal(signal) | Verdict::MemoryAndTime(signal) | Verdict::Interrupted(signal) => {
            of_signal(signal)
        }
        Verdict::CpuTime | Verdict::WallTime => EXIT_TIME_LIMIT,
        Verdict::Internal(_) => EXIT_INTERNAL,
    }
}

fn was_oom(report: &Report) -> bool {
    report.usage.is_some_and(|usage| usage.leaf.was_oom())
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
    use super::super::{Ending, KillReason};
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
        assert!(line(&signalled, "x").contains("killed by signal 11 (SIGSEGV)"));
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
