//! Why a call did not do what it was asked to do: the end of every error, and what a user reads.

use std::error::Error;
use std::fmt;

use crate::error::{chain, printable};

/// An error of this program's own, which names the step that failed, and on what. Errors of the
/// system do not: they become a [`Failure`] only together with these words ([`Failure::at`]).
pub(crate) trait Explained: Error {
    /// What kind of failure it is.
    fn kind(&self) -> Kind {
        Kind::Other
    }
}

/// The kinds of failures, for those who count them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// polkit has said no.
    Denied,
    /// A ceiling or another rule of the configuration is in the way.
    Ceiling,
    /// The box, or every CPU, is in use.
    Busy,
    /// Something else.
    #[default]
    Other,
}

/// One line, ready to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    text: String,
    kind: Kind,
}

impl Failure {
    /// A failure that no other error caused.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            text: printable(&message.into()),
            kind: Kind::Other,
        }
    }

    /// The same as a failure of this kind.
    pub(crate) fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What could not be done, with the error that says why: for `map_err`.
    pub(crate) fn at<E: Error + 'static>(what: &str) -> impl Fn(E) -> Self {
        move |error| Self::new(format!("{what}: {}", chain(&error)))
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Takes over the text and the kind alone: from here on the error is reported to the caller, and
/// nobody examines it.
impl<E: Explained + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(chain(&error)).of_kind(error.kind())
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
        let turned = Failure::new("cannot open '\u{202e}txt.exe'");
        assert_eq!(turned.text(), "cannot open '\\u{202e}txt.exe'");
    }
}
