//! What comes of waiting for polkit, and what follows from it.

use super::Action;
use super::call::Verdict;
use super::denied::Why;
use crate::bus::BusError;

/// What came of waiting.
pub(super) enum Next {
    /// polkit says yes.
    Allowed,
    /// polkit says no.
    Not(Action, Why),
    /// There is an error in place of an answer.
    Failed(Action, BusError),
    /// There will be no answer to anything.
    Never(Why),
}

/// What an answer other than "yes" says.
pub(super) fn why_not(verdict: Verdict) -> Option<Why> {
    match verdict {
        Verdict::Allowed => None,
        Verdict::NotAllowed => Some(Why::NotAllowed),
        Verdict::Challenge { own } => Some(Why::Challenge { own }),
        Verdict::Dismissed => Some(Why::Dismissed),
    }
}

/// Whether the bus or polkit may be there again in a moment: they were being restarted, or polkit
/// took longer to start than the bus waits for it.
pub(super) fn may_pass(error: &BusError) -> bool {
    match error {
        BusError::Refused { name, .. } => [
            "org.freedesktop.DBus.Error.NoReply",
            "org.freedesktop.DBus.Error.Disconnected",
            "org.freedesktop.DBus.Error.NameHasNoOwner",
            "org.freedesktop.DBus.Error.TimedOut",
        ]
        .contains(&name.as_str()),
        _ => error.is_transient(),
    }
}
