//! What a keeper asks the broker's own process: whether its user may have so much more.

use std::os::fd::OwnedFd;

/// The keeper's side. What it was given is given back when the keeper has ended.
#[derive(Debug)]
pub(super) struct Account(OwnedFd);

impl Account {
    /// The account over this channel.
    pub(super) fn new(channel: OwnedFd) -> Self {
        Self(channel)
    }

    /// The channel, to be moved to another number.
    pub(super) fn channel(&mut self) -> &mut OwnedFd {
        &mut self.0
    }
}
