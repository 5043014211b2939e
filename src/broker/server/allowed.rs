//! What a caller is allowed: polkit is asked, unless it has allowed the very same for the same
//! series a short time ago.

use std::os::fd::{AsFd, OwnedFd};

use super::answers::{Answers, Question};
use super::introduction::tell;
use crate::clock::Moment;
use crate::failure::Failure;
use crate::polkit::{Action, Authority};

/// What is allowed already. The default is nothing, and that nobody else needs to know more.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    /// To the steward of the series.
    line: Option<OwnedFd>,
    answers: Answers,
    /// The steward knows that something was allowed.
    is_known: bool,
}

impl Allowed {
    /// For a request of a series.
    pub(super) fn of_series(line: OwnedFd, answers: Answers, is_known: bool) -> Self {
        Self {
            line: Some(line),
            answers,
            is_known,
        }
    }

    /// Whether the request is one of a series.
    pub(super) fn is_of_series(&self) -> bool {
        self.line.is_some()
    }

    /// The line to the steward, to be moved to another number.
    pub(super) fn line(&mut self) -> Option<&mut OwnedFd> {
        self.line.as_mut()
    }

    /// Asks for what is not allowed yet, without waiting for the answers; calls `then` when all is.
    pub(super) fn ask(
        self,
        authority: &mut Authority,
        actions: &[Action],
        details: &[(&'static str, String)],
        then: impl FnOnce() + 'static,
    ) -> Result<(), Failure> {
        let now = Moment::now().map_err(Failure::at("cannot read the clock (CLOCK_MONOTONIC)"))?;
        let mut asked = Vec::new();
        for action in actions {
            let question = Question::of(*action, details);
            if !self.answers.allow(&question, now) {
                authority.ask(*action, details);
                asked.push(question);
            }
        }
        // Members need no answer, and are allowed something all the same.
        let is_news = !asked.is_empty() || !self.is_known;
        let answers = Answers::to(asked, now, authority.dialog());
        authority.when_allowed(move || {
            then();
            if let Some(line) = self.line.filter(|_| is_news) {
                tell(line.as_fd(), &answers);
            }
        });
        Ok(())
    }
}
