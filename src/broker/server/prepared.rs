//! What a keeper of the broker makes before there is a request: the namespaces of the program, and
//! the connection to the bus where polkit or systemd will be asked.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::rehearsal::rehearse;
use crate::bus::{Bus, Carries};
use crate::commands::Ahead;
use crate::config::{self, ConfigSource};
use crate::launch::Namespaces;
use crate::polkit::Link;
use crate::pool;
use crate::systemd;

/// What a keeper has when it has stood by. `None` is still to be made.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// A connection to ask polkit.
    pub(super) polkit: Option<Link>,
    /// For a run.
    pub(super) ahead: Ahead,
}

impl Prepared {
    /// Makes what can be made now. A service that cannot be reached is tried again for the request.
    pub(super) fn make(config: Option<&Path>) -> io::Result<Self> {
        let loaded = config::load(&ConfigSource::new(config)).ok();
        let settings = loaded.map(|loaded| loaded.settings);
        rehearse(settings.as_ref());
        match settings.filter(|settings| !settings.broker.groups.is_empty()) {
            // Whoever is no member waits for the connection to be made.
            Some(settings) => Self::without_polkit(settings.cgroup.keep_ready == 0),
            None => {
                let (bus, polkit) = connect(Carries::Descriptors).unzip();
                Self::with(bus, polkit)
            }
        }
    }

    /// The same for root's own calls, for which polkit is not asked. systemd is, if each is to have
    /// a scope made.
    pub(super) fn for_root(asks_systemd: bool) -> io::Result<Self> {
        if asks_systemd {
            systemd::rehearse();
        }
        Self::without_polkit(asks_systemd)
    }

    fn without_polkit(asks_systemd: bool) -> io::Result<Self> {
        let bus = asks_systemd.then(|| Bus::connect(Carries::Bytes).ok());
        Self::with(bus.flatten(), None)
    }

    /// With these connections, and namespaces.
    fn with(bus: Option<Bus>, polkit: Option<Link>) -> io::Result<Self> {
        // Under systemd the process that keeps a scope has them, or whoever waits for a scope makes
        // them meanwhile.
        let namespaces = match systemd::is_there() {
            true => None,
            false => Namespaces::ahead()?,
        };
        Ok(Self {
            polkit,
            ahead: Ahead {
                bus,
                namespaces,
                coming: None,
            },
        })
    }
}

impl pool::Prepared for Prepared {
    fn ready(&self) -> Option<BorrowedFd<'_>> {
        // polkit and systemd are asked over one connection.
        self.polkit.as_ref().map(AsFd::as_fd)
    }

    fn go_on(&mut self) {
        // A connection that was cut is of no use. Anybody on the bus can cut one that carries
        // descriptors.
        if let Some(lost) = self.polkit.take_if(|link| !link.is_alive()) {
            let again = lost.carries_descriptors().then(|| connect(Carries::Bytes));
            (self.ahead.bus, self.polkit) = again.flatten().unzip();
        }
    }
}

/// A connection to the bus for systemd, and a share of it for polkit. Both halves are needed: the
/// first one receives for the second.
fn connect(carries: Carries) -> Option<(Bus, Link)> {
    let bus = Bus::connect(carries).ok()?;
    let polkit = Link::ahead(bus.share()).ok()?;
    Some((bus, polkit))
}
