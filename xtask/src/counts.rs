//! How many tests passed and failed: read from what a test binary and the guests' suite say.

use std::fmt;

/// The results of a part, as they are in the table at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) part: String,
    /// A release, or `here`.
    pub(crate) place: String,
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) seconds: u64,
    /// Seconds of processors, where that is known.
    pub(crate) cpu: u64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            part,
            place,
            passed,
            failed,
            seconds,
            cpu,
        } = self;
        write!(
            f,
            "{part:<38} {place:<10} {passed:>7} {failed:>7} {seconds:>8} {cpu:>8}"
        )
    }
}

/// What a test binary said at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
}

/// The names of the tests in the output of `--list --format terse`.
pub(crate) fn listed(output: &str) -> Vec<&str> {
    let names = output.lines();
    names
        .filter_map(|line| line.strip_suffix(": test"))
        .collect()
}

/// The last "test result: ok. 3 passed; 0 failed; 1 ignored; ...", if there is one.
pub(crate) fn last_result(output: &str) -> Option<Counts> {
    let (_, line) = output.rsplit_once("test result: ")?;
    let (_, line) = line.lines().next()?.split_once(". ")?;
    let mut counts = line.split("; ").map(|part| {
        let (number, what) = part.split_once(' ')?;
        Some((number.parse::<usize>().ok()?, what))
    });
    let mut next = |wanted| match counts.next() {
        Some(Some((number, what))) if what == wanted => Some(number),
        _ => None,
    };
    Some(Counts {
        passed: next("passed")?,
        failed: next("failed")?,
        ignored: next("ignored")?,
    })
}

/// The names of those that failed, in the list at the end of what a test binary said.
pub(crate) fn failed_tests(output: &str) -> Vec<&str> {
    let list = output.rsplit_once("\nfailures:\n");
    let lines = list.map_or("", |(_, list)| list).lines();
    let names = lines.map_while(|line| line.strip_prefix("    "));
    names.collect()
}

/// Passed and failed tests of a binary that lists so many, and what is wrong with it besides. A test that did not run
/// has failed, whatever the reason.
pub(crate) fn judge(
    listed: usize,
    result: Option<Counts>,
    status_ok: bool,
) -> (usize, usize, Option<String>) {
    let Some(counts) = result else {
        return (0, listed.max(1), Some("ended without a result".into()));
    };
    let Counts {
        passed,
        failed,
        ignored,
    } = counts;
    let ran = passed + failed;
    if listed == 0 {
        return (0, 1, Some("has no test".into()));
    }
    if ignored > 0 || ran < listed {
        let problem = format!("lists {listed} tests, but only {ran} ran ({ignored} ignored)");
        return (passed, (listed - passed).max(1), Some(problem));
    }
    if !status_ok && failed == 0 {
        let problem = "ended with an error, though no test failed".into();
        return (passed, 1, Some(problem));
    }
    (passed, failed, None)
}

/// The rows in a suite's file of results: name, passed, failed, seconds in each line.
pub(crate) fn suite_rows(text: &str, part: &str, place: &str) -> Vec<Row> {
    let row = |line: &str| {
        let mut fields = line.split('\t');
        Some(Row {
            part: format!("{part}: {}", fields.next()?),
            place: place.into(),
            passed: fields.next()?.parse().ok()?,
            failed: fields.next()?.parse().ok()?,
            seconds: fields.next()?.parse().ok()?,
            cpu: fields.next()?.parse().ok()?,
        })
    };
    // A line that cannot be read stands for something that went wrong.
    let broken = |line: &str| Row {
        part: format!("{part}: {line}"),
        place: place.into(),
        passed: 0,
        failed: 1,
        seconds: 0,
        cpu: 0,
    };
    let lines = text.lines();
    lines
        .map(|line| row(line).unwrap_or_else(|| broken(line)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: &str = "test a ... ok\ntest b ... FAILED\n\ntest result: FAILED. 11 passed; 2 failed; 1 ignored; 0 measured; \
                       0 filtered out; finished in 0.01s\n\n";

    fn counts(passed: usize, failed: usize, ignored: usize) -> Option<Counts> {
        Some(Counts {
            passed,
            failed,
            ignored,
        })
    }

    #[test]
    fn the_result_is_read_from_the_last_line_that_has_one() {
        assert_eq!(last_result(END), counts(11, 2, 1));
        assert_eq!(
            last_result(&format!("test result: ok. 1 passed; {END}")),
            counts(11, 2, 1)
        );
        for text in [
            "",
            "test result: ",
            "test result: ok. many passed; 0 failed; 0 ignored;",
        ] {
            assert_eq!(last_result(text), None, "{text}");
        }
    }

    #[test]
    fn what_failed_is_in_the_last_list() {
        let said = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\n    no\n\nfailures:\n    a\n    b::c\n\ntest result: ";
        assert_eq!(failed_tests(said), ["a", "b::c"]);
        assert!(failed_tests("test a ... ok\n").is_empty());
    }

    #[test]
    fn a_list_has_the_tests_and_nothing_else() {
        assert_eq!(
            listed("a::b: test\nc: benchmark\n\nd: test\n"),
            ["a::b", "d"]
        );
    }

    #[test]
    fn a_test_that_did_not_run_has_failed() {
        assert_eq!(judge(3, counts(3, 0, 0), true), (3, 0, None));
        assert_eq!(judge(3, counts(2, 1, 0), false), (2, 1, None));
        for (listed, result, status) in [
            (3, counts(2, 0, 0), true),
            (3, counts(2, 0, 1), true),
            (3, counts(3, 0, 0), false),
            (0, counts(0, 0, 0), true),
            (3, None, false),
            (0, None, true),
        ] {
            let (_, failed, problem) = judge(listed, result, status);
            assert!(failed > 0 && problem.is_some(), "{listed} {result:?}");
        }
    }

    #[test]
    fn a_line_of_results_that_cannot_be_read_has_failed() {
        let rows = suite_rows("root::world\t30\t0\t12\t9\nnonsense\n", "guest", "trixie");
        assert_eq!((rows[0].passed, rows[0].failed), (30, 0));
        assert_eq!((rows[1].passed, rows[1].failed), (0, 1));
    }
}
