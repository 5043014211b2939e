//! What a caller is allowed: polkit is asked, unless it has allowed the very same a short time ago;
//! and who is told when all is.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::answers::{Answers, Question};
use super::introduction::tell;
use crate::clock::Moment;
use crate::failure::Failure;
use crate::polkit::{Action, Authority};

/// What polkit said before, and for whom it would count.
#[derive(Debug)]
pub(super) struct Before<'a> {
    /// The answers to this user, if there are any.
    pub(super) answers: Option<&'a Answers>,
    /// The circumstances of the request; `None` where no answer counts for another request.
    pub(super) circumstances: Option<Vec<u8>>,
    /// How long an answer counts.
    pub(super) keep: Duration,
}

/// Who waits to hear that a request is allowed. The default is that nobody else does.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    /// To the steward of the series.
    line: Option<OwnedFd>,
    /// The steward knows that something was allowed.
    is_known: bool,
}

impl Allowed {
    /// For a request of a series.
    pub(super) fn of_series(line: OwnedFd, is_known: bool) -> Self {
        let line = Some(line);
        Self { line, is_known }
    }

    /// Whether the request is one of a series.
    pub(super) fn is_of_series(&self) -> bool {
        self.line.is_some()
    }

    /// The line to the steward, to be moved to another number.
    pub(super) fn line(&mut self) -> Option<&mut OwnedFd> {
        self.line.as_mut()
    }

    /// Asks for what is not allowed yet, without waiting for the answers. When all is, calls `then`
    /// with a note of what was.
    pub(super) fn ask(
        self,
        authority: &mut Authority,
        before: &Before<'_>,
        actions: &[Action],
        details: &[(&'static str, String)],
        then: impl FnOnce(Vec<u8>) + 'static,
    ) -> Result<(), Failure> {
        let now = Moment::now().map_err(Failure::at("cannot read the clock (CLOCK_MONOTONIC)"))?;
        let mut asked = Vec::new();
        for action in actions {
            let circumstances = before.circumstances.as_deref();
            let question = circumstances.map(|here| Question::of(here, *action, details));
            let known = question.as_ref().zip(before.answers);
            if !known.is_some_and(|(question, answers)| answers.allow(question, now, before.keep)) {
                authority.ask(*action, details);
                asked.extend(question);
            }
        }
        let note = Answers::to(asked, now, authority.dialog()).to_note();
        authority.when_allowed(move |for_others| {
            then(if for_others { note } else { Vec::new() });
            if let Some(line) = self.line.filter(|_| !self.is_known) {
                tell(line.as_fd());
            }
        });
        Ok(())
    }
}
