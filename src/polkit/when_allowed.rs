//! What somebody else learns at the first "yes": also whether other processes would have had it.

use std::fmt;

use super::Question;
use super::call::Verdict;

/// An action that is done once, or none.
#[derive(Default)]
pub(super) struct WhenAllowed(Option<Box<dyn FnOnce(bool)>>);

impl WhenAllowed {
    /// Sets the action.
    pub(super) fn set(&mut self, then: impl FnOnce(bool) + 'static) {
        self.0 = Some(Box::new(then));
    }

    /// Does it, unless that was done before.
    pub(super) fn happen(&mut self, said: &[(Question, Verdict)]) {
        let by_password = Verdict::Allowed { by_password: true };
        if let Some(then) = self.0.take() {
            then(said.iter().all(|(_, verdict)| *verdict != by_password));
        }
    }
}

impl fmt::Debug for WhenAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WhenAllowed")
            .field(&self.0.is_some())
            .finish()
    }
}
