//! What failed, kept to be said once more at the end: many logs show only the last lines of a long run.

use std::collections::HashMap;

/// Lines that are kept of one test, and of all of them, and the characters of a line.
const LINES_OF_A_TEST: usize = 8;
const LINES: usize = 100;
const LENGTH: usize = 400;

/// How a line begins that tells of a test that failed, and did not when it was tried once more.
const AGAIN: &str = "AGAIN: ";

/// What was said of failures, in the order in which it was.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// How many lines are still wanted of the test that each label tells of.
    wanted: HashMap<String, usize>,
    kept: Vec<String>,
}

impl Failures {
    /// One line of what `label` prints.
    pub(crate) fn line(&mut self, label: &str, text: &str) {
        let begins = text.starts_with("---- ") && text.ends_with(" stdout ----");
        if begins {
            self.wanted.insert(label.to_owned(), LINES_OF_A_TEST);
        } else if text == "failures:" || text.starts_with("test result: ") {
            self.wanted.remove(label);
        }
        // Where it was is in the line above.
        if text == "stack backtrace:" {
            self.wanted.insert(label.to_owned(), 0);
        }
        let of_a_test = match self.wanted.get_mut(label) {
            Some(left) if *left > 0 && !text.is_empty() => {
                *left -= 1;
                true
            }
            _ => false,
        };
        let alone = text.starts_with("PROBLEM: ")
            || text.starts_with(AGAIN)
            || text.starts_with("test ") && text.ends_with("... FAILED");
        if (of_a_test || alone) && self.kept.len() < LINES {
            let text: String = text.chars().take(LENGTH).collect();
            self.kept.push(format!("{label} | {text}"));
        }
    }

    /// All that is known.
    pub(crate) fn lines(&self) -> &[String] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "test a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\n\nthread 'b' panicked at x.rs:1:1:\n\
                        left\nstack backtrace:\n   0: main\n\nfailures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored\nmore";

    #[test]
    fn names_and_reasons_are_kept_and_nothing_else() {
        let mut failures = Failures::default();
        for line in SAID.lines() {
            failures.line("one", line);
            failures.line("other", "noise");
        }
        failures.line("guest", "PROBLEM: it is gone");
        failures.line("guest", "AGAIN: it is there");
        let expected = [
            "one | test b ... FAILED",
            "one | ---- b stdout ----",
            "one | thread 'b' panicked at x.rs:1:1:",
            "one | left",
            "guest | PROBLEM: it is gone",
            "guest | AGAIN: it is there",
        ];
        assert_eq!(failures.lines(), expected);
    }

    #[test]
    fn a_test_that_says_much_leaves_room_for_others() {
        let mut failures = Failures::default();
        failures.line("one", "---- b stdout ----");
        for _ in 0..10 * LINES {
            failures.line("one", "much");
        }
        assert_eq!(failures.lines().len(), LINES_OF_A_TEST);
    }
}
