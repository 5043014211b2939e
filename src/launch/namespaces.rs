//! The namespaces of a run besides its mount and PID namespaces. init makes them, or a keeper makes
//! them ahead of its request: a network namespace takes as long as the rest of the sandbox.

use std::fs::File;
use std::io;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::sethostname;

use super::message::StepFailure;
use super::step::Step;
use crate::barrier::Barrier;
use crate::sys::network::bring_loopback_up;
use crate::way;

/// The name of the host inside: the same on every machine, and one that every `/etc/hosts` knows,
/// also that of the machine, which a rule may show.
pub(super) const HOST_NAME: &str = "localhost";

const NETWORK: CloneFlags = CloneFlags::CLONE_NEWNET;

/// The paths of a process's own namespaces (namespaces(7)).
const OF_THIS_PROCESS: [(CloneFlags, &str); 3] = [
    (CloneFlags::CLONE_NEWIPC, "/proc/self/ns/ipc"),
    (CloneFlags::CLONE_NEWUTS, "/proc/self/ns/uts"),
    (NETWORK, "/proc/self/ns/net"),
];

/// Which network the program sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// One of its own, with a loopback interface and nothing else.
    Own,
    /// The host's.
    Hosts,
}

/// Namespaces of each kind. They live as long as a process is in them or a descriptor is open.
#[derive(Debug)]
pub(crate) struct Namespaces([(CloneFlags, File); 3]);

impl Namespaces {
    /// Makes new namespaces and returns to the old ones; `None` where none can be made, which init
    /// will report. The process must have one thread, and must end after an error: nobody knows
    /// which namespaces it is in then.
    ///
    /// A process that is root of a user namespace alone would have no way back.
    pub(crate) fn ahead() -> io::Result<Option<Self>> {
        if way::rootless().is_some() {
            return Ok(None);
        }
        let Ok(before) = Self::of_this_process() else {
            return Ok(None);
        };
        let made = make(Network::Own).is_ok();
        let new = Self::of_this_process();
        before.join(CloneFlags::all())?;
        Ok(new.ok().filter(|_| made))
    }

    fn of_this_process() -> io::Result<Self> {
        let [ipc, uts, network] =
            OF_THIS_PROCESS.map(|(kind, path)| File::open(path).map(|file| (kind, file)));
        Ok(Self([ipc?, uts?, network?]))
    }

    /// Moves this process into them. It keeps its network unless it is to have its own.
    pub(super) fn enter(&self, network: Network) -> Result<(), StepFailure> {
        self.join(kinds(network))
            .map_err(StepFailure::at(Step::Namespaces))
    }

    fn join(&self, kinds: CloneFlags) -> nix::Result<()> {
        let mut chosen = self.0.iter().filter(|(kind, _)| kinds.contains(*kind));
        chosen.try_for_each(|(kind, file)| setns(file, *kind))
    }
}

/// Moves this process into new namespaces. It keeps its network unless it is to have its own.
pub(super) fn make(network: Network) -> Result<(), StepFailure> {
    unshare(kinds(network)).map_err(StepFailure::at(Step::Namespaces))?;
    sethostname(HOST_NAME).map_err(StepFailure::at(Step::HostName))?;
    if network == Network::Own {
        bring_loopback_up().map_err(StepFailure::at(Step::Loopback))?;
    }
    Ok(())
}

fn kinds(network: Network) -> CloneFlags {
    let mut kinds = CloneFlags::empty();
    kinds.set(CloneFlags::CLONE_NEWIPC, Barrier::IpcNamespace.stands());
    kinds.set(CloneFlags::CLONE_NEWUTS, Barrier::UtsNamespace.stands());
    let own_network = network == Network::Own && Barrier::NetworkNamespace.stands();
    kinds.set(NETWORK, own_network);
    kinds
}
