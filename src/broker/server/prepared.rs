//! What the broker's keepers make before there is a request: the connection to the bus, which
//! polkit and systemd are asked over, and the program's namespaces.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::rehearsal::rehearse;
use crate::bus::{Bus, Carries};
use crate::commands::Ahead;
use crate::launch::Namespaces;
use crate::polkit::Link;
use crate::pool;
use crate::systemd;

/// What a keeper has that has stood by. `None` is still to be made.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// A connection to ask polkit.
    pub(super) polkit: Option<Link>,
    /// For a run.
    pub(super) ahead: Ahead,
}

impl Prepared {
    /// Whoever cannot be reached now is tried again when there is something to ask.
    pub(super) fn make(config: Option<&Path>) -> io::Result<Self> {
        let (bus, polkit) = connect(Carries::Descriptors).unzip();
        rehearse(config);
        let namespaces = Namespaces::ahead()?;
        Ok(Self {
            polkit,
            ahead: Ahead { bus, namespaces },
        })
    }

    /// The same for root's own calls, which polkit is not asked about.
    pub(super) fn without_polkit() -> io::Result<Self> {
        let bus = Bus::connect(Carries::Bytes).ok();
        systemd::rehearse();
        let namespaces = Namespaces::ahead()?;
        Ok(Self {
            polkit: None,
            ahead: Ahead { bus, namespaces },
        })
    }
}

impl pool::Prepared for Prepared {
    fn ready(&self) -> Option<BorrowedFd<'_>> {
        // The connection of all who ask.
        self.polkit.as_ref().map(AsFd::as_fd)
    }

    fn go_on(&mut self) {
        // A connection that was cut is no use to anybody. Anybody can cut one that carries
        // descriptors.
        if let Some(lost) = self.polkit.take_if(|link| !link.is_alive()) {
            let again = lost.carries_descriptors().then(|| connect(Carries::Bytes));
            (self.ahead.bus, self.polkit) = again.flatten().unzip();
        }
    }
}

/// A connection to the bus, for systemd, and what polkit is asked over: a part of the same one,
/// through which it is heard. Neither is of use without the other.
fn connect(carries: Carries) -> Option<(Bus, Link)> {
    let bus = Bus::connect(carries).ok()?;
    let polkit = Link::ahead(bus.share()).ok()?;
    Some((bus, polkit))
}
