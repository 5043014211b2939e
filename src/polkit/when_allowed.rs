//! What somebody else learns at the first "yes".

use std::fmt;

/// An action that is done once, or none.
#[derive(Default)]
pub(super) struct WhenAllowed(Option<Box<dyn FnOnce()>>);

impl WhenAllowed {
    /// Sets the action.
    pub(super) fn set(&mut self, then: impl FnOnce() + 'static) {
        self.0 = Some(Box::new(then));
    }

    /// Does it, unless that was done before.
    pub(super) fn happen(&mut self) {
        if let Some(then) = self.0.take() {
            then();
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
