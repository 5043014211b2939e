//! A keeper that stands by for the next request. It has already done the slow work that does not
//! depend on the request.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::prctl;
use nix::sys::socket::MsgFlags;

use super::Front;
use crate::sys::packet::{receive_packet, send_packet};
use crate::sys::poll::{self, Until};
use crate::sys::process::{self, Cloned};
use crate::sys::socket;

/// The name of a keeper.
const NAME: &CStr = c"isolate-run";
/// The name of a keeper that stands by.
const NAME_IN_WAITING: &CStr = c"isolate-spare";

/// A keeper that stands by, as the pool's own process sees it.
#[derive(Debug)]
pub(super) struct Spare {
    /// Its process.
    pub(super) pidfd: OwnedFd,
    /// The channel over which it is handed a request, and will ask.
    pub(super) account: OwnedFd,
}

/// What a keeper does before there is a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meanwhile {
    /// It prepares for a request.
    Prepare,
    /// Nothing: the request is there already, and may turn out to be none.
    Nothing,
}

/// What a keeper has made while it stood by. The default is nothing.
pub(crate) trait Prepared: Default {
    /// What is readable when there is something to go on with.
    fn ready(&self) -> Option<BorrowedFd<'_>>;
    /// Goes on, without waiting for anybody.
    fn go_on(&mut self);
}

/// What a keeper begins with.
#[derive(Debug)]
pub(crate) struct Beginning<P> {
    /// The channel over which it asks the pool.
    pub(crate) account: OwnedFd,
    /// The descriptor that it was handed: its request, or the connection over which that comes.
    pub(crate) channel: OwnedFd,
    /// What came beside that, if another keeper has handed the request over.
    pub(crate) beside: Option<OwnedFd>,
    /// What it made while it stood by.
    pub(crate) prepared: P,
}

impl Spare {
    /// Clones a keeper. This returns twice: in the pool with the spare, and in the new process when
    /// there is a request, with what it begins with. A spare that is not needed any more ends.
    ///
    /// A keeper that is handed a request at once prepares nothing before it has read it: otherwise
    /// strangers who connect and say nothing would fill the queue of the bus.
    pub(super) fn make<F: Front>(
        front: &F,
        meanwhile: Meanwhile,
    ) -> io::Result<Result<Self, Beginning<F::Prepared>>> {
        let (ours, theirs) = socket::pair()?;
        match process::clone(0, None)? {
            Cloned::Parent { pidfd, .. } => Ok(Ok(Self {
                pidfd,
                account: ours,
            })),
            Cloned::Child => {
                drop(ours);
                // Nothing of the pool's is a keeper's: neither where requests come from nor its
                // fellows' accounts.
                let closed = process::close_all_but(&[], theirs.as_fd());
                match closed.and_then(|()| stand_by(front, &theirs, meanwhile)) {
                    Ok(Some(((channel, beside), prepared))) => Ok(Err(Beginning {
                        account: theirs,
                        channel,
                        beside,
                        prepared,
                    })),
                    Ok(None) | Err(_) => process::exit_now(0),
                }
            }
        }
    }

    /// Hands a request over.
    pub(super) fn hand_over(&self, (channel, beside): &Handed) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT;
        let all = [Some(channel), beside.as_ref()];
        let all: Vec<_> = all.into_iter().flatten().map(AsFd::as_fd).collect();
        send_packet(self.account.as_fd(), &[0], &all, flags)
    }
}

/// What a keeper is handed, and what may come beside it.
pub(super) type Handed = (OwnedFd, Option<OwnedFd>);

/// Waits for a request; `None` when there will be none.
fn stand_by<F: Front>(
    front: &F,
    account: &OwnedFd,
    meanwhile: Meanwhile,
) -> io::Result<Option<(Handed, F::Prepared)>> {
    // So that whoever looks at the service sees which process serves nobody (prctl(2),
    // PR_SET_NAME).
    prctl::set_name(NAME_IN_WAITING)?;
    let mut prepared = match meanwhile {
        Meanwhile::Nothing => F::Prepared::default(),
        Meanwhile::Prepare => front.prepare()?,
    };
    while !wait(account.as_fd(), &prepared)? {
        prepared.go_on();
    }
    let packet = receive_packet(account.as_fd(), &mut [0; 1], 2, MsgFlags::empty())?;
    let mut descriptors = packet.descriptors.into_iter();
    let channel = descriptors.next();
    prctl::set_name(NAME)?;
    Ok(channel.map(|channel| ((channel, descriptors.next()), prepared)))
}

/// Waits: whether somebody has called on the account. Otherwise there is something to go on with.
fn wait(account: BorrowedFd<'_>, prepared: &impl Prepared) -> io::Result<bool> {
    let sources = [
        (true, poll::readable(account)),
        (false, poll::readable(prepared.ready())),
    ];
    Ok(poll::first(sources, Until::Forever)? == Some(true))
}
