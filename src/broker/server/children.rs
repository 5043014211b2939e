//! The keepers of all requests under way, as the broker's own process sees them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::commands::Failure;
use crate::sys::process;

/// How many requests of one user may be under way. What runs are allowed to take is the administrator's to say
/// (`[limits]`); this keeps one user's connections from filling the machine with processes before that is asked.
const MOST_OF_A_USER: usize = 256;
/// The same for all users together.
const MOST: usize = 1024;

/// One keeper.
#[derive(Debug)]
struct Child {
    /// The user whose request it serves.
    uid: u32,
    pidfd: OwnedFd,
    /// Where it asks; at its end when the keeper has ended.
    account: OwnedFd,
}

/// All keepers.
#[derive(Debug, Default)]
pub(super) struct Children(Vec<Child>);

impl Children {
    /// Whether a user may have another request under way.
    pub(super) fn may_have_another(&self, uid: u32) -> Result<(), Failure> {
        let theirs = self.0.iter().filter(|child| child.uid == uid).count();
        let refused = |whose: &str, number, most| {
            Failure::new(format!(
                "{whose} {number} requests under way, of at most {most}: wait until some of them have ended"
            ))
        };
        if theirs >= MOST_OF_A_USER {
            return Err(refused(&format!("user {uid} has"), theirs, MOST_OF_A_USER));
        }
        if self.0.len() >= MOST {
            return Err(refused("all users together have", self.0.len(), MOST));
        }
        Ok(())
    }

    /// Takes note of a new one.
    pub(super) fn add(&mut self, uid: u32, pidfd: OwnedFd, account: OwnedFd) {
        self.0.push(Child {
            uid,
            pidfd,
            account,
        });
    }

    /// Where each of them is heard.
    pub(super) fn accounts(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|child| child.account.as_fd())
    }

    /// Hears those at these places, which rise.
    pub(super) fn hear(&mut self, places: &[usize]) {
        for place in places.iter().rev() {
            let child = self.0.swap_remove(*place);
            // Its account was closed by its end.
            process::wait_for(child.pidfd.as_fd()).ok();
        }
    }
}
