//! What polkit has allowed to somebody, for a short time. Pure.
//!
//! An answer counts for the very same question in the very same circumstances: the action and every
//! detail that a rule can see, the number of the box and the name of the program included. So a
//! rule can tell the difference by the time alone, or by the number of the process that asks. Only
//! a "yes" is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Moment;
use crate::config::settings::KEEP_ANSWERS_MAX;
use crate::polkit::{Action, Dialog};

/// How many answers to a user are kept; the oldest goes. A judge with many boxes has three for
/// each.
const MOST: usize = 512;
/// No answer counts for longer.
const LONGEST: Duration = Duration::from_secs(KEEP_ANSWERS_MAX as u64);

/// A question: the digest of all that it consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Question([u8; 32]);

impl Question {
    /// Whether somebody in these circumstances may do this, with these details.
    pub(super) fn of(circumstances: &[u8], action: Action, details: &[(&str, String)]) -> Self {
        let mut digest = Sha256::new();
        digest.update(circumstances.len().to_ne_bytes());
        digest.update(circumstances);
        let pairs = details
            .iter()
            .flat_map(|(name, value)| [*name, value.as_str()]);
        for part in [action.id()].into_iter().chain(pairs) {
            digest.update(part.len().to_ne_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// Questions that were answered by "yes", each with the time of asking (nanoseconds of [`Moment`]).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answers(Vec<(Question, u64)>);

impl Answers {
    /// For [`Self::from_note`]. Nothing is an empty note.
    pub(super) fn to_note(&self) -> Vec<u8> {
        match self.is_empty() {
            true => Vec::new(),
            false => postcard::to_stdvec(self).unwrap_or_default(),
        }
    }

    /// What is in a note; `None` where that is nothing.
    pub(super) fn from_note(note: &[u8]) -> Option<Self> {
        postcard::from_bytes(note).ok()
    }

    /// Those that were asked together at this time. Where a person could be asked for a password,
    /// none counts: a rule may want one each time.
    pub(super) fn to(questions: Vec<Question>, asked: Moment, dialog: Dialog) -> Self {
        if dialog == Dialog::Possible {
            return Self::default();
        }
        let asked = asked.to_nanoseconds();
        Self(questions.into_iter().map(|one| (one, asked)).collect())
    }

    /// Whether this is allowed now without asking, if an answer counts for so long.
    pub(super) fn allow(&self, question: &Question, now: Moment, keep: Duration) -> bool {
        self.0
            .iter()
            .any(|(known, asked)| known == question && is_fresh(*asked, now, keep))
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets what counts no longer, however long that is.
    pub(super) fn forget_old(&mut self, now: Moment) {
        self.0.retain(|(_, asked)| is_fresh(*asked, now, LONGEST));
    }

    /// Adds others; the oldest go where there are too many.
    pub(super) fn take_in(&mut self, others: Self) {
        for (question, asked) in others.0 {
            self.0.retain(|(known, _)| *known != question);
            self.0.push((question, asked));
        }
        let surplus = self.0.len().saturating_sub(MOST);
        self.0.drain(..surplus);
    }
}

fn is_fresh(asked: u64, now: Moment, keep: Duration) -> bool {
    now.since(Moment::from_nanoseconds(asked)) < keep
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Moment {
        Moment::from_nanoseconds(seconds * 1_000_000_000)
    }

    fn question(action: Action, details: &[(&str, &str)]) -> Question {
        let details: Vec<_> = details
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Question::of(b"here", action, &details)
    }

    fn to(questions: Vec<Question>, asked: Moment) -> Answers {
        Answers::to(questions, asked, Dialog::Impossible)
    }

    #[test]
    fn what_somebody_was_asked_for_counts_once() {
        let asked = question(Action::UseBox, &[("box-id", "3")]);
        let answers = Answers::to(vec![asked], at(100), Dialog::Possible);
        assert!(!answers.allow(&asked, at(100), KEEP));
    }

    #[test]
    fn every_detail_makes_another_question() {
        let details = [("command", "run"), ("box-id", "3"), ("program", "/bin/a")];
        let asked = question(Action::UseBox, &details);
        assert_eq!(question(Action::UseBox, &details), asked);
        assert_ne!(question(Action::UseDevices, &details), asked);
        for at in 0..details.len() {
            let mut other = details;
            other[at].1 = "4";
            assert_ne!(question(Action::UseBox, &other), asked);
            let others = details.iter().enumerate().filter(|one| one.0 != at);
            let fewer: Vec<_> = others.map(|one| *one.1).collect();
            assert_ne!(question(Action::UseBox, &fewer), asked);
        }
        assert_ne!(
            Question::of(b"there", Action::UseBox, &[]),
            Question::of(b"here", Action::UseBox, &[])
        );
        // Where a part ends counts.
        let one = question(Action::UseBox, &[("a", "bc"), ("d", "")]);
        assert_ne!(question(Action::UseBox, &[("a", "b"), ("cd", "")]), one);
    }

    #[test]
    fn a_yes_counts_for_its_time_and_its_question() {
        let asked = question(Action::UseBox, &[("box-id", "3")]);
        let other = question(Action::UseBox, &[("box-id", "4")]);
        let mut answers = Answers::default();
        let allow = |answers: &Answers, now| answers.allow(&asked, at(now), KEEP);
        assert!(!allow(&answers, 0));
        answers.take_in(to(vec![asked], at(100)));
        assert!(allow(&answers, 101) && allow(&answers, 109));
        assert!(!answers.allow(&other, at(101), KEEP));
        assert!(!allow(&answers, 110));
        // What is configured now counts, and not what was when it was asked.
        assert!(!answers.allow(&asked, at(105), Duration::from_secs(5)));
        assert!(answers.allow(&asked, at(399), LONGEST));
        // What is asked anew counts from then on.
        answers.take_in(to(vec![asked], at(108)));
        assert!(allow(&answers, 117) && !allow(&answers, 118));
        answers.forget_old(at(407));
        assert!(!answers.is_empty());
        answers.forget_old(at(408));
        assert!(answers.is_empty());
    }

    #[test]
    fn only_so_many_are_kept() {
        let nth = |number: usize| question(Action::UseBox, &[("box-id", &number.to_string())]);
        let mut answers = Answers::default();
        for number in 0..=MOST {
            answers.take_in(to(vec![nth(number)], at(1)));
        }
        let allow = |number| answers.allow(&nth(number), at(1), KEEP);
        assert!(!allow(0));
        assert!((1..=MOST).all(allow));
        assert_eq!(answers.0.len(), MOST);
    }
}
