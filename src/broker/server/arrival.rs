//! How a request arrives: over a connection of its own, or over a channel of a series, and who made
//! it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::SigSet;
use nix::sys::socket::{setsockopt, sockopt::SendTimeout};
use nix::sys::time::TimeVal;

use super::allowed::Allowed;
use super::introduction::be_introduced;
use super::peer::Peer;
use crate::broker::protocol::{Called, ProtocolError};
use crate::broker::wire::receive_request;
use crate::chronicle::Memory;
use crate::failure::Failure;
use crate::keeper::Signals;
use crate::pool::Account;

/// How long a request may take to arrive. An honest client sends all of it at once.
pub(super) const REQUEST_PATIENCE: Duration = Duration::from_secs(5);
/// How long the caller's process may take to read the last word.
const REPLY_PATIENCE: i64 = 10;

/// What has arrived.
pub(super) enum Arrived {
    /// A request.
    Request(Box<Request>),
    /// The beginning of a series of requests, and who makes them.
    Series(Account, Peer),
}

/// A request, and who made it.
pub(super) struct Request {
    pub(super) account: Account,
    pub(super) peer: Peer,
    /// Who waits to hear that they are allowed it.
    pub(super) allowed: Allowed,
    pub(super) called: Called,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// Receives what a caller sends first. `line` leads to the steward of a series.
pub(super) fn arrive(
    connection: &mut OwnedFd,
    account: OwnedFd,
    line: Option<OwnedFd>,
    memory: &mut Memory,
) -> Result<Arrived, Failure> {
    let account =
        Account::new(account).map_err(Failure::at("cannot hear the broker's own process"))?;
    // The broker's own mask and handlers are not for its keepers.
    let own_signals = SigSet::empty().thread_set_mask();
    own_signals
        .and_then(|()| Signals::hold_back_write_errors())
        .map_err(Failure::at("cannot set which signals are blocked"))?;
    setsockopt(connection, SendTimeout, &TimeVal::new(REPLY_PATIENCE, 0)).map_err(Failure::at(
        "cannot bound the time for the answer on the caller's connection",
    ))?;
    let (peer, allowed) = match line {
        None => (Peer::of(connection.as_fd())?, Allowed::default()),
        Some(line) => {
            let (peer, is_known) = be_introduced(line.as_fd())?;
            (peer, Allowed::of_series(line, is_known))
        }
    };
    memory.uid = Some(peer.ids.uid);
    let received = receive_request(connection.as_fd(), REQUEST_PATIENCE, |length| {
        account.ask_length(length)
    })?;
    let Some((bytes, descriptors)) = received else {
        return match allowed.is_of_series() {
            // A channel is for one request.
            true => Err(ProtocolError::Unintelligible.into()),
            false => Ok(Arrived::Series(account, peer)),
        };
    };
    let called = Called::from_bytes(&bytes, descriptors.len())?;
    Ok(Arrived::Request(Box::new(Request {
        account,
        peer,
        allowed,
        called,
        descriptors,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::{pair, send};

    #[test]
    fn what_fails_before_there_is_a_request_is_named() {
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let refused = |account, mut connection| {
            let arrived = arrive(&mut connection, account, None, &mut Memory::new(true));
            arrived.err().unwrap().to_string()
        };
        assert_eq!(
            refused(null(), null()),
            "cannot hear the broker's own process: Socket operation on non-socket"
        );
        let (ours, theirs) = pair().unwrap();
        // The keeper may begin.
        send(theirs.as_fd(), &[0], None).unwrap();
        assert_eq!(
            refused(ours, null()),
            "cannot bound the time for the answer on the caller's connection: Socket operation on non-socket"
        );
    }
}
