//! What polkit has allowed to somebody, for a short time. Pure.
//!
//! An answer counts for the very same question in the very same circumstances: the action and every
//! detail that a rule can see, the number of the box and the name of the program included. So no
//! rule can tell the difference, but for the time. Only a "yes" is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Moment;
use crate::polkit::{Action, Dialog};

/// How many answers are kept; the oldest goes.
const MOST: usize = 64;

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

/// Questions that were answered by "yes", each with the time (nanoseconds of [`Moment`]) at which
/// that ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answers(Vec<(Question, u64)>);

impl Answers {
    /// None.
    pub(super) const NONE: Self = Self(Vec::new());

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

    /// Those that were asked together at this time, and count for so long. Where a person could be
    /// asked for a password, none does: a rule may want one each time.
    pub(super) fn to(
        questions: Vec<Question>,
        asked: Moment,
        keep: Duration,
        dialog: Dialog,
    ) -> Self {
        if dialog == Dialog::Possible {
            return Self::default();
        }
        let end = asked.after(keep).to_nanoseconds();
        Self(questions.into_iter().map(|one| (one, end)).collect())
    }

    /// Whether this is allowed now without asking.
    pub(super) fn allow(&self, question: &Question, now: Moment) -> bool {
        let now = now.to_nanoseconds();
        self.0
            .iter()
            .any(|(known, end)| known == question && now < *end)
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets what is over.
    pub(super) fn forget_old(&mut self, now: Moment) {
        let now = now.to_nanoseconds();
        self.0.retain(|(_, end)| now < *end);
    }

    /// Adds others, and forgets what is over.
    pub(super) fn take_in(&mut self, others: Self, now: Moment) {
        for (question, end) in others.0 {
            self.0.retain(|(known, _)| *known != question);
            self.0.push((question, end));
        }
        self.forget_old(now);
        let surplus = self.0.len().saturating_sub(MOST);
        self.0.drain(..surplus);
    }
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
        Answers::to(questions, asked, KEEP, Dialog::Impossible)
    }

    #[test]
    fn what_somebody_was_asked_for_counts_once() {
        let asked = question(Action::UseBox, &[("box-id", "3")]);
        let answers = Answers::to(vec![asked], at(100), KEEP, Dialog::Possible);
        assert!(!answers.allow(&asked, at(100)));
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
        assert!(!answers.allow(&asked, at(0)));
        answers.take_in(to(vec![asked], at(100)), at(101));
        assert!(answers.allow(&asked, at(101)) && answers.allow(&asked, at(109)));
        assert!(!answers.allow(&other, at(101)));
        assert!(!answers.allow(&asked, at(110)));
        // What is asked anew counts from then on.
        answers.take_in(to(vec![asked], at(108)), at(108));
        assert!(answers.allow(&asked, at(117)) && !answers.allow(&asked, at(118)));
        answers.take_in(Answers::default(), at(118));
        assert_eq!(answers, Answers::default());
    }

    #[test]
    fn only_so_many_are_kept() {
        let nth = |number: usize| question(Action::UseBox, &[("box-id", &number.to_string())]);
        let mut answers = Answers::default();
        for number in 0..=MOST {
            answers.take_in(to(vec![nth(number)], at(1)), at(1));
        }
        assert!(!answers.allow(&nth(0), at(1)));
        assert!((1..=MOST).all(|number| answers.allow(&nth(number), at(1))));
        assert_eq!(answers.0.len(), MOST);
    }
}
