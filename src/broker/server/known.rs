//! What the broker's own process remembers for the keepers that it makes: what polkit has allowed
//! to whom. It lies in memory alone, and a keeper has it as it was when that was made.

use std::collections::HashMap;

use super::answers::Answers;
use crate::clock::Moment;

/// The answers to each user.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<u32, Answers>);

impl Known {
    /// What was allowed to this user, if anything.
    pub(super) fn of(&self, uid: u32) -> Option<&Answers> {
        self.0.get(&uid)
    }

    /// Takes in what a keeper tells ([`Answers::to_note`]), and forgets what is over, of all users.
    pub(super) fn take_in(&mut self, uid: u32, note: &[u8]) {
        let (Some(answers), Ok(now)) = (Answers::from_note(note), Moment::now()) else {
            return;
        };
        self.0.entry(uid).or_default().take_in(answers);
        self.0.retain(|_, answers| {
            answers.forget_old(now);
            !answers.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::answers::Question;
    use super::*;
    use crate::polkit::{Action, Dialog};

    #[test]
    fn each_user_has_their_own_and_what_is_over_goes() {
        let (now, keep) = (Moment::now().unwrap(), Duration::from_secs(10));
        let question = Question::of(b"", Action::UseBox, &[]);
        let note = |asked| Answers::to(vec![question], asked, Dialog::Impossible).to_note();
        let mut known = Known::default();
        known.take_in(1, &note(now));
        let allow = |answers: &Answers| answers.allow(&question, now, keep);
        assert!(known.of(1).is_some_and(allow));
        assert!(!known.of(2).is_some_and(allow));
        known.take_in(2, &note(Moment::from_nanoseconds(0)));
        known.take_in(3, b"");
        known.take_in(3, b"\xff nonsense");
        assert_eq!(known.0.len(), 1);
    }
}
