//! Why a call did not do what it was asked to do: the end of every error, and what a user reads.

use std::error::Error;
use std::fmt;

use crate::error::{chain, printable};

/// An error of this program's own, which names the step that failed, and on what. Errors of the
/// system do not: they become a [`Failure`] only together with these words ([`Failure::at`]).
pub(crate) trait Explained: Error {}

/// One line, ready to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure that no other error caused.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(printable(&message.into()))
    }

    /// What could not be done, with the error that says why: for `map_err`.
    pub(crate) fn at<E: Error + 'static>(what: &str) -> impl Fn(E) -> Self {
        move |error| Self::new(format!("{what}: {}", chain(&error)))
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes over the text alone: from here on the error is reported to the caller, and nobody examines
/// it.
impl<E: Explained + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_system_comes_with_what_failed_in_one_spelling() {
        let what = "cannot read the clock";
        let expected = "cannot read the clock: Operation not permitted";
        let errno = nix::errno::Errno::EPERM;
        assert_eq!(Failure::at(what)(errno).text(), expected);
        assert_eq!(
            Failure::at(what)(std::io::Error::from(errno)).text(),
            expected
        );
    }

    #[test]
    fn a_failure_is_one_line_that_no_terminal_obeys() {
        let failure = Failure::new("cannot open 'a\nb\x1b'");
        assert_eq!(failure.text(), "cannot open 'a\\nb\\u{1b}'");
    }
}
