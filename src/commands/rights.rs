//! What a caller may do beyond using boxes of their own.

use std::cell::RefCell;

use crate::polkit::{Action, Authority, Denied};

/// Whom to ask, and what to tell about the request.
#[derive(Debug)]
pub(crate) struct Rights {
    authority: RefCell<Authority>,
    details: Vec<(&'static str, String)>,
}

impl Rights {
    /// polkit's word counts.
    pub(crate) fn new(authority: Authority, details: Vec<(&'static str, String)>) -> Self {
        Self {
            authority: RefCell::new(authority),
            details,
        }
    }

    /// Waits for the answers to what was asked before.
    pub(crate) fn wait(&self) -> Result<(), Denied> {
        self.authority.borrow_mut().wait()
    }

    /// Whether there are no answers yet to what was asked before.
    pub(super) fn are_awaited(&self) -> bool {
        self.authority.borrow().is_asking()
    }

    /// What was asked before, for a run that is made ready meanwhile.
    pub(super) fn permission(&self) -> &RefCell<Authority> {
        &self.authority
    }

    /// Whether the caller was told that they may not.
    pub(super) fn were_denied(&self) -> bool {
        self.authority.borrow().has_denied()
    }

    /// Whether the caller may.
    pub(super) fn may(&self, action: Action) -> Result<(), Denied> {
        self.authority.borrow_mut().may(action, &self.details)
    }

    /// Whether the caller may without anybody being asked for a password.
    pub(super) fn may_already(&self, action: Action) -> bool {
        let mut authority = self.authority.borrow_mut();
        authority.may_already(action, &self.details)
    }
}
