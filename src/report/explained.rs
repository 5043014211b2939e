//! What exit codes and signals mean, for people who do not know them by heart.

use nix::sys::signal::Signal;

use super::Verdict;

/// What a verdict means, where that is not plain.
pub(super) fn explained(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Signal(signal) => of_signal(*signal).map(str::to_owned),
        Verdict::ExitCode(126) => {
            Some("so a shell tells that it could not execute a program that it found".to_owned())
        }
        Verdict::ExitCode(127) => {
            Some("so a shell tells that it did not find a program".to_owned())
        }
        Verdict::ExitCode(code) => {
            let signal = code.checked_sub(128).filter(|signal| *signal > 0)?;
            let name = Signal::try_from(signal).ok()?;
            let meaning = of_signal(signal).map(|meaning| format!(": {meaning}"));
            let meaning = meaning.unwrap_or_default();
            Some(format!(
                "128 + {signal}, so a shell tells that signal {signal} ({name}) killed a program{meaning}"
            ))
        }
        _ => None,
    }
}

/// What a program has done that such a signal kills, most likely.
fn of_signal(signal: i32) -> Option<&'static str> {
    Some(match Signal::try_from(signal).ok()? {
        Signal::SIGSEGV | Signal::SIGBUS => {
            "it used memory that it does not have (a wrong index or pointer, or a recursion without end)"
        }
        Signal::SIGABRT => "it gave up by itself (an assertion, an exception that nobody caught)",
        Signal::SIGFPE => "it divided by zero, or its result was too large",
        Signal::SIGILL => "it came to an instruction that this processor does not have",
        Signal::SIGSYS => "it made a system call that is denied",
        Signal::SIGPIPE => "it wrote to a pipe from which nobody reads any more",
        Signal::SIGXFSZ => "it wrote a file that is larger than is allowed (-f)",
        Signal::SIGXCPU => "it used more CPU time than is allowed to a process",
        Signal::SIGTRAP => "it came to a breakpoint, or gave up by itself",
        _ => return None,
    })
}

/// The name of a signal, in parentheses.
pub(super) fn name_of(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| String::new(), |name| format!(" ({name})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_above_128_and_signals_are_told_in_words() {
        let said = |verdict| explained(&verdict).unwrap_or_default();
        for (verdict, words) in [
            (Verdict::Signal(11), "it used memory that it does not have"),
            (Verdict::Signal(8), "it divided by zero"),
            (
                Verdict::ExitCode(139),
                "128 + 11, so a shell tells that signal 11 (SIGSEGV)",
            ),
            (
                Verdict::ExitCode(137),
                "signal 9 (SIGKILL) killed a program",
            ),
            (Verdict::ExitCode(127), "did not find a program"),
        ] {
            assert!(said(verdict.clone()).contains(words), "{verdict:?}");
        }
        for verdict in [
            Verdict::Ok,
            Verdict::ExitCode(1),
            Verdict::ExitCode(128),
            Verdict::ExitCode(255),
            Verdict::Signal(9),
            Verdict::Signal(-5),
            Verdict::CpuTime,
        ] {
            assert_eq!(explained(&verdict), None, "{verdict:?}");
        }
    }
}
