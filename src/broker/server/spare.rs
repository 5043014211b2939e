//! A keeper that stands by for the next request, with its connection to the bus and the program's namespaces made: what
//! takes longest of all that a request could wait for, and does not depend on it. When the request can be foreseen, it has
//! a scope made as well.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use nix::sys::prctl;
use nix::sys::socket::MsgFlags;

use super::rehearsal::rehearse;
use crate::bus::{Bus, Carries};
use crate::commands::{Ahead, ScopeAhead};
use crate::launch::Namespaces;
use crate::polkit::Link;
use crate::sys::poll::{self, Until};
use crate::sys::process::{self, Cloned};
use crate::sys::socket::{self, receive_packet, send_packet};
use crate::systemd::ScopeSpec;

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
    /// It prepares for one.
    Prepare {
        /// The configuration, or else the usual one.
        config: Option<&'a Path>,
        /// The scope that it will need, if it is a run like the one before.
        scope: Option<&'a ScopeSpec>,
    },
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
    /// The holder of a scope that was given up: a zombie, if nobody waits for it.
    parting: Option<OwnedFd>,
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
    let mut prepared = match meanwhile {
        Meanwhile::Nothing => Prepared::default(),
        Meanwhile::Prepare { config, scope } => Prepared::make(config, scope)?,
    };
    loop {
        if prepared.wait(account.as_fd())? {
            let mut packet = receive_packet(account.as_fd(), &mut [0; 1], 1, MsgFlags::empty())?;
            let connection = packet.descriptors.pop();
            prctl::set_name(NAME)?;
            return Ok(connection.map(|connection| (connection, prepared)));
        }
        prepared.go_on();
    }
}

impl Prepared {
    /// Whoever cannot be reached now is tried again when there is something to ask.
    fn make(config: Option<&Path>, scope: Option<&ScopeSpec>) -> io::Result<Self> {
        let (mut bus, polkit) = connect(Carries::Descriptors).unzip();
        let scope = scope.and_then(|spec| ScopeAhead::ask(spec.clone(), bus.take()?).ok());
        rehearse(config);
        let namespaces = Namespaces::ahead()?;
        Ok(Self {
            polkit,
            ahead: Ahead {
                bus,
                namespaces,
                scope,
            },
            parting: None,
        })
    }

    /// Goes on with what was asked, or gives the scope up. A connection for the next one is then still to be made.
    fn go_on(&mut self) {
        // A connection that was cut is no use to anybody. Anybody can cut one that carries descriptors.
        if let Some(lost) = self.polkit.take_if(|link| !link.is_alive()) {
            let again = lost.carries_descriptors().then(|| connect(Carries::Bytes));
            (self.ahead.bus, self.polkit) = again.flatten().unzip();
        }
        if let Some(mut scope) = self.ahead.scope.take() {
            let goes_on = scope.proceed().is_ok();
            let is_late = |until| Instant::now() >= until;
            if goes_on && !scope.kept_until().is_some_and(is_late) {
                self.ahead.scope = Some(scope);
            } else {
                self.parting = Some(scope.give_up());
            }
        }
        self.parting.take_if(|holder| process::reap(holder.as_fd()));
    }

    /// Waits: whether somebody has called on the account. Otherwise there is something to go on with.
    fn wait(&self, account: BorrowedFd<'_>) -> io::Result<bool> {
        let scope_ahead = self.ahead.scope.as_ref();
        // The connection of all who ask.
        let bus = self.polkit.as_ref().map(AsFd::as_fd);
        let scope = scope_ahead.map(ScopeAhead::ready);
        let parting = self.parting.as_ref().map(AsFd::as_fd);
        let awaited = [account]
            .into_iter()
            .chain(bus)
            .chain(scope.into_iter().flatten())
            .chain(parting)
            .map(poll::readable);
        let until = scope_ahead.and_then(ScopeAhead::kept_until);
        let ready = poll::each(awaited, until.map_or(Until::Forever, Until::At))?;
        Ok(ready.first().is_some_and(|account| *account))
    }
}

/// A connection to the bus, for systemd, and what polkit is asked over: a part of the same one, through which it is heard.
/// Neither is of use without the other.
fn connect(carries: Carries) -> Option<(Bus, Link)> {
    let bus = Bus::connect(carries).ok()?;
    let polkit = Link::ahead(bus.share()).ok()?;
    Some((bus, polkit))
}
