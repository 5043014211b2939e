//! What the broker's keepers make before there is a request: the connection to the bus, which
//! polkit and systemd are asked over, the program's namespaces, and, when the request can be
//! foreseen, its scope.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use super::rehearsal::rehearse;
use crate::bus::{Bus, Carries};
use crate::commands::Ahead;
use crate::home::ScopeAhead;
use crate::launch::Namespaces;
use crate::polkit::Link;
use crate::pool;
use crate::sys::process;
use crate::systemd::ScopeSpec;

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

impl Prepared {
    /// Whoever cannot be reached now is tried again when there is something to ask.
    pub(super) fn make(config: Option<&Path>, scope: Option<&ScopeSpec>) -> io::Result<Self> {
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
}

impl pool::Prepared for Prepared {
    fn ready(&self) -> Vec<BorrowedFd<'_>> {
        // The connection of all who ask.
        let bus = self.polkit.as_ref().map(AsFd::as_fd);
        let scope = self.ahead.scope.as_ref().map(ScopeAhead::ready);
        let parting = self.parting.as_ref().map(AsFd::as_fd);
        bus.into_iter()
            .chain(scope.into_iter().flatten())
            .chain(parting)
            .collect()
    }

    fn until(&self) -> Option<Instant> {
        self.ahead.scope.as_ref().and_then(ScopeAhead::kept_until)
    }

    /// Goes on with what was asked, or gives the scope up. A connection for the next one is then
    /// still to be made.
    fn go_on(&mut self) {
        // A connection that was cut is no use to anybody. Anybody can cut one that carries
        // descriptors.
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
}

/// A connection to the bus, for systemd, and what polkit is asked over: a part of the same one,
/// through which it is heard. Neither is of use without the other.
fn connect(carries: Carries) -> Option<(Bus, Link)> {
    let bus = Bus::connect(carries).ok()?;
    let polkit = Link::ahead(bus.share()).ok()?;
    Some((bus, polkit))
}
