//! The results of waiting for polkit, and their consequences.

use super::Action;
use super::call::Verdict;
use super::denied::Why;
use crate::bus::BusError;

/// The result of waiting.
pub(super) enum Next {
    /// polkit says yes.
    Allowed,
    /// polkit says no.
    Not(Action, Why),
    /// An error came in the place of an answer.
    Failed(Action, BusError),
    /// No question will be answered any more.
    Never(Why),
}

/// What a wait for an answer can end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Something on the bus.
    Answer,
    /// The end of the process that asks.
    End,
}

/// The reason in an answer other than "yes".
pub(super) fn why_not(verdict: Verdict) -> Option<Why> {
    match verdict {
        Verdict::Allowed { .. } => None,
        Verdict::NotAllowed => Some(Why::NotAllowed),
        Verdict::Challenge { own } => Some(Why::Challenge { own }),
        Verdict::Dismissed => Some(Why::Dismissed),
    }
}

/// Whether the bus or polkit may be back in a moment: they were being restarted, or polkit took
/// longer to start than the bus waits for it.
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
