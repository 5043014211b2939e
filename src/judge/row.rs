//! What became of a test.

use serde_json::Value;

/// The verdict on one test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// The answer is right.
    Ok,
    /// The checker gives some points.
    Partial,
    /// The answer is wrong.
    Wrong,
    /// The checker does not like its form.
    Presentation,
    /// CPU or wall time.
    Time,
    /// Memory.
    Memory,
    /// Too much output.
    Output,
    /// It failed by itself.
    Runtime,
    /// The sandbox or the checker did not work: no verdict on the solution.
    Internal,
    /// It was not carried out.
    NotRun,
}

impl Verdict {
    /// Two letters, or a word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Partial => "PT",
            Self::Wrong => "WA",
            Self::Presentation => "PE",
            Self::Time => "TL",
            Self::Memory => "ML",
            Self::Output => "OL",
            Self::Runtime => "RE",
            Self::Internal => "XX",
            Self::NotRun => "not run",
        }
    }

    /// The verdict on a run by its report; `None`: it ended well, and its output decides.
    pub(super) fn of_report(report: &Value) -> Option<Self> {
        let was_oom = report["oom_killed"] == true;
        match report["verdict"].as_str() {
            Some("ok") => None,
            Some("cpu_time_limit" | "wall_time_limit") => Some(Self::Time),
            Some("output_limit") => Some(Self::Output),
            Some("interrupted") => Some(Self::NotRun),
            Some("memory_limit" | "memory_and_time_limit") => Some(Self::Memory),
            Some("not_started") => Some(Self::Runtime),
            Some("signal" | "exit_code") if was_oom => Some(Self::Memory),
            Some("signal") if report["signal"] == libc::SIGXFSZ => Some(Self::Output),
            Some("signal" | "exit_code") => Some(Self::Runtime),
            _ => Some(Self::Internal),
        }
    }

    /// That of a checker in the manner of testlib, by its exit code.
    pub(super) fn of_checker(code: Option<u64>) -> Self {
        match code {
            Some(0) => Self::Ok,
            Some(1) => Self::Wrong,
            Some(2 | 4 | 8) => Self::Presentation,
            Some(7 | 16..) => Self::Partial,
            _ => Self::Internal,
        }
    }
}

/// Why a run did not end well: what kept the program from starting, or the report's message.
pub(super) fn why(report: &Value) -> String {
    let why = report["reason"].as_str().or(report["message"].as_str());
    let why = why.unwrap_or_default();
    let refused = match report["figures"]["processes_refused"].as_u64() {
        None | Some(0) => "",
        Some(_) => "a limit of processes was reached (-p)",
    };
    let words = [why, refused].into_iter().filter(|words| !words.is_empty());
    words.collect::<Vec<_>>().join("; ")
}

/// One test, as far as it came.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// Why, in words.
    pub(super) message: String,
    /// What a program that failed by itself printed on standard error, as far as it was kept.
    pub(super) stderr: String,
    pub(super) cpu_us: Option<u64>,
    pub(super) wall_us: Option<u64>,
    pub(super) memory_bytes: Option<u64>,
}

impl Row {
    /// One that has not begun.
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            verdict: Verdict::NotRun,
            message: String::new(),
            stderr: String::new(),
            cpu_us: None,
            wall_us: None,
            memory_bytes: None,
        }
    }

    /// Whether it is right.
    pub(super) fn is_passed(&self) -> bool {
        self.verdict == Verdict::Ok
    }

    /// Takes the figures of a report.
    pub(super) fn measure(&mut self, report: &Value) {
        let figures = &report["figures"];
        self.cpu_us = figures["cpu_time_us"].as_u64();
        self.wall_us = figures["wall_time_us"].as_u64();
        let peak = figures["memory_peak_bytes"].as_u64();
        self.memory_bytes = peak.or(figures["max_rss_bytes"].as_u64());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_a_verdict_and_so_is_the_code_of_a_checker() {
        for (report, verdict) in [
            (json!({"verdict": "ok"}), None),
            (
                json!({"verdict": "exit_code", "exit_code": 1}),
                Some(Verdict::Runtime),
            ),
            (
                json!({"verdict": "signal", "signal": 9, "oom_killed": true}),
                Some(Verdict::Memory),
            ),
            (
                json!({"verdict": "signal", "signal": 25}),
                Some(Verdict::Output),
            ),
            (json!({"verdict": "wall_time_limit"}), Some(Verdict::Time)),
            (
                json!({"verdict": "internal_error"}),
                Some(Verdict::Internal),
            ),
            (json!({}), Some(Verdict::Internal)),
        ] {
            assert_eq!(Verdict::of_report(&report), verdict, "{report}");
        }
        let refused =
            json!({"message": "Exited with error status 2", "figures": {"processes_refused": 3}});
        assert_eq!(
            why(&refused),
            "Exited with error status 2; a limit of processes was reached (-p)"
        );
        for (code, verdict) in [
            (0, "OK"),
            (1, "WA"),
            (2, "PE"),
            (3, "XX"),
            (7, "PT"),
            (20, "PT"),
        ] {
            assert_eq!(Verdict::of_checker(Some(code)).name(), verdict);
        }
        assert_eq!(Verdict::of_checker(None), Verdict::Internal);
    }
}
