//! Questions that nobody is asked a password for.

use super::{Action, Authority, Dialog};

impl Authority {
    /// Whether this is allowed as it is: [`Authority::may`], without anybody being asked for a
    /// password.
    pub(crate) fn may_already(&mut self, action: Action, details: &[(&str, String)]) -> bool {
        let dialog = std::mem::replace(&mut self.dialog, Dialog::Impossible);
        let allowed = self.may(action, details).is_ok();
        self.dialog = dialog;
        allowed
    }

    /// Whether the caller was told that they may not do what they asked for.
    pub(crate) fn has_denied(&self) -> bool {
        self.has_denied
    }
}
