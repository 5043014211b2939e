//! Questions that nobody is asked a password for.

use super::{Action, Authority};

impl Authority {
    /// Whether this is allowed as it is: [`Authority::may`], without anybody being asked for a
    /// password.
    pub(crate) fn may_already(&mut self, action: Action, details: &[(&str, String)]) -> bool {
        let interactive = std::mem::replace(&mut self.interactive, false);
        let allowed = self.may(action, details).is_ok();
        self.interactive = interactive;
        allowed
    }

    /// Whether the caller was told that they may not do what they asked for.
    pub(crate) fn has_denied(&self) -> bool {
        self.has_denied
    }
}
