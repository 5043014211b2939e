//! A keeper that stands by for the next request, with its connection to the bus and the program's namespaces made: what
//! takes longest of all that a request could wait for, and does not depend on it.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::socket::MsgFlags;

use super::rehearsal::rehearse;
use crate::bus::Bus;
use crate::commands::Ahead;
use crate::launch::Namespaces;
use crate::polkit::Link;
use crate::sys::process::{self, Cloned};
use crate::sys::socket::{self, receive_packet, send_packet};

/// What a keeper is called,
const NAME: &CStr = c"isolate-run";
/// and what while it stands by.
const NAME_IN_WAITING: &CStr = c"isolate-spare";

/// One that stands by, as the broker's own process sees it.
#[derive(Debug)]
pub(super) struct Spare {
    /// Its process.
    pub(super) pidfd: OwnedFd,
    /// Where it hears, and will ask.
    pub(super) account: OwnedFd,
}

/// What a keeper does before there is a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meanwhile<'a> {
    /// It prepares for one, with this configuration or the usual one.
    Prepare(Option<&'a Path>),
    /// Nothing: its request is there already, and may be none.
    Nothing,
}

/// What a keeper has that has stood by. `None` is still to be made.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// A connection to ask polkit.
    pub(super) polkit: Option<Link>,
    /// For a run.
    pub(super) ahead: Ahead,
}

/// What a keeper that was cloned has to begin with.
pub(super) struct Beginning {
    /// Where it asks.
    pub(super) account: OwnedFd,
    /// The connection to its caller.
    pub(super) connection: OwnedFd,
    pub(super) prepared: Prepared,
}

impl Spare {
    /// Clones one. Twice returns: in the broker with the spare, in the spare with what it begins with as soon as there is
    /// a request; a spare that is not needed any more ends.
    ///
    /// One that is given a request at once prepares nothing before it knows what for: strangers who connect and say
    /// nothing would fill the queue of the bus with them.
    pub(super) fn make(meanwhile: Meanwhile<'_>) -> io::Result<Result<Self, Beginning>> {
        let (ours, theirs) = socket::pair()?;
        match process::clone(0, None)? {
            Cloned::Parent { pidfd, .. } => Ok(Ok(Self {
                pidfd,
                account: ours,
            })),
            Cloned::Child => {
                drop(ours);
                // Nothing of the broker's is a keeper's: neither the socket nor its fellows' accounts.
                let closed = process::close_all_but(&[], theirs.as_fd());
                match closed.and_then(|()| stand_by(&theirs, meanwhile)) {
                    Ok(Some((connection, prepared))) => Ok(Err(Beginning {
                        account: theirs,
                        connection,
                        prepared,
                    })),
                    Ok(None) | Err(_) => process::exit_now(0),
                }
            }
        }
    }

    /// Hands a request over.
    pub(super) fn hand_over(&self, connection: BorrowedFd<'_>) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT;
        send_packet(self.account.as_fd(), &[0], &[connection], flags)
    }
}

/// Waits for a request; `None` when there will be none.
fn stand_by(
    account: &OwnedFd,
    meanwhile: Meanwhile<'_>,
) -> io::Result<Option<(OwnedFd, Prepared)>> {
    // So that whoever looks at the service sees which process serves nobody (prctl(2), PR_SET_NAME).
    prctl::set_name(NAME_IN_WAITING)?;
    // Whoever cannot be reached now is tried again when there is something to ask.
    let mut prepared = match meanwhile {
        Meanwhile::Nothing => Prepared::default(),
        Meanwhile::Prepare(config) => {
            let bus = Bus::connect().ok();
            rehearse(config);
            let shared = bus.as_ref().map(Bus::share);
            Prepared {
                polkit: shared.and_then(|bus| Link::ahead(bus).ok()),
                ahead: Ahead {
                    bus,
                    namespaces: Namespaces::ahead()?,
                },
            }
        }
    };
    loop {
        let [is_called, bus] = prepared.wait(account.as_fd())?;
        if is_called {
            let mut packet = receive_packet(account.as_fd(), &mut [0; 1], 1, MsgFlags::empty())?;
            let connection = packet.descriptors.pop();
            prctl::set_name(NAME)?;
            return Ok(connection.map(|connection| (connection, prepared)));
        }
        // systemd was asked nothing, so all that comes is polkit's. A connection that was cut is no use to either.
        if bus && !prepared.polkit.as_mut().is_some_and(Link::is_alive) {
            prepared.polkit = None;
            prepared.ahead.bus = None;
        }
    }
}

impl Prepared {
    /// Waits: whether something has come on the account, and over the bus.
    fn wait(&self, account: BorrowedFd<'_>) -> io::Result<[bool; 2]> {
        let bus = self.ahead.bus.as_ref().map(AsFd::as_fd);
        let mut polled: Vec<_> = [account]
            .into_iter()
            .chain(bus)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let has_come = |at: usize| {
            let polled = polled.get(at);
            polled.is_some_and(|polled| polled.any().unwrap_or(true))
        };
        Ok([has_come(0), has_come(1)])
    }
}
