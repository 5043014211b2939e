//! What `exec` prints for people at the end: a line, and another one where there is something to
//! explain.

use std::time::Duration;

use nix::sys::resource::Resource;

use super::circumstances::limit_of;
use super::explained::{explained, name_of};
use super::{Circumstances, EXIT_NOT_EXECUTED, Report, Usage, Verdict, seconds};
use crate::plan::Deadlines;
use crate::quantity::Bytes;
use crate::screen::{Ink, Screen};

/// The exit code of `exec` when a time limit was exceeded, as timeout(1) has it.
const EXIT_TIME_LIMIT: u8 = 124;
/// The exit code of `exec` when the sandbox did not work.
pub(crate) const EXIT_INTERNAL: u8 = 125;

/// The summary: verdict, what was used of what, and a line that explains the verdict where one is
/// known. With colors, which [`Screen::fitting`] takes away again.
///
/// [`Screen::fitting`]: crate::screen::Screen::fitting
pub(crate) fn line(report: &Report, circumstances: &Circumstances) -> String {
    let screen = Screen::COLORED;
    let verdict = report.verdict();
    let words = match &verdict {
        Verdict::Ok => "ok".to_owned(),
        Verdict::ExitCode(code) => format!("exited with code {code}"),
        Verdict::NotExecuted(reason) | Verdict::NotOpened(reason) => {
            let words = screen.paint(Ink::Red, "not started");
            return format!("isolate-run: {words}: {reason}");
        }
        Verdict::Memory(signal) => format!("memory limit exceeded (signal {signal})"),
        Verdict::MemoryAndTime(signal) => {
            format!("memory limit exceeded (signal {signal}), and a time limit as well")
        }
        Verdict::Signal(signal) => format!("killed by signal {signal}{}", name_of(*signal)),
        Verdict::Interrupted(signal) => {
            format!("interrupted by signal {signal}{}", name_of(*signal))
        }
        Verdict::CpuTime => "CPU time limit exceeded".to_owned(),
        Verdict::WallTime => "wall time limit exceeded".to_owned(),
        Verdict::Output => "output limit exceeded".to_owned(),
        Verdict::Internal(message) => return format!("isolate-run: {message}"),
    };
    let ink = if verdict == Verdict::Ok {
        Ink::Green
    } else {
        Ink::Red
    };
    let mut line = format!("isolate-run: {}", screen.paint(ink, &words));
    let reached = reached(report, circumstances);
    let is_free = reached.is_none();
    if let Some(reached) = reached {
        line.push_str(&format!("; {reached}"));
    }
    if let Some(usage) = &report.usage {
        line.push_str(&figures(report, usage, circumstances));
        if is_free && is_without_limits(report, circumstances) {
            line.push_str("; no limits");
        }
    }
    if let Some(explanation) = explained(&verdict) {
        let explanation = format!("  that is: {explanation}");
        line.push_str(&format!("\n{}", screen.paint(Ink::Dim, &explanation)));
    }
    line
}

/// What was used, each figure with its limit beside it.
fn figures(report: &Report, usage: &Usage, circumstances: &Circumstances) -> String {
    let leaf = &circumstances.leaf;
    let memory_limit = leaf.memory.filter(|_| leaf.controlled);
    let Deadlines { cpu, wall, .. } = report.deadlines;
    let of = |limit: Option<String>| limit.map_or(String::new(), |limit| format!(" of {limit}"));
    let memory = match (usage.leaf.memory_peak, usage.processes) {
        (Some(peak), _) => format!(
            ", memory {}{}",
            mebibytes(peak),
            of(memory_limit.map(mebibytes_of_limit))
        ),
        (None, Some(processes)) => format!(
            ", largest process {}",
            mebibytes(Bytes(processes.max_rss_kib * 1024))
        ),
        (None, None) => String::new(),
    };
    let addresses = match (memory_limit, report.address_space) {
        // After a signal it is told with the reason.
        (None, Some(limit)) if !matches!(report.verdict(), Verdict::Signal(_)) => {
            format!(
                ", addresses of each process up to {} (-m)",
                mebibytes_of_limit(limit)
            )
        }
        _ => String::new(),
    };
    format!(
        "; CPU {}{}, wall {}{}{memory}{addresses}",
        time(usage.cpu.total),
        of(cpu.map(time_of_limit)),
        time(usage.wall),
        of(wall.map(time_of_limit)),
    )
}

/// Whether nobody has set a limit that a program is likely to meet. That of processes is always
/// there.
fn is_without_limits(report: &Report, circumstances: &Circumstances) -> bool {
    let leaf = &circumstances.leaf;
    let Deadlines { cpu, wall, .. } = report.deadlines;
    let has = |which| limit_of(&circumstances.rlimits, which).is_some();
    cpu.is_none()
        && wall.is_none()
        && leaf.memory.filter(|_| leaf.controlled).is_none()
        && report.address_space.is_none()
        && !has(Resource::RLIMIT_STACK)
        && !has(Resource::RLIMIT_FSIZE)
}

/// A limit that the program has reached, which may explain the verdict.
fn reached(report: &Report, circumstances: &Circumstances) -> Option<String> {
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
    let Verdict::Signal(signal) = report.verdict() else {
        return None;
    };
    let stack = limit_of(&circumstances.rlimits, Resource::RLIMIT_STACK);
    let stack = stack.filter(|_| signal == libc::SIGSEGV);
    let (limit, of) = match (report.address_space, stack) {
        (Some(limit), _) => (limit, "addresses (-m)"),
        (None, Some(limit)) => (Bytes(limit), "stack (-k)"),
        (None, None) => return None,
    };
    let shown = match limit < Bytes(1 << 20) {
        true => format!("{} KiB", limit.0.div_ceil(1024)),
        false => mebibytes(limit),
    };
    Some(format!("each process had at most {shown} of {of}"))
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
        Verdict::Output => of_signal(libc::SIGXFSZ),
        Verdict::CpuTime | Verdict::WallTime | Verdict::NotOpened(_) => EXIT_TIME_LIMIT,
        Verdict::Internal(_) => EXIT_INTERNAL,
    }
}

fn time(time: Duration) -> String {
    format!("{} s", seconds(time))
}

/// A limit as it was given: without digits that say nothing.
fn time_of_limit(time: Duration) -> String {
    let text = seconds(time);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} s")
}

fn mebibytes_of_limit(bytes: Bytes) -> String {
    mebibytes(bytes).replace(".0 ", " ")
}

fn mebibytes(bytes: Bytes) -> String {
    // Exact in integers: tenths of a MiB, rounded up.
    let tenths = (bytes.0 * 10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::super::circumstances::tests::circumstances;
    use super::super::tests::{report, usage};
    use super::super::{Ending, KillReason, Unstarted, Usage};
    use super::*;

    /// The summary as it looks without colors, of a run without a limit of memory.
    fn line(report: &Report) -> String {
        Screen::PLAIN.fitting(&super::line(report, &circumstances()))
    }
    use crate::plan::Rlimit;
    use crate::sys::process::Exit;

    #[test]
    fn the_summary_says_what_happened_and_what_was_used_of_what() {
        let ok = report(Ending::Program(Exit::Code(0)), Some(usage(12, 345)));
        assert_eq!(
            line(&ok),
            "isolate-run: ok; CPU 0.012 s of 1 s, wall 0.345 s of 10 s, largest process 1.3 MiB"
        );
        let signalled = report(Ending::Program(Exit::Signal(11)), Some(usage(1, 1)));
        let said = line(&signalled);
        let mut small = circumstances();
        small.rlimits.push(Rlimit {
            resource: Resource::RLIMIT_STACK,
            soft: 1 << 20,
            hard: 1 << 20,
        });
        let of_stack = super::line(&signalled, &small);
        assert!(
            of_stack.contains("; each process had at most 1.0 MiB of stack (-k); CPU"),
            "{of_stack}"
        );
        assert!(said.contains("killed by signal 11 (SIGSEGV); CPU"));
        assert!(said.contains("\n  that is: it used memory"), "{said}");
    }

    #[test]
    fn a_limit_of_memory_stands_beside_the_peak_and_having_none_is_told() {
        let mut used = usage(12, 345);
        used.leaf.memory_peak = Some(Bytes(3 << 19));
        let mut of = circumstances();
        (of.leaf.controlled, of.leaf.memory) = (true, Some(Bytes(64 << 20)));
        let mut run = report(Ending::Program(Exit::Code(0)), Some(used));
        let said = super::line(&run, &of);
        assert!(said.contains(", memory 1.5 MiB of 64 MiB"), "{said}");
        (run.deadlines.cpu, run.deadlines.wall) = (None, None);
        assert!(!super::line(&run, &of).contains("no limits"));
        let said = line(&run);
        let words = "ok; CPU 0.012 s, wall 0.345 s, memory 1.5 MiB; no limits";
        assert!(said.ends_with(words), "{said}");
        run.address_space = Some(Bytes(64 << 20));
        let said = line(&run);
        let words = "memory 1.5 MiB, addresses of each process up to 64 MiB (-m)";
        assert!(said.ends_with(words), "{said}");
    }

    #[test]
    fn the_verdict_alone_has_the_color_of_its_kind() {
        let line = |exit| {
            let report = report(Ending::Program(exit), Some(usage(1, 1)));
            super::line(&report, &circumstances())
        };
        let ok = line(Exit::Code(0));
        assert!(
            ok.starts_with("isolate-run: \x1b[32mok\x1b[0m; CPU"),
            "{ok}"
        );
        let failed = line(Exit::Code(3));
        let words = "isolate-run: \x1b[31mexited with code 3\x1b[0m; CPU";
        assert!(failed.starts_with(words), "{failed}");
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
        let said = line(&refused);
        let words = "exited with code 1; a limit of processes was reached 3 times (-p); CPU";
        assert!(said.contains(words), "{said}");
        let killed = Report {
            address_space: Some(Bytes(1024)),
            ..of(Exit::Signal(11), &|_| {})
        };
        let said = line(&killed);
        assert!(
            said.contains("; each process had at most 1 KiB of addresses (-m)"),
            "{said}"
        );
        let oom = of(Exit::Signal(9), &|usage| {
            usage.leaf.oom_kills = Some(2);
            usage.leaf.oom_events = Some(1);
        });
        let said = line(&oom);
        assert!(
            said.contains("isolate-run: memory limit exceeded (signal 9); CPU"),
            "{said}"
        );
        let unstarted = Report {
            unstarted: Some(Unstarted::NotExecuted("why".to_owned())),
            ..of(Exit::Code(127), &|_| {})
        };
        assert_eq!(line(&unstarted), "isolate-run: not started: why");
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
