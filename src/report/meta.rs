//! The meta file, byte for byte as isolate writes it: the keys, their order, their formats. Nothing
//! may be added, since clients fail on keys that they do not know.

use super::{Ending, KillReason, Report, Verdict, seconds};
use crate::sys::process::Exit;

/// The content for a run.
pub(crate) fn format(report: &Report, cg: bool) -> String {
    let verdict = report.verdict();
    let mut text = String::new();
    match &report.ending {
        // What the program did stands before the verdict on it.
        Ending::Program(exit) => {
            figures(&mut text, report, cg);
            if verdict.status() != Some("TO") {
                match exit {
                    Exit::Code(code) => line(&mut text, "exitcode", code),
                    Exit::Signal(signal) => line(&mut text, "exitsig", signal),
                }
            }
            status(&mut text, &verdict);
        }
        // As if it had written above its limit for files.
        Ending::Killed(KillReason::Output) => {
            figures(&mut text, report, cg);
            line(&mut text, "exitsig", libc::SIGXFSZ);
            status(&mut text, &verdict);
        }
        // What the sandbox did stands before the figures.
        Ending::Killed(_) | Ending::Failed(_) => {
            if let Ending::Killed(KillReason::Interrupted(signal)) = report.ending {
                line(&mut text, "exitsig", signal);
            }
            status(&mut text, &verdict);
            if report.was_killed() {
                line(&mut text, "killed", 1);
            }
            figures(&mut text, report, cg);
        }
    }
    text
}

/// The content for a call that was refused or failed before there was a run.
pub(crate) fn format_failure(message: &str) -> String {
    let mut text = String::new();
    status(&mut text, &Verdict::Internal(message.to_owned()));
    text
}

fn status(text: &mut String, verdict: &Verdict) {
    if let Some(status) = verdict.status() {
        line(text, "status", status);
    }
    if let Some(message) = verdict.message() {
        line(text, "message", one_field(&message));
    }
}

fn figures(text: &mut String, report: &Report, cg: bool) {
    let Some(usage) = &report.usage else { return };
    line(text, "time", seconds(usage.cpu.total));
    line(text, "time-wall", seconds(usage.wall));
    if let Some(processes) = &usage.processes {
        line(text, "max-rss", processes.max_rss_kib);
        line(text, "csw-voluntary", processes.voluntary_switches);
        line(text, "csw-forced", processes.forced_switches);
    }
    if cg {
        if let Some(peak) = usage.leaf.memory_peak {
            line(text, "cg-mem", peak.0 / 1024);
        }
        if usage.leaf.was_oom() {
            line(text, "cg-oom-killed", 1);
        }
    }
}

fn line(text: &mut String, key: &str, value: impl std::fmt::Display) {
    text.push_str(&format!("{key}:{value}\n"));
}

/// A message on one line and without a colon: many clients split lines at colons and take the
/// second part.
fn one_field(message: &str) -> String {
    message
        .replace(": ", " - ")
        .chars()
        .map(|c| if c == ':' || c.is_control() { ' ' } else { c })
        .collect()
}

/// Writes any message: two lines with a colon each, for clients that split lines there.
#[cfg(fuzzing)]
pub fn any_message(bytes: &[u8]) {
    let text = format_failure(&String::from_utf8_lossy(bytes));
    let lines: Vec<_> = text.split('\n').collect();
    assert!(matches!(lines[..], ["status:XX", _, ""]), "{text:?}");
    assert_eq!(lines[1].matches(':').count(), 1, "{text:?}");
    assert!(lines[1].starts_with("message:"), "{text:?}");
}

#[cfg(test)]
mod tests {
    use super::super::tests::{report, usage};
    use super::*;
    use crate::cgroup::LeafUsage;
    use crate::quantity::Bytes;

    const FIGURES: &str =
        "time:0.012\ntime-wall:0.345\nmax-rss:1234\ncsw-voluntary:5\ncsw-forced:6\n";

    fn meta(ending: Ending) -> String {
        format(&report(ending, Some(usage(12, 345))), false)
    }

    #[test]
    fn every_ending_has_its_exact_bytes() {
        for (ending, expected) in [
            (
                Ending::Program(Exit::Code(0)),
                format!("{FIGURES}exitcode:0\n"),
            ),
            (
                Ending::Program(Exit::Code(3)),
                format!("{FIGURES}exitcode:3\nstatus:RE\nmessage:Exited with error status 3\n"),
            ),
            (
                Ending::Program(Exit::Signal(11)),
                format!("{FIGURES}exitsig:11\nstatus:SG\nmessage:Caught fatal signal 11\n"),
            ),
            (
                Ending::Killed(KillReason::CpuTime),
                format!("status:TO\nmessage:Time limit exceeded\nkilled:1\n{FIGURES}"),
            ),
            (
                Ending::Killed(KillReason::WallTime),
                format!("status:TO\nmessage:Time limit exceeded (wall clock)\nkilled:1\n{FIGURES}"),
            ),
            (
                Ending::Killed(KillReason::Interrupted(15)),
                format!("exitsig:15\nstatus:SG\nmessage:Interrupted\nkilled:1\n{FIGURES}"),
            ),
            (
                Ending::Failed("cannot x: y".into()),
                format!("status:XX\nmessage:cannot x - y\nkilled:1\n{FIGURES}"),
            ),
        ] {
            assert_eq!(meta(ending), expected);
        }
    }

    #[test]
    fn a_limit_found_exceeded_at_the_end_hides_the_exit_code_and_is_no_kill() {
        let late = report(Ending::Program(Exit::Code(0)), Some(usage(1001, 1500)));
        assert_eq!(
            format(&late, false),
            "time:1.001\ntime-wall:1.500\nmax-rss:1234\ncsw-voluntary:5\ncsw-forced:6\n\
             status:TO\nmessage:Time limit exceeded\n"
        );
    }

    #[test]
    fn control_group_mode_adds_memory_and_the_oom_kill() {
        let mut used = usage(12, 345);
        used.leaf = LeafUsage {
            memory_peak: Some(Bytes(2048)),
            oom_kills: Some(1),
            oom_events: Some(1),
            processes_peak: Some(1),
            ..LeafUsage::default()
        };
        let killed = report(Ending::Program(Exit::Signal(9)), Some(used));
        let expected = format!(
            "{FIGURES}cg-mem:2\ncg-oom-killed:1\nexitsig:9\nstatus:SG\nmessage:Caught fatal signal 9\n"
        );
        assert_eq!(format(&killed, true), expected);
        assert!(!format(&killed, false).contains("cg-"));
    }

    #[test]
    fn a_failure_before_the_start_has_no_figures() {
        assert_eq!(
            format(&report(Ending::Failed("a:b\nc".into()), None), true),
            "status:XX\nmessage:a b c\n"
        );
        assert_eq!(format_failure("x: y"), "status:XX\nmessage:x - y\n");
    }
}
